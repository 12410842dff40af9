//go:build amd64 && !noasm

package quant

func variants() []*variant { return []*variant{&generic} }

//go:build amd64 && !noasm

package elementwise

func variants() []*variant { return []*variant{&generic} }

//go:build amd64 && !noasm

package reduce

func variants() []*variant { return []*variant{&generic} }

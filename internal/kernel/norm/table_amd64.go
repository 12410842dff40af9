//go:build amd64 && !noasm

package norm

func variants() []*variant { return []*variant{&generic} }

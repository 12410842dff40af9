//go:build !amd64 || noasm

package pooling

func variants() []*variant { return []*variant{&generic} }

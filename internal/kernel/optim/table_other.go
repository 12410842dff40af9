//go:build !amd64 || noasm

package optim

func variants() []*variant { return []*variant{&generic} }

//go:build !amd64 || noasm

package layout

func variants() []*variant { return []*variant{&generic} }

//go:build !amd64 || noasm

package binary

// variants returns the table.
func variants() []*variant { return []*variant{&generic} }

//go:build amd64 && !noasm

package par

// pause executes PAUSE n times (n ≥ 1).
//
//go:noescape
func pause(n uint32)

//go:build !amd64 || noasm

package par

import "sync/atomic"

var pauseSink atomic.Uint32

// pause wastes a little time, n times. An atomic load cannot be optimised away.
func pause(n uint32) {
	for range n {
		pauseSink.Load()
	}
}

package plan

import "unsafe"

// Arena is one span of memory outside the garbage collector's sight, so that a
// program's memory costs no collection and never moves.
type Arena struct {
	mem  []byte
	free func() error
}

// NewArena maps size bytes, zeroed and touched, aligned to at least [Align].
func NewArena(size int) (*Arena, error) {
	mem, free, err := mapMemory(max(size, Align))
	if err != nil {
		return nil, err
	}
	const page = 4096
	for i := 0; i < len(mem); i += page { // fault in now, not in the first step
		mem[i] = 0
	}
	return &Arena{mem: mem, free: free}, nil
}

// Size returns the number of bytes.
func (a *Arena) Size() int { return len(a.mem) }

// Slice returns n elements of type T at byte offset off. The slice must not be
// used after Close.
func Slice[T any](a *Arena, off, n int) []T {
	if n == 0 {
		return nil
	}
	size := int(unsafe.Sizeof(*new(T)))
	if off < 0 || off+n*size > len(a.mem) || off%size != 0 {
		panic("plan: span outside the arena")
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&a.mem[off])), n)
}

// Close unmaps the memory. A second call does nothing.
func (a *Arena) Close() error {
	if a == nil || a.free == nil {
		return nil
	}
	free := a.free
	a.free, a.mem = nil, nil
	return free()
}

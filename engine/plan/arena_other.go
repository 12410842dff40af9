//go:build !unix

package plan

import "unsafe"

func mapMemory(size int) ([]byte, func() error, error) {
	mem := make([]byte, size+Align)
	skip := int(-uintptr(unsafe.Pointer(&mem[0])) % Align)
	return mem[skip : skip+size], func() error { return nil }, nil
}

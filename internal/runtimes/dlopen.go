//go:build runtimes && (linux || darwin)

package runtimes

import (
	"fmt"
	"unsafe"

	"github.com/ebitengine/purego"
)

// Open finds and loads the library. It stays loaded: both runtimes keep
// threads that outlive their sessions.
func (l Library) Open(explicit string) (handle uintptr, err error) {
	file, err := l.Find(explicit)
	if err != nil {
		return 0, err
	}
	handle, err = purego.Dlopen(file, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return 0, fmt.Errorf("load %s: %w", file, err)
	}
	return handle, nil
}

// Bind sets each function to the symbol of its name.
func Bind(handle uintptr, functions map[string]any) error {
	for name, f := range functions { // in any order: binding has no effect outside f
		symbol, err := purego.Dlsym(handle, name)
		if err != nil {
			return fmt.Errorf("the library lacks %s: %w", name, err)
		}
		purego.RegisterFunc(f, symbol)
	}
	return nil
}

// String copies a C string; "" for nil.
func String(p *byte) string {
	if p == nil {
		return ""
	}
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(p), n)) != 0 {
		n++
	}
	return string(unsafe.Slice(p, n))
}

//go:build !amd64 || noasm

package cpu

func detect() Feature { return 0 }

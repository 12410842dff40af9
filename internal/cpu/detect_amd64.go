//go:build amd64 && !noasm

package cpu

import "golang.org/x/sys/cpu"

func detect() Feature {
	var f Feature
	for _, x := range [...]struct {
		has  bool
		name Feature
	}{
		{cpu.X86.HasAVX2, AVX2},
		{cpu.X86.HasFMA, FMA},
		{cpu.X86.HasAVX512F, AVX512F},
		{cpu.X86.HasAVX512DQ, AVX512DQ},
		{cpu.X86.HasAVX512BW, AVX512BW},
		{cpu.X86.HasAVX512VL, AVX512VL},
		{cpu.X86.HasAVX512VNNI, AVX512VNNI},
		{cpu.X86.HasAVX512VPOPCNTDQ, AVX512VPOPCNTDQ},
		{cpu.X86.HasAVX512BF16, AVX512BF16},
	} {
		if x.has {
			f |= x.name
		}
	}
	return f
}

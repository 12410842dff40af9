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
		{cpu.X86.HasAVX512F && hasFP16(), AVX512FP16},
		{cpu.X86.HasAVXVNNI, AVXVNNI},
	} {
		if x.has {
			f |= x.name
		}
	}
	return f
}

// hasFP16 reports CPUID leaf 7, subleaf 0, bit 23 of EDX (Intel SDM, volume 2A,
// table 3-8), which golang.org/x/sys/cpu does not read. The registers are those
// of AVX512F.
func hasFP16() bool {
	if most, _, _, _ := cpuid(0, 0); most < 7 {
		return false
	}
	_, _, _, edx := cpuid(7, 0)
	return edx&(1<<23) != 0
}

// cpuid executes CPUID.
//
//go:noescape
func cpuid(leaf, subleaf uint32) (eax, ebx, ecx, edx uint32)

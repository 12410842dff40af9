package openvino

import "strings"

// precision reads the type that a kernel computes in from the end of its name:
// "brgconv_avx512_I8" is "i8", "jit_avx2_f32" is "f32".
func precision(exec string) string {
	i := strings.LastIndexByte(exec, '_')
	if i < 0 {
		return ""
	}
	p := strings.ToLower(exec[i+1:])
	if p == "u8" {
		return "i8"
	}
	return p
}

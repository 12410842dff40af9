package openvino

import "testing"

func TestPrecision(t *testing.T) {
	for exec, want := range map[string]string{
		"brgconv_avx512_I8":   "i8",
		"jit_avx512_f32":      "f32",
		"jit_avx512_u1":       "u1",
		"ref_any_U8":          "i8",
		"brgemm_avx512_BF16":  "bf16",
		"unknown":             "",
		"jit_avx2_1x1_dw_I8":  "i8",
		"undef":               "",
		"simple_loader_i32":   "i32",
		"gemm_acl_undefined_": "",
	} {
		if got := precision(exec); got != want {
			t.Errorf("%s: got %q, want %q", exec, got, want)
		}
	}
}

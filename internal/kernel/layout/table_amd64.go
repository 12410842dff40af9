//go:build amd64 && !noasm

package layout

import "github.com/go-nncf/nncf/internal/cpu"

//go:generate go run -C ../_gen ./layout -level avx2 -out ../layout/avx2_amd64.s -stubs ../layout/avx2_stubs_amd64.go -pkg layout
//go:generate go run -C ../_gen ./layout -level avx512 -out ../layout/avx512_amd64.s -stubs ../layout/avx512_stubs_amd64.go -pkg layout

// variants returns the table, fastest first.
func variants() []*variant { return []*variant{&avx512, &avx2, &generic} }

var avx512 = variant{
	name: "avx512",
	need: cpu.FeaturesAVX512,

	transpose: transposeBlocks, // eight rows fit the stores of both
	add:       addAVX512,
	stream:    streamAVX512,
}

var avx2 = variant{
	name: "avx2",
	need: cpu.FeaturesAVX2,

	transpose: transposeBlocks,
	add:       addAVX2,
	stream:    streamAVX2,
}

// transposeBlocks gives whole 8×8 blocks to the assembly, 32 rows at a time so
// that their source lines stay in the first-level cache, and the rest to Go.
func transposeBlocks(dst []float32, dstStride int, src []float32, srcStride, rows, cols int) {
	const b, tall = 8, 32
	r8, c8 := rows&^(b-1), cols&^(b-1)
	if r8 == 0 || c8 == 0 {
		transposeGeneric(dst, dstStride, src, srcStride, rows, cols)
		return
	}
	for r := 0; r < r8; r += tall {
		n := min(tall, r8-r)
		transposeAVX2(dst[r:], dstStride, src[r*srcStride:], srcStride, n/b, c8/b)
	}
	if c8 < cols {
		transposeGeneric(dst[c8*dstStride:], dstStride, src[c8:], srcStride, r8, cols-c8)
	}
	if r8 < rows {
		transposeGeneric(dst[r8:], dstStride, src[r8*srcStride:], srcStride, rows-r8, cols)
	}
}

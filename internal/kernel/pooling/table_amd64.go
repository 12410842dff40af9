//go:build amd64 && !noasm

package pooling

import "github.com/go-nncf/nncf/internal/cpu"

//go:generate go run -C ../_gen ./pooling -level avx2 -out ../pooling/avx2_amd64.s -stubs ../pooling/avx2_stubs_amd64.go -pkg pooling
//go:generate go run -C ../_gen ./pooling -level avx512 -out ../pooling/avx512_amd64.s -stubs ../pooling/avx512_stubs_amd64.go -pkg pooling

// variants returns the table, fastest first.
func variants() []*variant { return []*variant{&avx512, &avx2, &generic} }

var avx512 = variant{
	name: "avx512",
	need: cpu.FeaturesAVX512,

	max:        maxAVX512,
	average:    averageAVX512,
	maxScatter: maxScatterAVX512,
	maxIndex: func(y []float32, idx []uint8, x []float32, rows, cols, rowStep, colStep, tap, tapRow int) {
		n := len(y) &^ 15
		if n > 0 {
			maxIndexAVX512(y[:n], idx, x, rows, cols, rowStep, colStep, tap, tapRow)
		}
		if n < len(y) {
			maxIndexGeneric(y[n:], idx[n:], x[n:], rows, cols, rowStep, colStep, tap, tapRow)
		}
	},
	addWhere: func(dx, g []float32, idx []uint8, tap uint8) {
		n := len(dx) &^ 15
		if n > 0 {
			addWhereAVX512(dx[:n], g, idx, tap)
		}
		if n < len(dx) {
			addWhereGeneric(dx[n:], g[n:], idx[n:], tap)
		}
	},
	addScaled: addScaledAVX512,
}

var avx2 = variant{
	name: "avx2",
	need: cpu.FeaturesAVX2,

	max:        maxAVX2,
	average:    averageAVX2,
	maxScatter: maxScatterAVX2,
	maxIndex: func(y []float32, idx []uint8, x []float32, rows, cols, rowStep, colStep, tap, tapRow int) {
		n := len(y) &^ 7
		if n > 0 {
			maxIndexAVX2(y[:n], idx, x, rows, cols, rowStep, colStep, tap, tapRow)
		}
		if n < len(y) {
			maxIndexGeneric(y[n:], idx[n:], x[n:], rows, cols, rowStep, colStep, tap, tapRow)
		}
	},
	addWhere: func(dx, g []float32, idx []uint8, tap uint8) {
		n := len(dx) &^ 7
		if n > 0 {
			addWhereAVX2(dx[:n], g, idx, tap)
		}
		if n < len(dx) {
			addWhereGeneric(dx[n:], g[n:], idx[n:], tap)
		}
	},
	addScaled: addScaledAVX2,
}

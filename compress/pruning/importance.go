package pruning

import (
	"math"

	"github.com/go-nncf/nncf/tensor"
)

// Of returns the importance of every entry along an axis of a weight:
//
//	L1                 Σ|w|
//	L2                 √Σw²
//	geometric_median   Σ_j √Σ(w - w_j + 1e-6)²
//
// The sum of distances to all filters is smallest near their geometric median,
// where a filter is best replaced by the others (He et al. 2019); 1e-6 is what
// PyTorch's pairwise distance adds. Weights count times scale.
func (im Importance) Of(w *tensor.Tensor, axis int, scale float64) []float64 {
	rows := filters(w, axis, scale)
	out := make([]float64, len(rows))
	switch im {
	case L1:
		for i, r := range rows {
			for _, x := range r {
				out[i] += math.Abs(x)
			}
		}
	case GeometricMedian:
		distances(rows, out)
	default:
		for i, r := range rows {
			out[i] = math.Sqrt(dot(r, r))
		}
	}
	return out
}

// filters returns the slices along an axis, as float64.
func filters(w *tensor.Tensor, axis int, scale float64) [][]float64 {
	s := w.Shape()
	n := s[axis]
	outer, inner := tensor.Shape(s[:axis]).Numel(), tensor.Shape(s[axis+1:]).Numel()
	all := make([]float64, w.Len())
	rows := make([][]float64, n)
	for i := range rows {
		rows[i] = all[i*outer*inner:][:outer*inner]
	}
	x := w.F32()
	for o := range outer {
		for i := range n {
			src := x[(o*n+i)*inner:][:inner]
			dst := rows[i][o*inner:][:inner]
			for k, v := range src {
				dst[k] = float64(v) * scale
			}
		}
	}
	return rows
}

// pairEpsilon is what is added to every difference.
const pairEpsilon = 1e-6

// distances adds up the distances of each row to all rows. They come from scalar
// products: |a-b+e|² = |a|² + |b|² - 2ab + 2e(Σa-Σb) + n·e².
func distances(rows [][]float64, out []float64) {
	norm, sum := make([]float64, len(rows)), make([]float64, len(rows))
	for i, r := range rows {
		norm[i] = dot(r, r)
		for _, x := range r {
			sum[i] += x
		}
	}
	for i, r := range rows {
		n := float64(len(r))
		own := n * pairEpsilon * pairEpsilon
		out[i] += math.Sqrt(own)
		for j := range i {
			ab := norm[i] + norm[j] - 2*dot(r, rows[j])
			if ab < 1e-9*(norm[i]+norm[j]) { // cancelled
				ab = difference(r, rows[j])
			}
			e := 2 * pairEpsilon * (sum[i] - sum[j])
			out[i] += math.Sqrt(max(0, ab+e+own))
			out[j] += math.Sqrt(max(0, ab-e+own))
		}
	}
}

func difference(a, b []float64) float64 {
	s := 0.0
	for i, x := range a {
		s += (x - b[i]) * (x - b[i])
	}
	return s
}

// dot is Σa·b, in four sums so that the processor need not wait for each.
func dot(a, b []float64) float64 {
	var s0, s1, s2, s3 float64
	b = b[:len(a)]
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s0 += a[i] * b[i]
		s1 += a[i+1] * b[i+1]
		s2 += a[i+2] * b[i+2]
		s3 += a[i+3] * b[i+3]
	}
	for ; i < len(a); i++ {
		s0 += a[i] * b[i]
	}
	return s0 + s1 + (s2 + s3)
}

// norm is the L2 norm of all elements.
func norm(w *tensor.Tensor) float64 {
	s := 0.0
	for _, x := range w.F32() {
		s += float64(x) * float64(x)
	}
	return math.Sqrt(s)
}

package norm

import (
	"fmt"
	"math"

	"github.com/go-nncf/nncf/internal/kernel/elementwise"
	"github.com/go-nncf/nncf/internal/kernel/reduce"
)

// Softmax computes rows of the given length: y = e^(x−max) / Σ e^(x−max). y may
// be x.
func Softmax(y, x []float32, row int) {
	checkRows(len(y), row)
	for at := 0; at < len(y); at += row {
		yr := y[at : at+row]
		sum := expRow(yr, x[at:at+row])
		elementwise.Mul.Scalar(yr, yr, float32(1/sum))
	}
}

// expRow sets y = e^(x−max) and returns the sum.
func expRow(y, x []float32) float64 {
	elementwise.ExpMinus.Run(y, x, reduce.Max(x))
	return reduce.Sum(y)
}

// SoftmaxGrad computes rows of dx = y·(g − Σ g·y). dx may be g or y.
func SoftmaxGrad(dx, g, y []float32, row int) {
	checkRows(len(dx), row)
	for at := 0; at < len(dx); at += row {
		gr, yr := g[at:at+row], y[at:at+row]
		active.mulSub(dx[at:at+row], gr, yr, float32(reduce.Dot(gr, yr)))
	}
}

// LogSoftmax computes rows of the given length: y = x − (max + ln Σ e^(x−max)).
// y must not be x.
func LogSoftmax(y, x []float32, row int) {
	checkRows(len(y), row)
	for at := 0; at < len(y); at += row {
		xr, yr := x[at:at+row], y[at:at+row]
		m := reduce.Max(xr)
		sum := expRow(yr, xr)
		// Two steps: m may be large, its difference to x is exact or small.
		elementwise.Sub.Scalar(yr, xr, m)
		elementwise.Sub.Scalar(yr, yr, float32(math.Log(sum)))
	}
}

// LogSoftmaxGrad computes rows of dx = g − e^y·Σ g. dx may be y, not g.
func LogSoftmaxGrad(dx, g, y []float32, row int) {
	checkRows(len(dx), row)
	for at := 0; at < len(dx); at += row {
		gr, d := g[at:at+row], dx[at:at+row]
		s := float32(reduce.Sum(gr))
		elementwise.Exp.Run(d, y[at:at+row])
		elementwise.Mul.Scalar(d, d, s)
		elementwise.Sub.Run(d, gr, d)
	}
}

// CrossEntropy computes, for each row of logits of the given length and its
// label, the loss −ln softmax(x)[label] and, if dx is not nil, the gradient
// scale·(softmax(x) − onehot(label)). With smoothing s the target is
// (1−s)·onehot + s/row. A negative label gives loss 0 and gradient 0 (a padded
// row). dx may be x; scratch has at least the length of a row if dx is nil.
func CrossEntropy(loss, dx, x []float32, labels []int32, row int, scale, smoothing float32, scratch []float32) {
	checkRows(len(x), row)
	for r, label := range labels[:len(x)/row] {
		xr := x[r*row : (r+1)*row]
		p := scratch
		if dx != nil {
			p = dx[r*row:]
		}
		p = p[:row]
		if int(label) >= row {
			panic(fmt.Sprintf("norm: label %d of row %d, want below %d", label, r, row))
		}
		if label < 0 {
			loss[r] = 0
			if dx != nil {
				clear(p)
			}
			continue
		}
		m := reduce.Max(xr)
		target := float64(xr[label])
		if smoothing != 0 {
			s := float64(smoothing)
			target = (1-s)*target + s*reduce.Mean(xr)
		}
		sum := expRow(p, xr)
		loss[r] = float32(float64(m) + math.Log(sum) - target)
		if dx == nil {
			continue
		}
		elementwise.ScaleShift.Run(p, p, float32(float64(scale)/sum), -scale*smoothing/float32(row))
		p[label] -= scale * (1 - smoothing)
	}
}

// CrossEntropyTarget is [CrossEntropy] with a probability per class instead of a
// label: loss −Σ t·ln softmax(x), gradient scale·(softmax(x)·Σt − t). dx may
// not be x or target.
func CrossEntropyTarget(loss, dx, x, target []float32, row int, scale float32, scratch []float32) {
	checkRows(len(x), row)
	for at := 0; at < len(x); at += row {
		xr, tr := x[at:at+row], target[at:at+row]
		p := scratch
		if dx != nil {
			p = dx[at:]
		}
		p = p[:row]
		m := reduce.Max(xr)
		sum := expRow(p, xr)
		lse := float64(m) + math.Log(sum)
		st := reduce.Sum(tr)
		loss[at/row] = float32(st*lse - reduce.Dot(tr, xr))
		if dx == nil {
			continue
		}
		elementwise.Mul.Scalar(p, p, float32(float64(scale)*st/sum))
		for i, t := range tr {
			p[i] -= float32(scale * t)
		}
	}
}

func mulSubGeneric(dst, g, y []float32, s float32) {
	for i, v := range y[:len(dst)] {
		dst[i] = v * (g[i] - s)
	}
}

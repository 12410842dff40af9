package op

import (
	"errors"
	"fmt"
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// FakeQuantizeAsymmetric rounds x to Levels points over a trained interval.
// With R = |range| + 1e-16 (or exp(range) if LogRange),
// (low, width) = Tune(low, R), n = Levels - 1 and s = n/width:
//
//	y = rne((clip(x, low, low+width) - low)·s - rne(-low·s)) / s
//
// Tune extends [low, low+R] to contain zero and then moves one end so that zero
// lies on the grid, see [TuneRange]; Compatible chooses the original
// implementation's rule. All in float32.
//
//	in  0 x   1 low   2 range: [] or [1], or [C], one for each index of axis Axis, unless Axis is -1
//	out 0 y, as x
//
// Internal: training only, replaced before export. The gradient is the
// straight-through one, see [FakeQuantizeAsymmetricGrad]; ClipGrad chooses its
// form, GradScale and LowGradScale are factors of the gradients of range and low,
// 0 for 1.
type FakeQuantizeAsymmetric struct {
	Levels     int
	Axis       int
	LogRange   bool
	Compatible bool
	ClipGrad   bool

	GradScale, LowGradScale float32
}

var (
	_ ir.Evaluator      = FakeQuantizeAsymmetric{}
	_ ir.Differentiable = FakeQuantizeAsymmetric{}
	_ ir.Costed         = FakeQuantizeAsymmetric{}
	_ ir.AxisMapper     = FakeQuantizeAsymmetric{}
)

func (FakeQuantizeAsymmetric) Kind() string { return "FakeQuantizeAsymmetric" }

func (q FakeQuantizeAsymmetric) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 3, 3); err != nil {
		return nil, err
	}
	if q.Levels < 3 || q.Levels > 1<<24 {
		return nil, fmt.Errorf("levels: got %d, want at least 3", q.Levels)
	}
	if err := errors.Join(checkGradScale(q.GradScale), checkGradScale(q.LowGradScale)); err != nil {
		return nil, err
	}
	return []ir.Type{in[0].Type}, fqParams(in[0], q.Axis, in[1], in[2])
}

// TuneRange returns the interval that quantizes [low, low+width] with the given
// number of levels so that zero is a grid point. The interval is first extended
// to contain zero: lo = min(low, 0), hi = max(low+width, 0). If it crosses zero,
// the zero point zp = rne(-lo·n/(hi-lo)), n = levels-1, is clamped to 1…n-1 and
// the wider of [zp/(zp-n)·hi, hi] and [lo, (zp-n)/zp·lo] is taken.
//
// With compatible, the original implementation's rule, zp is not clamped: zero
// is off the grid when it lies within half a step of an end.
func TuneRange(low, width float32, levels int, compatible bool) (tunedLow, tunedWidth float32) {
	n := float32(levels - 1)
	lo, hi := min(low, 0), max(low+width, 0)
	if !compatible {
		switch {
		case lo == 0:
			return 0, hi
		case hi == 0:
			return lo, -lo
		}
	}
	zp := rne(-lo * n / (hi - lo))
	if !compatible {
		zp = min(max(zp, 1), n-1)
	}
	newLo, newHi := lo, hi
	if zp < n {
		newLo = zp / (zp - n) * hi
	}
	if zp > 0 {
		newHi = (zp - n) / zp * lo
	}
	if hi-newLo > newHi-lo {
		return newLo, hi - newLo
	}
	return lo, newHi - lo
}

// size is R.
func (q FakeQuantizeAsymmetric) size(width float32) float32 {
	if q.LogRange {
		return float32(math.Exp(float64(width)))
	}
	return abs32(width) + fqEpsilon
}

func (q FakeQuantizeAsymmetric) grids(low, width []float32) []fqGrid {
	grids := make([]fqGrid, len(low))
	for i := range grids {
		l, w := TuneRange(low[i], q.size(width[i]), q.Levels, q.Compatible)
		grids[i] = newFQGrid(l, w, q.Levels-1)
	}
	return grids
}

func (q FakeQuantizeAsymmetric) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if err := fqWant(in, 3); err != nil {
		return nil, err
	}
	x, low, width := in[0], in[1].F32(), in[2].F32()
	inner, err := q.channel(x, low, width)
	if err != nil {
		return nil, err
	}
	return one(tensor.From(fqForward(x.F32(), q.grids(low, width), inner), x.Shape()...)), nil
}

func (q FakeQuantizeAsymmetric) channel(x *tensor.Tensor, low, width []float32) (inner int, err error) {
	if len(low) != len(width) {
		return 0, fmt.Errorf("got %d low ends and %d ranges, want as many", len(low), len(width))
	}
	_, inner, err = fqChannel(x.Shape(), q.Axis, len(low))
	return inner, err
}

func (q FakeQuantizeAsymmetric) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	g := b.Multi(FakeQuantizeAsymmetricGrad(q), n.Name+"/grad", 3, n.In[0], n.In[1], n.In[2], dOut[0])
	return wanted(g, need), nil
}

func (FakeQuantizeAsymmetric) Cost(n *ir.Node) ir.Cost { return elementOps(n, 6) }

// MapAxes implements [ir.AxisMapper].
func (q FakeQuantizeAsymmetric) MapAxes(n *ir.Node, m ir.AxisMap) { quantizerAxes(n, m, q.Axis) }

// FakeQuantizeAsymmetricGrad is the straight-through gradient of
// [FakeQuantizeAsymmetric], whose fields it has. With q the quantized x and low
// and width after Tune, which passes gradients unchanged:
//
//	dx     = dy where low ≤ x ≤ low+width, else 0
//	dlow   = Σ dy over x outside
//	drange = sign(range)·Σ dy·{ (q-x)/width inside; 1 above; 0 below }
//
// per channel. With LogRange the factor is exp(range) instead of sign(range).
// ClipGrad leaves the inside out. GradScale multiplies drange, LowGradScale dlow.
//
//	in  0 x   1 low   2 range   3 dy, as x
//	out 0 dx   1 dlow   2 drange
//
// Internal.
type FakeQuantizeAsymmetricGrad FakeQuantizeAsymmetric

var (
	_ ir.Evaluator         = FakeQuantizeAsymmetricGrad{}
	_ ir.NonDifferentiable = FakeQuantizeAsymmetricGrad{}
	_ ir.Costed            = FakeQuantizeAsymmetricGrad{}
)

func (FakeQuantizeAsymmetricGrad) Kind() string { return "FakeQuantizeAsymmetricGrad" }

func (q FakeQuantizeAsymmetricGrad) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 4, 4); err != nil {
		return nil, err
	}
	if _, err := FakeQuantizeAsymmetric(q).Infer(in[:3]); err != nil {
		return nil, err
	}
	return []ir.Type{in[0].Type, in[1].Type, in[2].Type}, wantMayEqual(in[3], "gradient", in[0].Type)
}

func (q FakeQuantizeAsymmetricGrad) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if err := fqWant(in, 4); err != nil {
		return nil, err
	}
	x, low, width := in[0], in[1].F32(), in[2].F32()
	f := FakeQuantizeAsymmetric(q)
	inner, err := f.channel(x, low, width)
	if err != nil {
		return nil, err
	}
	if in[3].Len() != x.Len() {
		return nil, fmt.Errorf("got gradient %v for input %v", in[3].Shape(), x.Shape())
	}
	grids := f.grids(low, width)
	dx, sums := fqBackward(x.F32(), in[3].F32(), grids, inner)
	dlow, dwidth := make([]float32, len(low)), make([]float32, len(low))
	for i, s := range sums {
		dlow[i] = float32(gradFactor(q.LowGradScale) * (s.above + s.below))
		if q.ClipGrad {
			s.inside = 0
		}
		d := gradFactor(q.GradScale) * (s.inside/float64(grids[i].width) + s.above)
		if q.LogRange {
			d *= float64(f.size(width[i]))
		} else {
			d *= sign(float64(width[i]))
		}
		dwidth[i] = float32(d)
	}
	return []*tensor.Tensor{tensor.From(dx, x.Shape()...), tensor.From(dlow, in[1].Shape()...), tensor.From(dwidth, in[2].Shape()...)}, nil
}

func (FakeQuantizeAsymmetricGrad) NoGrad() string {
	return "straight-through gradients are differentiated once only; bypass the quantizers for second derivatives"
}

func (FakeQuantizeAsymmetricGrad) Cost(n *ir.Node) ir.Cost { return elementOps(n, 9) }

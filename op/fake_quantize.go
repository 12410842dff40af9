package op

import (
	"fmt"
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// This file holds what the trainable fake-quantizers share. All arithmetic of
// the forward pass is in float32, step by step: what is trained must be, bit
// for bit, what engines compute and files contain.

// IsFakeQuantizer reports whether n, which may be nil, is a trainable
// fake-quantizer.
func IsFakeQuantizer(n *ir.Node) bool {
	if n == nil {
		return false
	}
	switch n.Op.(type) {
	case FakeQuantizeSymmetric, FakeQuantizeAsymmetric:
		return true
	}
	return false
}

// fqEpsilon keeps a scale or range from being zero.
const fqEpsilon float32 = 1e-16

// fqGrid is a grid of n+1 points over [low, high]: points per unit s = n/width,
// and zero = rne(-low·s), the index of the point that stands for 0.
type fqGrid struct{ low, high, width, s, zero float32 }

func newFQGrid(low, width float32, n int) fqGrid {
	g := fqGrid{low: low, high: low + width, width: width, s: float32(n) / width}
	g.zero = rne(-low * g.s)
	return g
}

func rne(x float32) float32 { return float32(math.RoundToEven(float64(x))) }

func abs32(x float32) float32 { return float32(math.Abs(float64(x))) }

// quantize returns (rne((clip(x) - low)·s - zero))/s. The conversions keep the
// compiler from fusing a product into a sum.
func (g fqGrid) quantize(x float32) float32 {
	if x < g.low {
		x = g.low
	}
	if x > g.high {
		x = g.high
	}
	return rne(float32((x-g.low)*g.s)-g.zero) / g.s
}

// fqSums are what parameter gradients are made of, for one grid.
type fqSums struct{ inside, above, below float64 }

// fqChannel says which grid each element of a tensor of shape xs belongs to:
// element i to channel i/inner%channels. Axis -1 is one grid for all.
func fqChannel(xs tensor.Shape, axis, params int) (channels, inner int, err error) {
	if axis < 0 {
		if params != 1 {
			return 0, 0, fmt.Errorf("got %d parameters, want 1 for the whole tensor", params)
		}
		return 1, max(1, product(xs)), nil
	}
	if axis >= len(xs) || xs[axis] != params {
		return 0, 0, fmt.Errorf("got %d parameters for axis %d of %v", params, axis, xs)
	}
	return params, max(1, product(xs[axis+1:])), nil
}

// fqForward quantizes x, fqBackward returns dx = dy inside the grid, else 0, and
// the sums per channel.
func fqForward(x []float32, grids []fqGrid, inner int) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = grids[i/inner%len(grids)].quantize(v)
	}
	return y
}

func fqBackward(x, dy []float32, grids []fqGrid, inner int) (dx []float32, sums []fqSums) {
	dx, sums = make([]float32, len(x)), make([]fqSums, len(grids))
	for i, v := range x {
		c := i / inner % len(grids)
		g, s := grids[c], &sums[c]
		switch {
		case v > g.high:
			s.above += float64(dy[i])
		case v < g.low:
			s.below += float64(dy[i])
		case v >= g.low: // not NaN
			dx[i] = dy[i]
			s.inside += float64(dy[i]) * float64(g.quantize(v)-v)
		}
	}
	return dx, sums
}

// fqParams checks the types of a quantizer's inputs: x, then its parameters, of
// shape [] or [1] for axis -1 and [C] otherwise.
func fqParams(x *ir.Value, axis int, params ...*ir.Value) error {
	if err := wantDType(x, "input", tensor.Float32); err != nil {
		return err
	}
	if axis >= x.Type.Rank() || axis < -1 {
		return fmt.Errorf("axis: got %d for input %v, want -1 or an axis", axis, x.Type)
	}
	for i, p := range params {
		if err := wantDType(p, fmt.Sprintf("parameter %d", i), tensor.Float32); err != nil {
			return err
		}
		ok := p.Type.Rank() == 1
		if axis < 0 {
			ok = p.Type.Rank() == 0 || ok && p.Type.Dims[0].IsOne()
		} else {
			ok = ok && p.Type.Dims[0].MayEqual(x.Type.Dims[axis])
		}
		if !ok {
			return fmt.Errorf("parameter %d: got %v for axis %d of %v, want [] or [1] for axis -1, else the length of that axis", i, p.Type, axis, x.Type)
		}
	}
	return nil
}

// FakeQuantizeSymmetric rounds x to a grid whose size follows a trained scale.
// With S = |scale| + 1e-16 (or exp(scale) if LogScale), low = S·Low/High,
// range = S - low, n = Levels - 1 and s = n/range:
//
//	y = rne((clip(x, low, low+range) - low)·s - rne(-low·s)) / s
//
// rne rounds half to even; all in float32. So 0 stays exactly 0, and the grid is
// Low…High times S/High: -128…127, or -127…127 with 255 levels, or 0…255 for 8
// bits. Levels 0 stands for High-Low+1.
//
//	in  0 x   1 scale [] or [1]; [C], one for each index of axis Axis, unless Axis is -1
//	out 0 y, as x
//
// Internal: training only, replaced before export. The gradient is the
// straight-through one, see [FakeQuantizeSymmetricGrad]; ExactSTE and ClipGrad
// choose its form, GradScale is a factor of the scale's gradient, 0 for 1.
type FakeQuantizeSymmetric struct {
	Levels, Low, High int
	Axis              int
	LogScale          bool
	ExactSTE          bool
	ClipGrad          bool
	GradScale         float32
}

var (
	_ ir.Evaluator      = FakeQuantizeSymmetric{}
	_ ir.Differentiable = FakeQuantizeSymmetric{}
	_ ir.Costed         = FakeQuantizeSymmetric{}
	_ ir.AxisMapper     = FakeQuantizeSymmetric{}
)

func (FakeQuantizeSymmetric) Kind() string { return "FakeQuantizeSymmetric" }

func (q FakeQuantizeSymmetric) check() error {
	if q.High <= 0 || q.Low > 0 || q.High > 1<<24 || q.Low < -1<<24 {
		return fmt.Errorf("got grid %d to %d, want one that contains 0, with a positive end", q.Low, q.High)
	}
	if q.Levels < 0 || q.Levels == 1 || q.Levels > 1<<24 {
		return fmt.Errorf("levels: got %d, want at least 2", q.Levels)
	}
	return checkGradScale(q.GradScale)
}

func checkGradScale(f float32) error {
	if !(f >= 0) || math.IsInf(float64(f), 0) {
		return fmt.Errorf("factor of the gradient: got %g, want 0 or more", f)
	}
	return nil
}

// gradFactor is a GradScale with its default.
func gradFactor(f float32) float64 {
	if f == 0 {
		return 1
	}
	return float64(f)
}

func (q FakeQuantizeSymmetric) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 2); err != nil {
		return nil, err
	}
	if err := q.check(); err != nil {
		return nil, err
	}
	return []ir.Type{in[0].Type}, fqParams(in[0], q.Axis, in[1])
}

// grids returns one grid per scale.
func (q FakeQuantizeSymmetric) grids(scale []float32) []fqGrid {
	ratio := float32(float64(q.Low) / float64(q.High))
	n := q.Levels - 1
	if q.Levels == 0 {
		n = q.High - q.Low
	}
	grids := make([]fqGrid, len(scale))
	for i, v := range scale {
		s := q.size(v)
		low := s * ratio
		grids[i] = newFQGrid(low, s-low, n)
	}
	return grids
}

// size is S.
func (q FakeQuantizeSymmetric) size(scale float32) float32 {
	if q.LogScale {
		return float32(math.Exp(float64(scale)))
	}
	return abs32(scale) + fqEpsilon
}

func (q FakeQuantizeSymmetric) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if err := fqWant(in, 2); err != nil {
		return nil, err
	}
	x, scale := in[0], in[1].F32()
	_, inner, err := fqChannel(x.Shape(), q.Axis, len(scale))
	if err != nil {
		return nil, err
	}
	return one(tensor.From(fqForward(x.F32(), q.grids(scale), inner), x.Shape()...)), nil
}

// fqWant checks that n inputs are present and float32.
func fqWant(in []*tensor.Tensor, n int) error {
	if err := wantTensors(in, n); err != nil {
		return err
	}
	for i, t := range in[:n] {
		if t.DType() != tensor.Float32 {
			return fmt.Errorf("input %d: got %v elements, want float32", i, t.DType())
		}
	}
	return nil
}

func (q FakeQuantizeSymmetric) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	g := b.Multi(FakeQuantizeSymmetricGrad(q), n.Name+"/grad", 2, n.In[0], n.In[1], dOut[0])
	return wanted(g, need), nil
}

// wanted keeps the gradients that are needed.
func wanted(g []*ir.Value, need []bool) []*ir.Value {
	out := make([]*ir.Value, len(need))
	for i := range out {
		if need[i] && i < len(g) {
			out[i] = g[i]
		}
	}
	return out
}

func (FakeQuantizeSymmetric) Cost(n *ir.Node) ir.Cost { return elementOps(n, 6) }

// MapAxes implements [ir.AxisMapper].
func (q FakeQuantizeSymmetric) MapAxes(n *ir.Node, m ir.AxisMap) { quantizerAxes(n, m, q.Axis) }

// FakeQuantizeSymmetricGrad is the straight-through gradient of
// [FakeQuantizeSymmetric], whose fields it has. With q the quantized x:
//
//	dx     = dy where low ≤ x ≤ low+range, else 0
//	dscale = sign(scale)·Σ dy·{ (q-x)/range inside; 1 above; Low/High below }
//
// per channel. Dividing by range is the original implementation's rule; ExactSTE
// divides by S, which is the true derivative of the straight-through form.
// ClipGrad leaves the inside out, so that only clipped elements move the scale:
// PACT (arXiv 1805.06085). With LogScale the factor is exp(scale) instead of
// sign(scale), as in TQT (arXiv 1903.08066). GradScale multiplies all of it.
//
//	in  0 x   1 scale   2 dy, as x
//	out 0 dx   1 dscale
//
// Internal.
type FakeQuantizeSymmetricGrad FakeQuantizeSymmetric

var (
	_ ir.Evaluator         = FakeQuantizeSymmetricGrad{}
	_ ir.NonDifferentiable = FakeQuantizeSymmetricGrad{}
	_ ir.Costed            = FakeQuantizeSymmetricGrad{}
)

func (FakeQuantizeSymmetricGrad) Kind() string { return "FakeQuantizeSymmetricGrad" }

func (q FakeQuantizeSymmetricGrad) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 3, 3); err != nil {
		return nil, err
	}
	if _, err := FakeQuantizeSymmetric(q).Infer(in[:2]); err != nil {
		return nil, err
	}
	return []ir.Type{in[0].Type, in[1].Type}, wantMayEqual(in[2], "gradient", in[0].Type)
}

func (q FakeQuantizeSymmetricGrad) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if err := fqWant(in, 3); err != nil {
		return nil, err
	}
	x, scale := in[0], in[1].F32()
	_, inner, err := fqChannel(x.Shape(), q.Axis, len(scale))
	if err != nil {
		return nil, err
	}
	if in[2].Len() != x.Len() {
		return nil, fmt.Errorf("got gradient %v for input %v", in[2].Shape(), x.Shape())
	}
	f := FakeQuantizeSymmetric(q)
	dx, sums := fqBackward(x.F32(), in[2].F32(), f.grids(scale), inner)
	alpha := float64(q.Low) / float64(q.High)
	ds := make([]float32, len(scale))
	for i, s := range sums {
		size := float64(f.size(scale[i]))
		width := size
		if !q.ExactSTE {
			width *= 1 - alpha
		}
		if q.ClipGrad {
			s.inside = 0
		}
		d := gradFactor(q.GradScale) * (s.inside/width + s.above + alpha*s.below)
		if q.LogScale {
			d *= size
		} else {
			d *= sign(float64(scale[i]))
		}
		ds[i] = float32(d)
	}
	return []*tensor.Tensor{tensor.From(dx, x.Shape()...), tensor.From(ds, in[1].Shape()...)}, nil
}

func (FakeQuantizeSymmetricGrad) NoGrad() string {
	return "straight-through gradients are differentiated once only; bypass the quantizers for second derivatives"
}

func (FakeQuantizeSymmetricGrad) Cost(n *ir.Node) ir.Cost { return elementOps(n, 9) }

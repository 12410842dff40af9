// Package gradcheck compares the gradient an operator builds with central
// differences of its reference evaluator along random directions. Tests import
// it from external test packages.
//
// For random cotangents u the operator's outputs give f(x) = Σ <u, y(x)>. The
// gradient graph of the operator gives g = df/dx; the check is that
// f(x+δ) - f(x-δ) equals 2·<g, δ> for a random δ in one input at a time. The
// differences are taken in float64 if the evaluator computes in it, so that
// they are exact to about δ², otherwise in float32.
//
// Inputs must keep away from kinks; operators with straight-through gradients
// test their defined gradient instead.
package gradcheck

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Case is one operator with inputs.
type Case struct {
	Name string
	Op   ir.Op
	In   []*tensor.Tensor // nil for an omitted input

	// Outputs is the number of outputs the node has (default 1). Used lists
	// those that f depends on; nil means all floating-point ones.
	Outputs int
	Used    []int

	// Wrt lists the inputs to check; nil means all floating-point ones. The
	// others become constants.
	Wrt []int

	// Step is the length of δ per element relative to 1; 0 means 1e-4 in
	// float64 and 1e-2 in float32. Tol is relative to Σ|g·δ|; 0 means 1e-4 and
	// 1e-2.
	Step, Tol float64
}

// Run checks each case as a subtest.
func Run(t *testing.T, cases []Case) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) { Check(t, c) })
	}
}

// Check checks one case.
func Check(t testing.TB, c Case) {
	t.Helper()
	if err := c.check(); err != nil {
		t.Errorf("%s %+v: %v", c.Op.Kind(), c.Op, err)
	}
}

func (c Case) check() error {
	rng := rand.New(rand.NewPCG(1, uint64(len(c.Name))))
	d, ok := c.Op.(ir.Differentiable)
	if !ok {
		return fmt.Errorf("is not Differentiable")
	}
	wrt := c.Wrt
	if wrt == nil {
		for i, t := range c.In {
			if t != nil && t.DType().IsFloat() {
				wrt = append(wrt, i)
			}
		}
	}

	// The graph: inputs of the operator, the operator, cotangents, its gradient.
	g := ir.New("gradcheck")
	b := ir.NewBuilder(g, "")
	in := make([]*ir.Value, len(c.In))
	need := make([]bool, len(c.In))
	var feed []*tensor.Tensor
	for _, i := range wrt {
		in[i] = g.AddInput(fmt.Sprintf("in%d", i), ir.TypeOf(c.In[i]))
		need[i] = true
		feed = append(feed, c.In[i])
	}
	for i, t := range c.In {
		if t != nil && in[i] == nil {
			in[i] = b.Const(fmt.Sprintf("in%d", i), t)
		}
	}
	out := b.Multi(c.Op, "node", max(1, c.Outputs), in...)
	if err := b.Err(); err != nil {
		return err
	}
	node := out[0].Def
	y0, err := c.eval(c.In)
	if err != nil {
		return err
	}
	used := c.Used
	if used == nil {
		for k, o := range out {
			if o.Type.DType.IsFloat() {
				used = append(used, k)
			}
		}
	}
	cot := make([]*tensor.Tensor, len(out))
	dOut := make([]*ir.Value, len(out))
	for _, k := range used {
		if want, ok := out[k].Type.Shape(); !ok || !want.Equal(y0[k].Shape()) {
			return fmt.Errorf("output %d: inference says %v, evaluation gives %v", k, out[k].Type, y0[k])
		}
		cot[k] = Normal(rng, y0[k].Shape()...)
		dOut[k] = b.Const(fmt.Sprintf("u%d", k), convert(cot[k], out[k].Type.DType))
	}
	grads, err := d.Grad(b, node, dOut, need)
	if err == nil {
		err = b.Err()
	}
	if err != nil {
		return err
	}
	if len(grads) != len(in) {
		return fmt.Errorf("got %d gradients, want %d", len(grads), len(in))
	}
	var outs []*ir.Value
	for _, i := range wrt {
		if grads[i] != nil {
			if !grads[i].Type.Equal(in[i].Type) {
				return fmt.Errorf("gradient of input %d: got %v, want %v", i, grads[i].Type, in[i].Type)
			}
			outs = append(outs, grads[i])
		}
	}
	if err := ir.Verify(g); err != nil {
		return err
	}
	vals, err := ir.Eval(context.Background(), g, feed, outs...)
	if err != nil {
		return err
	}

	step, tol, wide := c.Step, c.Tol, true
	at := make([]*tensor.Tensor, len(c.In))
	for i, t := range c.In {
		if at[i] = t; t != nil && t.DType().IsFloat() {
			at[i] = convert(t, tensor.Float64)
		}
	}
	if _, err := c.eval(at); err != nil {
		at, wide = append([]*tensor.Tensor(nil), c.In...), false
	}
	if step == 0 {
		step = map[bool]float64{true: 1e-4, false: 1e-2}[wide]
	}
	if tol == 0 {
		tol = map[bool]float64{true: 1e-4, false: 1e-2}[wide]
	}
	for _, i := range wrt {
		grad := tensor.New(tensor.Float64, c.In[i].Shape()...)
		if grads[i] != nil {
			grad = convert(vals[0], tensor.Float64)
			vals = vals[1:]
		}
		for range 3 {
			if err := c.direction(rng, at, i, tensor.Data[float64](grad), cot, step, tol); err != nil {
				return fmt.Errorf("input %d: %w", i, err)
			}
		}
	}
	return nil
}

// direction compares along one random direction of input i.
func (c Case) direction(rng *rand.Rand, at []*tensor.Tensor, i int, grad []float64, cot []*tensor.Tensor, step, tol float64) error {
	x, err := at[i].Float64s()
	if err != nil {
		return err
	}
	plus, minus := append([]float64(nil), x...), append([]float64(nil), x...)
	for j := range x {
		d := step * rng.NormFloat64()
		plus[j] += d
		minus[j] -= d
	}
	f := func(v []float64) (float64, []float64, error) {
		in := append([]*tensor.Tensor(nil), at...)
		in[i] = convert(tensor.From(v, at[i].Shape()...), at[i].DType())
		used, err := in[i].Float64s() // after rounding
		if err != nil {
			return 0, nil, err
		}
		y, err := c.eval(in)
		if err != nil {
			return 0, nil, err
		}
		sum := 0.0
		for k, u := range cot {
			if u == nil {
				continue
			}
			yk, err := y[k].Float64s()
			if err != nil {
				return 0, nil, err
			}
			for j, w := range u.F32() {
				sum += float64(w) * yk[j]
			}
		}
		return sum, used, nil
	}
	fp, xp, err := f(plus)
	if err != nil {
		return err
	}
	fm, xm, err := f(minus)
	if err != nil {
		return err
	}
	want, size := 0.0, 0.0
	for j, g := range grad {
		d := g * (xp[j] - xm[j])
		want += d
		size += math.Abs(d)
	}
	// A gradient that is zero still has rounding errors: the scale is at least that of δ.
	size = max(size, step*1e-2)
	if diff := math.Abs(fp - fm - want); !(diff <= tol*size) {
		return fmt.Errorf("along a random direction: got <grad, δ> = %g, want the difference %g (off by %.2g of Σ|grad·δ| = %g)", want, fp-fm, diff/size, size)
	}
	return nil
}

// eval evaluates the operator; a panic on an element type it does not know is
// an error here.
func (c Case) eval(in []*tensor.Tensor) (out []*tensor.Tensor, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	e, ok := c.Op.(ir.Evaluator)
	if !ok {
		return nil, fmt.Errorf("has no evaluator")
	}
	return e.Eval(in)
}

func convert(t *tensor.Tensor, d tensor.DType) *tensor.Tensor {
	if t.DType() == d {
		return t
	}
	v, err := t.Float64s()
	if err != nil {
		panic("gradcheck: " + err.Error())
	}
	if d == tensor.Float64 {
		return tensor.From(v, t.Shape()...)
	}
	f := make([]float32, len(v))
	for i, x := range v {
		f[i] = float32(x)
	}
	return tensor.From(f, t.Shape()...)
}

// Normal returns a float32 tensor of standard normal values.
func Normal(rng *rand.Rand, shape ...int) *tensor.Tensor {
	t := tensor.New(tensor.Float32, shape...)
	for i := range t.F32() {
		t.F32()[i] = float32(rng.NormFloat64())
	}
	return t
}

// Rand is [Normal] with a generator of its own.
func Rand(seed uint64, shape ...int) *tensor.Tensor {
	return Normal(rand.New(rand.NewPCG(seed, 7)), shape...)
}

// Uniform returns a float32 tensor of values from lo to hi.
func Uniform(seed uint64, lo, hi float64, shape ...int) *tensor.Tensor {
	rng := rand.New(rand.NewPCG(seed, 8))
	t := tensor.New(tensor.Float32, shape...)
	for i := range t.F32() {
		t.F32()[i] = float32(lo + (hi-lo)*rng.Float64())
	}
	return t
}

// AwayFrom is [Rand] with every element moved at least gap away from kink.
func AwayFrom(seed uint64, kink, gap float64, shape ...int) *tensor.Tensor {
	t := Rand(seed, shape...)
	for i, v := range t.F32() {
		switch d := float64(v) - kink; {
		case d >= 0 && d < gap:
			t.F32()[i] = float32(kink + gap + d)
		case d < 0 && d > -gap:
			t.F32()[i] = float32(kink - gap + d)
		}
	}
	return t
}

// Distinct returns a float32 tensor of values at least 0.1 apart, in random
// order: for maxima.
func Distinct(seed uint64, shape ...int) *tensor.Tensor {
	rng := rand.New(rand.NewPCG(seed, 9))
	t := tensor.New(tensor.Float32, shape...)
	n := t.Len()
	for i, p := range rng.Perm(n) {
		t.F32()[i] = 0.1 * float32(p-n/2)
	}
	return t
}

// Ints returns an int64 tensor of rank 1.
func Ints(v ...int64) *tensor.Tensor { return tensor.From(v, len(v)) }

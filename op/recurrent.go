package op

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Recurrent is what LSTM, GRU and RNN have in common: a cell that goes over a
// sequence and keeps a state of H numbers for each sample.
//
//	in  0 x [T, N, I]   1 w [D, G·H, I]   2 r [D, G·H, H]   3 b [D, 2·G·H], optional: w's bias, then r's
//	    4 sequence lengths [N], int32, optional   5 initial h [D, N, H], optional: zero
//	out 0 y [T, D, N, H]   1 last h [D, N, H]
//
// D is 2 if Direction is bidirectional, G the number of the cell's gates. With
// BatchFirst (attribute layout = 1) N comes first everywhere but in w, r and b:
// x [N, T, I], y [N, T, D, H], states [N, D, H]. Behind its length a sequence
// has y = 0, and the last state is that of its own end.
type Recurrent struct {
	// Direction is "" for forward, "reverse" or "bidirectional".
	Direction string
	// Activations are the functions of the gates, for one direction after the
	// other; nil means Sigmoid for gates and Tanh for what they gate. Alpha and Beta
	// are the constants of those functions that have any, in order; what is left
	// out has ONNX's default.
	Activations []string
	Alpha, Beta []float32
	// Clip bounds the arguments of the gates' functions to ±Clip; 0 means no bound.
	Clip float32
	// HiddenSize, unless it is 0, is checked against the weights.
	HiddenSize int
	BatchFirst bool
	// Training adds outputs behind those of ONNX, which the gradient needs.
	Training bool
}

// cell says what is particular about LSTM, GRU or RNN.
type cell struct {
	gates  int
	funcs  []string // the default functions of one direction
	inputs int
}

// Directions returns 2 for a bidirectional cell, else 1.
func (r Recurrent) Directions() int {
	if r.Direction == "bidirectional" {
		return 2
	}
	return 1
}

// Reversed reports whether direction d reads the sequence from its end.
func (r Recurrent) Reversed(d int) bool { return r.Direction == "reverse" || d == 1 }

// Cell is an LSTM, GRU or RNN.
type Cell interface {
	ir.Op
	// Shared returns what all cells have, With the cell with another such part.
	Shared() Recurrent
	With(Recurrent) ir.Op
	// Functions returns those of the gates, for one direction after the other.
	Functions() ([]CellFunction, error)
}

// Shared implements [Cell].
func (r Recurrent) Shared() Recurrent { return r }

// IsRecurrent reports whether o is an LSTM, GRU or RNN.
func IsRecurrent(o ir.Op) bool {
	_, ok := o.(Cell)
	return ok
}

// recurrentSize are the axes of a cell's operands.
type recurrentSize struct{ t, n, d, i, h, g int }

// check returns what is wrong with the attributes.
func (r Recurrent) check(c cell) error {
	if !slices.Contains([]string{"", "reverse", "bidirectional"}, r.Direction) {
		return fmt.Errorf("direction: got %q, want forward, reverse or bidirectional", r.Direction)
	}
	if !(r.Clip >= 0) {
		return fmt.Errorf("clip: got %g, want a positive bound", r.Clip)
	}
	if r.HiddenSize < 0 {
		return fmt.Errorf("hidden_size: got %d, want a positive number", r.HiddenSize)
	}
	_, err := r.functions(c)
	return err
}

// functions returns the functions of all directions, one after the other.
func (r Recurrent) functions(c cell) ([]CellFunction, error) {
	n := r.Directions() * len(c.funcs)
	names := r.Activations
	if len(names) == 0 {
		names = slices.Repeat(c.funcs, r.Directions())
	}
	if len(names) != n {
		return nil, fmt.Errorf("activations: got %d of them (%s), want %d: %d for each of %d directions",
			len(names), strings.Join(names, ", "), n, len(c.funcs), r.Directions())
	}
	alpha, beta := r.Alpha, r.Beta
	list := make([]CellFunction, n)
	for i, name := range names {
		k := slices.IndexFunc(cellFunctions, func(f CellFunction) bool { return strings.EqualFold(f.Name, name) })
		if k < 0 {
			var known []string
			for _, f := range cellFunctions {
				known = append(known, f.Name)
			}
			return nil, fmt.Errorf("activations: got %q, want one of %s", name, strings.Join(known, ", "))
		}
		f := cellFunctions[k]
		if f.hasAlpha && len(alpha) > 0 {
			f.Alpha, alpha = float64(alpha[0]), alpha[1:]
		}
		if f.hasBeta && len(beta) > 0 {
			f.Beta, beta = float64(beta[0]), beta[1:]
		}
		list[i] = f
	}
	return list, nil
}

// infer checks the inputs and returns the types of y and of a state.
func (r Recurrent) infer(in []*ir.Value, c cell) (y, state ir.Type, s recurrentSize, err error) {
	fail := func(format string, args ...any) (ir.Type, ir.Type, recurrentSize, error) {
		return y, state, s, fmt.Errorf(format, args...)
	}
	if err = wantInputs(in, 3, c.inputs); err != nil {
		return
	}
	if err = r.check(c); err != nil {
		return
	}
	for i, v := range in {
		if v == nil {
			continue
		}
		if i == 4 {
			if err = wantDType(v, "sequence_lens", tensor.Int32, tensor.Int64); err != nil {
				return
			}
			continue
		}
		if err = wantSameDType(in[0], v); err != nil {
			return
		}
	}
	if err = wantFloat(in[0]); err != nil {
		return
	}
	x, w, h := in[0].Type, in[1].Type, in[2].Type
	rec, ok := h.Shape()
	if !ok || len(rec) != 3 || rec[1] != c.gates*rec[2] || rec[0] != r.Directions() {
		return fail("r: got %v, want known axes [%d %d·H H]", h, r.Directions(), c.gates)
	}
	s = recurrentSize{d: rec[0], h: rec[2], g: c.gates}
	if r.HiddenSize != 0 && r.HiddenSize != s.h {
		return fail("hidden_size: got %d for r %v, want %d", r.HiddenSize, h, s.h)
	}
	if x.Rank() != 3 {
		return fail("x: got %v, want 3 axes", x)
	}
	mat, ok := w.Shape()
	if !ok || len(mat) != 3 || mat[0] != s.d || mat[1] != s.g*s.h || !x.Dims[2].MayEqual(ir.Len(mat[2])) {
		return fail("w: got %v for x %v, want [%d %d %v]", w, x, s.d, s.g*s.h, x.Dims[2])
	}
	s.i = mat[2]
	t, n := x.Dims[0], x.Dims[1]
	if r.BatchFirst {
		t, n = n, t
	}
	d, hid := ir.Len(s.d), ir.Len(s.h)
	state = ir.Type{DType: x.DType, Dims: []ir.Dim{d, n, hid}}
	y = ir.Type{DType: x.DType, Dims: []ir.Dim{t, d, n, hid}}
	if r.BatchFirst {
		state.Dims, y.Dims = []ir.Dim{n, d, hid}, []ir.Dim{n, t, d, hid}
	}
	for _, o := range []struct {
		i    int
		name string
		dims []ir.Dim
	}{
		{3, "b", []ir.Dim{d, ir.Len(2 * s.g * s.h)}},
		{4, "sequence_lens", []ir.Dim{n}},
		{5, "initial_h", state.Dims},
		{6, "initial_c", state.Dims},
		{7, "p", []ir.Dim{d, ir.Len(3 * s.h)}},
	} {
		v := present(in, o.i)
		if v == nil {
			continue
		}
		same := v.Type.Rank() == len(o.dims)
		for i := range min(len(o.dims), v.Type.Rank()) {
			same = same && v.Type.Dims[i].MayEqual(o.dims[i])
		}
		if !same {
			return fail("%s: got %v, want %v", o.name, v.Type, ir.Type{DType: v.Type.DType, Dims: o.dims})
		}
	}
	return y, state, s, nil
}

// steps is the type of a tensor with k numbers for each direction, time and sample.
func (r Recurrent) steps(y ir.Type, k int) ir.Type {
	t, d, n := y.Dims[0], y.Dims[1], y.Dims[2]
	if r.BatchFirst {
		n, t, d = y.Dims[0], y.Dims[1], y.Dims[2]
	}
	return ir.Type{DType: y.DType, Dims: []ir.Dim{d, t, n, ir.Len(k)}}
}

func (r Recurrent) cost(n *ir.Node, c cell) ir.Cost {
	x, w, h := n.In[0].Type.MustShape(), n.In[1].Type.MustShape(), n.In[2].Type.MustShape()
	steps := int64(x[0]) * int64(x[1])
	return ir.Cost{MACs: steps * int64(w.Numel()+h.Numel()), Ops: steps * int64(h[0]*h[2]*4*c.gates)}
}

// backCost counts the product of a gradient operator with r.
func backCost(n *ir.Node) ir.Cost {
	y, r := n.In[0].Type.MustShape(), n.In[1].Type.MustShape()
	steps := int64(y[0]) * int64(y[2])
	return ir.Cost{MACs: steps * int64(r.Numel()), Ops: steps * int64(r[0]*r[1]*6)}
}

// recurrentPorts are those of w; those of r are [recurrentWeights].
func recurrentPorts() ir.WeightPorts {
	return ir.WeightPorts{Weight: 1, OutAxis: 1, InAxis: 2, Bias: 3}
}

// recurrentWeights are the ports behind the first ones: r, and the peepholes of
// an LSTM.
func recurrentWeights(n *ir.Node) []ir.WeightPorts {
	p := []ir.WeightPorts{{Weight: 2, OutAxis: 1, InAxis: 2, Bias: -1}}
	if n.Input(7) != nil {
		p = append(p, ir.WeightPorts{Weight: -1, OutAxis: -1, InAxis: -1, Bias: 7})
	}
	return p
}

func decodeRecurrent(d *Decoder, c cell) Recurrent {
	r := Recurrent{
		Direction: d.Str("direction", "forward"), Activations: d.Strs("activations"),
		Alpha: d.Floats("activation_alpha"), Beta: d.Floats("activation_beta"),
		Clip: d.Float("clip", 0), HiddenSize: d.Int("hidden_size", 0),
	}
	if r.Direction == "forward" {
		r.Direction = ""
	}
	if d.Has("clip") && !(r.Clip > 0) {
		d.Errorf("clip: got %g, want a positive bound", r.Clip)
	}
	if d.Opset >= 14 {
		r.BatchFirst = d.Bool("layout", false)
	}
	if err := r.check(c); err != nil {
		d.Errorf("%w", err)
	}
	return r
}

func encodeRecurrent(e *Encoder, r Recurrent, outputs int) {
	set := func(name string, v any, ok bool) {
		if ok {
			e.Set(name, v)
		}
	}
	set("direction", r.Direction, r.Direction != "")
	set("activations", r.Activations, len(r.Activations) > 0)
	set("activation_alpha", r.Alpha, len(r.Alpha) > 0)
	set("activation_beta", r.Beta, len(r.Beta) > 0)
	set("clip", r.Clip, r.Clip > 0)
	if h, ok := e.Node.In[2].Type.Dims[2].Known(); ok {
		e.Set("hidden_size", h)
	}
	if r.BatchFirst {
		e.MinOpset(14)
		e.Set("layout", 1)
	}
	for i := outputs; i < len(e.Node.Out); i++ {
		if e.Node.Out[i] != nil {
			e.Errorf("what the gradient needs (outputs from %d on) has no place in a file; strip the training form first", outputs)
			break
		}
	}
}

// CellFunction is a function of a recurrent cell's gates.
type CellFunction struct {
	Name        string
	Alpha, Beta float64

	hasAlpha, hasBeta bool
	value, slope      func(v, alpha, beta float64) float64
}

// Value returns f(x).
func (f CellFunction) Value(x float64) float64 { return f.value(x, f.Alpha, f.Beta) }

// Slope returns f'(x), given y = f(x).
func (f CellFunction) Slope(y float64) float64 { return f.slope(y, f.Alpha, f.Beta) }

// Limits returns the values between which the slope is not 0 if the argument is
// clipped to ±clip: those at ±clip, less what float32 may round; everything if
// clip is 0.
func (f CellFunction) Limits(clip float64) (lo, hi float64) {
	if clip == 0 {
		return math.Inf(-1), math.Inf(1)
	}
	lo, hi = f.Value(-clip), f.Value(clip)
	lo, hi = min(lo, hi), max(lo, hi)
	e := 0x1p-21 * max(-lo, hi)
	return lo + e, hi - e
}

// differentiable returns why Slope is not defined, or nil.
func (f CellFunction) differentiable() error {
	if f.Alpha < 0 && (f.Name == "LeakyRelu" || f.Name == "Elu" || f.Name == "ThresholdedRelu") {
		return fmt.Errorf("activation %s with alpha %g has no gradient, since it is not monotone; want an alpha of at least 0", f.Name, f.Alpha)
	}
	return nil
}

// cellFunctions are those of the ONNX operators, with their defaults.
var cellFunctions = []CellFunction{
	{Name: "Relu", value: func(x, _, _ float64) float64 { return max(x, 0) }, slope: func(y, _, _ float64) float64 { return step(y > 0, 1, 0) }},
	{Name: "Tanh", value: func(x, _, _ float64) float64 { return math.Tanh(x) }, slope: func(y, _, _ float64) float64 { return 1 - y*y }},
	{Name: "Sigmoid", value: func(x, _, _ float64) float64 { return sigmoid(x) }, slope: func(y, _, _ float64) float64 { return y * (1 - y) }},
	{Name: "Affine", Alpha: 1, hasAlpha: true, hasBeta: true,
		value: func(x, a, b float64) float64 { return a*x + b }, slope: func(_, a, _ float64) float64 { return a }},
	{Name: "LeakyRelu", Alpha: 0.01, hasAlpha: true,
		value: func(x, a, _ float64) float64 { return step(x < 0, a*x, x) }, slope: func(y, a, _ float64) float64 { return step(y < 0, a, 1) }},
	{Name: "ThresholdedRelu", Alpha: 1, hasAlpha: true,
		value: func(x, a, _ float64) float64 { return step(x > a, x, 0) }, slope: func(y, a, _ float64) float64 { return step(y > a, 1, 0) }},
	{Name: "ScaledTanh", Alpha: 1, Beta: 1, hasAlpha: true, hasBeta: true,
		value: func(x, a, b float64) float64 { return a * math.Tanh(b*x) },
		slope: func(y, a, b float64) float64 { return step(a == 0, 0, b*(a-y*y/a)) }},
	{Name: "HardSigmoid", Alpha: 0.2, Beta: 0.5, hasAlpha: true, hasBeta: true,
		value: func(x, a, b float64) float64 { return max(0, min(1, a*x+b)) },
		slope: func(y, a, _ float64) float64 { return step(y > 0 && y < 1, a, 0) }},
	{Name: "Elu", Alpha: 1, hasAlpha: true,
		value: func(x, a, _ float64) float64 { return step(x < 0, a*math.Expm1(x), x) },
		slope: func(y, a, _ float64) float64 { return step(y < 0, y+a, 1) }},
	{Name: "Softsign", value: func(x, _, _ float64) float64 { return x / (1 + math.Abs(x)) },
		slope: func(y, _, _ float64) float64 { return (1 - math.Abs(y)) * (1 - math.Abs(y)) }},
	{Name: "Softplus", value: func(x, _, _ float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) },
		slope: func(y, _, _ float64) float64 { return -math.Expm1(-y) }},
}

func step(c bool, a, b float64) float64 {
	if c {
		return a
	}
	return b
}

package op

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Pad extends (or, with negative pads, cuts) the ends of some axes. Mode is
// "" (constant), "reflect" (mirrored without the edge), "edge" or "wrap".
//
//	in  0 x   1 pads int64 [2k], begins then ends   2 value, scalar, optional: 0   3 axes [k], optional: all
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Pad.html
type Pad struct{ Mode string }

var (
	_ ir.Evaluator      = Pad{}
	_ ir.Differentiable = Pad{}
	_ ir.AxisCutter     = Pad{}
	_ ir.QuantTraited   = Pad{}
)

func (Pad) Kind() string { return "Pad" }

func (p Pad) checkMode() error {
	switch p.Mode {
	case "", "reflect", "edge", "wrap":
		return nil
	}
	return fmt.Errorf("mode: got %q, want constant, reflect, edge or wrap", p.Mode)
}

// padList spreads pads over all axes: begins, then ends.
func padList(rank int, pads, axes []int, listed bool) ([]int, error) {
	if !listed {
		axes = make([]int, rank)
		for i := range axes {
			axes[i] = i
		}
	}
	if len(pads) != 2*len(axes) {
		return nil, fmt.Errorf("pads: got %d entries for %d axes, want two for each", len(pads), len(axes))
	}
	out := make([]int, 2*rank)
	seen := make([]bool, rank)
	for i, v := range axes {
		a, err := tensor.Axis(v, rank)
		if err != nil {
			return nil, err
		}
		if seen[a] {
			return nil, fmt.Errorf("axes %v name axis %d twice", axes, a)
		}
		seen[a] = true
		begin, end := pads[i], pads[i+len(axes)]
		if max(begin, end) > maxElements || min(begin, end) < -maxElements {
			return nil, fmt.Errorf("pads: got %v, want at most %d", pads, maxElements)
		}
		out[a], out[a+rank] = begin, end
	}
	return out, nil
}

// nodePads returns the pads of all axes if they are constant.
func nodePads(rank int, pads, axes *ir.Value) (list []int, ok bool, err error) {
	p, ok := pads.ConstInts()
	if !ok {
		return nil, false, nil
	}
	var ax []int
	if axes != nil {
		if ax, ok = axes.ConstInts(); !ok {
			return nil, false, nil
		}
	}
	list, err = padList(rank, p, ax, axes != nil)
	return list, err == nil, err
}

func (p Pad) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 4); err != nil {
		return nil, err
	}
	if err := p.checkMode(); err != nil {
		return nil, err
	}
	x := in[0].Type
	if err := wantSameDType(in[0], present(in, 2)); err != nil {
		return nil, err
	}
	if err := wantScalars([]*ir.Value{present(in, 2)}); err != nil {
		return nil, err
	}
	out := ir.Type{DType: x.DType, Dims: make([]ir.Dim, x.Rank())}
	pads, ok, err := nodePads(x.Rank(), in[1], present(in, 3))
	if err != nil {
		return nil, err
	}
	for i, d := range x.Dims {
		if !ok {
			out.Dims[i] = ir.Unknown()
			continue
		}
		out.Dims[i] = addDims(d, ir.Len(pads[i]+pads[i+x.Rank()]), 1)
		if n, known := d.Known(); known {
			if err := p.checkAxis(n, pads[i], pads[i+x.Rank()]); err != nil {
				return nil, fmt.Errorf("axis %d: %w", i, err)
			}
		}
	}
	return []ir.Type{out}, nil
}

// checkAxis checks the pads of an axis of n elements.
func (p Pad) checkAxis(n, begin, end int) error {
	if n+min(begin, 0)+min(end, 0) < 0 {
		return fmt.Errorf("pads %d and %d cut more than the %d elements", begin, end, n)
	}
	if n == 0 && p.Mode != "" && max(begin, end) > 0 {
		return errors.New("an empty axis can only be padded with a constant")
	}
	return nil
}

// source returns the element of an axis of length n that position i of the
// padded axis shows, -1 for the constant. Pads refer to what negative ones leave.
func (p Pad) source(i, n, begin, end int) int {
	lo, hi := max(0, -begin), n-max(0, -end) // what is left
	j, m := i-max(0, begin), hi-lo
	if j >= 0 && j < m {
		return lo + j
	}
	if m <= 0 {
		return -1
	}
	switch p.Mode {
	case "edge":
		j = min(max(j, 0), m-1)
	case "wrap":
		j = ((j % m) + m) % m
	case "reflect":
		if m == 1 {
			j = 0
			break
		}
		period := 2 * (m - 1)
		j = ((j % period) + period) % period
		if j >= m {
			j = period - j
		}
	default:
		return -1
	}
	return lo + j
}

// positions lists where each element of the padded tensor comes from, and its shape.
func (p Pad) positions(xs tensor.Shape, pads []int) (tensor.Shape, []int, error) {
	r := len(xs)
	shape := make(tensor.Shape, r)
	src := make([][]int, r)
	st := xs.Strides()
	for a, n := range xs {
		if err := p.checkAxis(n, pads[a], pads[a+r]); err != nil {
			return nil, nil, fmt.Errorf("axis %d: %w", a, err)
		}
		shape[a] = n + pads[a] + pads[a+r]
	}
	if err := checkSize(shape); err != nil {
		return nil, nil, err
	}
	for a, n := range xs {
		src[a] = make([]int, shape[a])
		for i := range src[a] {
			if src[a][i] = p.source(i, n, pads[a], pads[a+r]); src[a][i] > 0 {
				src[a][i] *= st[a]
			}
		}
	}
	return shape, crossPos(shape, src), nil
}

// crossPos lists Σ src[a][i_a] for all elements of shape; -1 in any axis gives -1.
func crossPos(shape tensor.Shape, src [][]int) []int {
	pos := []int{0}
	for a, n := range shape {
		next := make([]int, 0, len(pos)*n)
		for _, p := range pos {
			for _, s := range src[a] {
				if p < 0 || s < 0 {
					next = append(next, -1)
				} else {
					next = append(next, p+s)
				}
			}
		}
		pos = next
	}
	return pos
}

func (p Pad) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if err := p.checkMode(); err != nil {
		return nil, err
	}
	x := in[0]
	pads, err := evalPads(x.Rank(), in[1], present(in, 3))
	if err != nil {
		return nil, err
	}
	shape, pos, err := p.positions(x.Shape(), pads)
	if err != nil {
		return nil, err
	}
	y := pick(x, shape, pos)
	if v := present(in, 2); v != nil && p.Mode == "" {
		if v.Len() != 1 {
			return nil, fmt.Errorf("value: got shape %v, want one element", v.Shape())
		}
		for i, s := range pos {
			if pos[i] = -1; s < 0 {
				pos[i] = i
			}
		}
		place(y, pick(v, shape, make([]int, len(pos))), pos)
	}
	return one(y), nil
}

func evalPads(rank int, pads, axes *tensor.Tensor) ([]int, error) {
	p, err := pads.Ints()
	if err != nil {
		return nil, err
	}
	var ax []int
	if axes != nil {
		if ax, err = axes.Ints(); err != nil {
			return nil, err
		}
	}
	return padList(rank, p, ax, axes != nil)
}

func (p Pad) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	grads := make([]*ir.Value, len(n.In))
	xs := n.In[0].Type.MustShape()
	pads, ok, err := nodePads(len(xs), n.In[1], n.Input(3))
	if err != nil || !ok {
		return nil, errors.Join(errors.New("the gradient needs constant pads"), err)
	}
	if p.Mode != "" {
		if need[0] {
			grads[0] = b.Op(PadGrad{Mode: p.Mode, Shape: xs, Pads: pads}, n.Name+"/grad", dOut[0])
		}
		return grads, nil
	}
	inner := padConst(b, n.Name+"/grad", dOut[0], negated(pads))
	if need[0] {
		grads[0] = inner
	}
	if n.Input(2) != nil && need[2] {
		c := gradCalc(b, n)
		border := c.sub(c.op(ReduceSum{}, dOut[0]), c.op(ReduceSum{}, inner))
		if slices.Min(append(pads, 0)) < 0 {
			return nil, errors.New("the gradient of the value needs pads that are not negative")
		}
		grads[2] = reshapeTo(b, c.name, border, n.In[2].Type)
	}
	return grads, nil
}

func negated(v []int) []int {
	out := make([]int, len(v))
	for i, e := range v {
		out[i] = -e
	}
	return out
}

// MapAxes implements [ir.AxisMapper].
func (p Pad) MapAxes(n *ir.Node, m ir.AxisMap) {
	x, y := n.In[0], n.Out[0]
	rank := x.Type.Rank()
	pads, ok, err := nodePads(rank, n.In[1], n.Input(3))
	for a := range rank {
		k, known := x.Type.Dims[a].Known()
		_, all := y.Type.Dims[a].Known()
		switch {
		case ok && err == nil && pads[a] == 0 && pads[a+rank] == 0:
			tieAxes(m, x, a, y, a)
		case ok && err == nil && known && all && p.Mode == "":
			for i := max(0, -pads[a]); i < k+min(0, pads[a+rank]); i++ {
				m.Tie(x, a, i, y, a, i+pads[a])
			}
		default:
			m.Fix(x, a, "it is padded")
			m.Fix(y, a, "it is padded")
		}
	}
}

// CutAxes implements [ir.AxisCutter].
func (p Pad) CutAxes(b *ir.Builder, n *ir.Node, kept func(*ir.Value, int) []int) (ir.Op, []*ir.Value) {
	x, y := n.In[0], n.Out[0]
	rank := x.Type.Rank()
	pads, _, _ := nodePads(rank, n.In[1], n.Input(3))
	pads = slices.Clone(pads)
	for a := range rank {
		begin, end := pads[a], pads[a+rank]
		kx, ky := kept(x, a), kept(y, a)
		if kx == nil && ky == nil || begin == 0 && end == 0 {
			continue
		}
		nx, ny := x.Type.Dims[a].N, y.Type.Dims[a].N
		lost := func(k []int, lo, hi int) int { return countBelow(k, hi) - countBelow(k, lo) }
		if begin > 0 {
			pads[a] = lost(ky, 0, begin)
		} else {
			pads[a] = -lost(kx, 0, -begin)
		}
		if end > 0 {
			pads[a+rank] = lost(ky, ny-end, ny)
		} else {
			pads[a+rank] = -lost(kx, nx+end, nx)
		}
	}
	in := []*ir.Value{x, b.ConstInts(n.Name+"/pads", pads...)}
	if v := n.Input(2); v != nil {
		in = append(in, v)
	}
	return p, in
}

func (Pad) QuantTrait() ir.QuantTrait { return ir.QuantAgnostic }

// padConst pads all axes with zeros.
func padConst(b *ir.Builder, name string, x *ir.Value, pads []int) *ir.Value {
	if slices.Max(append(pads, 0)) == 0 && slices.Min(append(pads, 0)) == 0 {
		return x
	}
	return b.Op(Pad{}, name, x, b.ConstInts(name+"/pads", pads...))
}

func decodePad(d *Decoder) ir.Op {
	p := Pad{Mode: d.Str("mode", "constant")}
	if p.Mode == "constant" {
		p.Mode = ""
	}
	if d.Opset < 11 {
		d.IntsToInput("pads", 1)
		if v := d.Float("value", 0); v != 0 {
			dt := tensor.Float32
			if x := d.Input(0); x != nil && x.Type.DType.IsFloat() {
				dt = x.Type.DType
			}
			d.SetIn(2, d.Const("value", scalarTensor(dt, float64(v))))
		}
	}
	return p
}

func encodePad(e *Encoder) {
	p := e.Node.Op.(Pad)
	mode := p.Mode
	if mode == "" {
		mode = "constant"
	}
	e.Set("mode", mode)
	if mode == "wrap" {
		e.MinOpset(19)
	}
	if e.Opset >= 18 {
		return
	}
	rank := e.In[0].Type.Rank()
	if axes := present(e.In, 3); axes != nil || e.Opset < 11 {
		pads, ok, err := nodePads(rank, e.In[1], axes)
		switch {
		case err != nil:
			e.Errorf("%v", err)
		case !ok:
			e.Errorf("pads must be constant and axes absent at opset %d", e.Opset)
		case e.Opset < 11:
			e.Set("pads", pads)
		default:
			e.Errorf("axes need opset 18, the file has %d", e.Opset)
		}
	}
	if e.Opset >= 11 {
		return
	}
	if v := present(e.In, 2); v != nil {
		f, ok := constFloat(v)
		if !ok {
			e.Errorf("value must be constant at opset %d", e.Opset)
		}
		e.Set("value", float32(f))
	}
	e.In = e.In[:1]
}

// PadGrad adds up dy over the copies that [Pad] made of each element. Internal:
// the gradient of the modes other than constant.
//
//	in  0 dy
//	out 0 dx of the given Shape
type PadGrad struct {
	Mode        string
	Shape, Pads []int
}

var (
	_ ir.Evaluator      = PadGrad{}
	_ ir.Differentiable = PadGrad{}
)

func (PadGrad) Kind() string { return "PadGrad" }

func (g PadGrad) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 1, 1); err != nil {
		return nil, err
	}
	if err := tensor.Shape(g.Shape).Check(); err != nil {
		return nil, err
	}
	if len(g.Pads) != 2*len(g.Shape) || in[0].Type.Rank() != len(g.Shape) {
		return nil, fmt.Errorf("got pads %v and gradient %v for shape %v, want equal ranks", g.Pads, in[0].Type, g.Shape)
	}
	return []ir.Type{ir.MakeType(in[0].Type.DType, g.Shape...)}, nil
}

func (g PadGrad) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if err := checkSize(g.Shape); err != nil {
		return nil, err
	}
	shape, pos, err := Pad{Mode: g.Mode}.positions(g.Shape, g.Pads)
	if err != nil {
		return nil, err
	}
	if !shape.Equal(in[0].Shape()) {
		return nil, fmt.Errorf("got %v, want %v", in[0].Shape(), shape)
	}
	return oneErr(addAt(in[0], g.Shape, pos))
}

// addAt adds the elements of src, in order, to zeros of the given shape.
func addAt(src *tensor.Tensor, shape tensor.Shape, pos []int) (*tensor.Tensor, error) {
	v, err := src.Float64s()
	if err != nil {
		return nil, err
	}
	acc := make([]float64, shape.Numel())
	for i, p := range pos {
		if p >= 0 {
			acc[p] += v[i]
		}
	}
	return fromFloats(src.DType(), acc, shape...), nil
}

func (g PadGrad) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return first(b.Op(Pad{Mode: g.Mode}, n.Name+"/grad", dOut[0], b.ConstInts(n.Name+"/pads", g.Pads...)), n)
}

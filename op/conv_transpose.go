package op

import (
	"fmt"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// ConvTranspose is the adjoint of [Conv]: y[n,o, s·p + d·k - pad] += x[n,i,p] · w[i,o,k]
// over all i, k, per group, plus b[o].
//
//	in  0 x [N, C, spatial…]   1 w [C, O/Group, kernel…]   2 b [O], optional
//	out 0 y [N, O, spatial'…], spatial' = s·(spatial-1) + output_padding + d·(kernel-1) + 1 - pads
//
// OutputShape, if set, gives spatial' and the pads follow from it and AutoPad.
// https://onnx.ai/onnx/operators/onnx__ConvTranspose.html
type ConvTranspose struct {
	Group int
	Window
	OutputPadding, OutputShape []int
}

var (
	_ ir.Evaluator      = ConvTranspose{}
	_ ir.Differentiable = ConvTranspose{}
	_ ir.Costed         = ConvTranspose{}
	_ ir.AxisCutter     = ConvTranspose{}
	_ ir.QuantTraited   = ConvTranspose{}
	_ ir.Weighted       = ConvTranspose{}
)

func (ConvTranspose) Kind() string { return "ConvTranspose" }

// Groups returns the number of groups, at least 1.
func (c ConvTranspose) Groups() int { return max(1, c.Group) }

// Resolved returns the window with all pads filled in, and the output lengths,
// for given input and kernel lengths.
func (c ConvTranspose) Resolved(spatial, kernel []int) (Window, []int, error) {
	r := len(kernel)
	w := Window{Strides: filled(c.Strides, r, 1), Dilations: filled(c.Dilations, r, 1), Pads: append([]int(nil), filled(c.Pads, 2*r, 0)...)}
	extra := filled(c.OutputPadding, r, 0)
	out := make([]int, r)
	for i := range r {
		full := w.Strides[i]*(spatial[i]-1) + extra[i] + (kernel[i]-1)*w.Dilations[i] + 1
		want := full - w.Pads[i] - w.Pads[i+r]
		switch {
		case c.OutputShape != nil:
			want = c.OutputShape[i]
		case c.AutoPad == "SAME_UPPER" || c.AutoPad == "SAME_LOWER":
			want = min(spatial[i]*w.Strides[i], full) // pads are not negative
		case c.AutoPad == "VALID":
			w.Pads[i], w.Pads[i+r] = 0, 0
			out[i] = full
			continue
		default:
			out[i] = want
			continue
		}
		total := max(0, full-want)
		if c.AutoPad == "SAME_UPPER" {
			w.Pads[i], w.Pads[i+r] = total/2, total-total/2
		} else {
			w.Pads[i], w.Pads[i+r] = total-total/2, total/2
		}
		out[i] = want
	}
	for i, n := range out {
		if n <= 0 {
			return w, out, fmt.Errorf("output axis %d would have length %d", i, n)
		}
	}
	return w, out, nil
}

func (c ConvTranspose) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 3); err != nil {
		return nil, err
	}
	if err := wantSameDType(in...); err != nil {
		return nil, err
	}
	if err := wantFloat(in...); err != nil {
		return nil, err
	}
	if err := wantRank(in[0], "input", 3, 5); err != nil {
		return nil, err
	}
	x, w := in[0].Type, in[1].Type
	if w.Rank() != x.Rank() {
		return nil, fmt.Errorf("weight: got %v for input %v, want the same rank", w, x)
	}
	ws, ok := w.Shape()
	if !ok {
		return nil, fmt.Errorf("weight: got %v, want known axes", w)
	}
	r := x.Rank() - 2
	if err := c.check(r); err != nil {
		return nil, err
	}
	for _, l := range [][]int{c.OutputPadding, c.OutputShape} {
		if l != nil && len(l) != r {
			return nil, fmt.Errorf("output_padding, output_shape: got %v, want %d entries", l, r)
		}
	}
	g := c.Groups()
	if ws[0]%g != 0 || !x.Dims[1].MayEqual(w.Dims[0]) {
		return nil, fmt.Errorf("weight: got %v with %d groups for input %v, want [C O/group kernel…]", w, g, x)
	}
	o := ws[1] * g
	if b := present(in, 2); b != nil && (b.Type.Rank() != 1 || !b.Type.Dims[0].MayEqual(ir.Len(o))) {
		return nil, fmt.Errorf("bias: got %v, want [%d]", b.Type, o)
	}
	out := ir.Type{DType: x.DType, Dims: []ir.Dim{x.Dims[0], ir.Len(o)}}
	spatial, ok := ir.Type{Dims: x.Dims[2:]}.Shape()
	if !ok {
		for range r {
			out.Dims = append(out.Dims, ir.Unknown())
		}
		return []ir.Type{out}, nil
	}
	_, lens, err := c.Resolved(spatial, ws[2:])
	if err != nil {
		return nil, err
	}
	for _, n := range lens {
		out.Dims = append(out.Dims, ir.Len(n))
	}
	return []ir.Type{out}, nil
}

func (c ConvTranspose) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if err := wantTensors(in, 2); err != nil {
		return nil, err
	}
	v, err := realsOf(in...)
	if err != nil {
		return nil, err
	}
	xs, ws := in[0].Shape(), in[1].Shape()
	if len(xs) < 3 || len(ws) != len(xs) || xs[1] != ws[0] {
		return nil, fmt.Errorf("got weight %v for input %v, want [C O/group kernel…]", ws, xs)
	}
	win, lens, err := c.Resolved(xs[2:], ws[2:])
	if err != nil {
		return nil, err
	}
	o := ws[1] * c.Groups()
	ys := append(tensor.Shape{xs[0], o}, lens...)
	if err := checkSize(ys); err != nil {
		return nil, err
	}
	g, err := newConvGeometry(c.Groups(), win, ys, ws)
	if err != nil {
		return nil, err
	}
	for i, n := range g.spatialOut {
		if n != xs[2+i] {
			return nil, fmt.Errorf("output_padding %v does not fit input %v", c.OutputPadding, xs)
		}
	}
	y := make([]float64, ys.Numel())
	for n := range g.n {
		for i := range g.o { // the input's channels are the forward convolution's outputs
			xo := v[0][(n*g.o+i)*g.ySize:][:g.ySize]
			g.taps(n, i, func(xi, yi, wi int) { y[yi] += xo[xi] * v[1][wi] })
		}
	}
	if len(v) > 2 && v[2] != nil {
		b := v[2]
		if len(b) != o {
			return nil, fmt.Errorf("bias: got %d elements, want %d", len(b), o)
		}
		for i := range y {
			y[i] += b[i/g.xSize%o]
		}
	}
	return one(fromFloats(in[0].DType(), y, ys...)), nil
}

func (c ConvTranspose) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	x, w, dy := n.In[0], n.In[1], dOut[0]
	xs, ws := x.Type.MustShape(), w.Type.MustShape()
	win, _, err := c.Resolved(xs[2:], ws[2:])
	if err != nil {
		return nil, err
	}
	grads := make([]*ir.Value, len(n.In))
	if need[0] {
		grads[0] = b.Op(Conv{Group: c.Group, Window: win}, n.Name+"/grad_input", dy, w)
	}
	if need[1] {
		grads[1] = b.Op(ConvGradWeight{Group: c.Group, Window: win, Kernel: ws[2:]}, n.Name+"/grad_weight", dy, x)
	}
	if len(n.In) > 2 && need[2] {
		grads[2] = sumChannels(b, n.Name+"/grad_bias", dy)
	}
	return grads, nil
}

func (c ConvTranspose) Cost(n *ir.Node) ir.Cost {
	x, w := n.In[0].Type.MustShape(), n.In[1].Type.MustShape()
	return ir.Cost{MACs: int64(x.Numel()) * int64(w[1:].Numel())}
}

// MapAxes implements [ir.AxisMapper].
func (c ConvTranspose) MapAxes(n *ir.Node, m ir.AxisMap) {
	x, w, y := n.In[0], n.In[1], n.Out[0]
	groupAxes(m, x, w, y, present(n.In, 2), c.Groups(), 1, 0)
}

// CutAxes implements [ir.AxisCutter].
func (c ConvTranspose) CutAxes(_ *ir.Builder, n *ir.Node, kept func(*ir.Value, int) []int) (ir.Op, []*ir.Value) {
	c.Group = cutGroups(n, c.Groups(), kept)
	return c, n.In
}

func (ConvTranspose) QuantTrait() ir.QuantTrait { return ir.QuantInputs }

func (ConvTranspose) Weights(*ir.Node) ir.WeightPorts {
	return ir.WeightPorts{Weight: 1, OutAxis: 1, InAxis: 0, Bias: 2}
}

func decodeConvTranspose(d *Decoder) ir.Op {
	d.Ignore("kernel_shape")
	return ConvTranspose{Group: d.Int("group", 1), Window: decodeWindow(d),
		OutputPadding: d.Ints("output_padding"), OutputShape: d.Ints("output_shape")}
}

func encodeConvTranspose(e *Encoder) {
	c := e.Node.Op.(ConvTranspose)
	w := e.In[1].Type.MustShape()
	e.Set("kernel_shape", []int(w[2:]))
	e.Set("group", c.Groups())
	encodeWindow(e, c.Window)
	e.Set("output_padding", c.OutputPadding)
	e.Set("output_shape", c.OutputShape)
}

package op

import (
	"fmt"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Conv is y[n,o,p] = b[o] + Σ_{i,k} x[n, i, s·p + d·k - pad] · w[o,i,k], per group.
//
//	in  0 x [N, C, spatial…]   1 w [O, C/Group, kernel…]   2 b [O], optional
//	out 0 y [N, O, spatial'…]
//
// One to three spatial axes. Group 0 stands for 1.
// https://onnx.ai/onnx/operators/onnx__Conv.html
type Conv struct {
	Group int
	Window
}

var ( // what Conv can do; a missing line is a decision, not an oversight
	_ ir.Evaluator      = Conv{}
	_ ir.Differentiable = Conv{}
	_ ir.Costed         = Conv{}
	_ ir.AxisCutter     = Conv{}
	_ ir.QuantTraited   = Conv{}
	_ ir.Weighted       = Conv{}
)

func (Conv) Kind() string { return "Conv" }

// Groups returns the number of groups, at least 1.
func (c Conv) Groups() int { return max(1, c.Group) }

func (c Conv) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 3); err != nil {
		return nil, err
	}
	x, w := in[0].Type, in[1].Type
	if err := wantSameDType(in...); err != nil {
		return nil, err
	}
	if err := wantFloat(in...); err != nil {
		return nil, err
	}
	if err := wantRank(in[0], "input", 3, 5); err != nil {
		return nil, err
	}
	if w.Rank() != x.Rank() {
		return nil, fmt.Errorf("weight: got %v for input %v, want the same rank", w, x)
	}
	kernel, ok := ir.Type{Dims: w.Dims}.Shape()
	if !ok {
		return nil, fmt.Errorf("weight: got %v, want known axes", w)
	}
	r := x.Rank() - 2
	if err := c.check(r); err != nil {
		return nil, err
	}
	g := c.Groups()
	if kernel[0]%g != 0 || !x.Dims[1].MayEqual(ir.Len(kernel[1]*g)) {
		return nil, fmt.Errorf("weight: got %v with %d groups for input %v, want [O C/group kernel…] with O a multiple of the groups", w, g, x)
	}
	if b := present(in, 2); b != nil && (b.Type.Rank() != 1 || !b.Type.Dims[0].MayEqual(w.Dims[0])) {
		return nil, fmt.Errorf("bias: got %v, want [%d]", b.Type, kernel[0])
	}
	out := ir.Type{DType: x.DType, Dims: []ir.Dim{x.Dims[0], w.Dims[0]}}
	for i := range r {
		d, err := c.outLen(x.Dims[2+i], kernel[2+i], i, false)
		if err != nil {
			return nil, err
		}
		out.Dims = append(out.Dims, d)
	}
	return []ir.Type{out}, nil
}

func (c Conv) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if err := wantTensors(in, 2); err != nil {
		return nil, err
	}
	v, err := realsOf(in...)
	if err != nil {
		return nil, err
	}
	g, err := newConvGeometry(c.Groups(), c.Window, in[0].Shape(), in[1].Shape())
	if err != nil {
		return nil, err
	}
	var bias []float64
	if len(v) > 2 {
		if bias = v[2]; bias != nil && len(bias) != g.o {
			return nil, fmt.Errorf("bias: got %d elements, want %d", len(bias), g.o)
		}
	}
	y := make([]float64, g.n*g.o*g.ySize)
	for n := range g.n {
		for o := range g.o {
			yo := y[(n*g.o+o)*g.ySize:][:g.ySize]
			g.taps(n, o, func(yi, xi, wi int) { yo[yi] += v[0][xi] * v[1][wi] })
			if bias != nil {
				for i := range yo {
					yo[i] += bias[o]
				}
			}
		}
	}
	return one(fromFloats(in[0].DType(), y, g.yShape()...)), nil
}

func (c Conv) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	x, w, dy := n.In[0], n.In[1], dOut[0]
	xs, ws := x.Type.MustShape(), w.Type.MustShape()
	win := c.Resolved(xs[2:], ws[2:])
	grads := make([]*ir.Value, len(n.In))
	if need[0] {
		ys := dy.Type.MustShape()
		outPad := make([]int, len(ws)-2)
		for i := range outPad {
			full := (ys[2+i]-1)*win.Strides[i] + (ws[2+i]-1)*win.Dilations[i] + 1 - win.Pads[i] - win.Pads[i+len(outPad)]
			outPad[i] = xs[2+i] - full
		}
		grads[0] = b.Op(ConvTranspose{Group: c.Group, Window: win, OutputPadding: outPad}, n.Name+"/grad_input", dy, w)
	}
	if need[1] {
		grads[1] = b.Op(ConvGradWeight{Group: c.Group, Window: win, Kernel: ws[2:]}, n.Name+"/grad_weight", x, dy)
	}
	if len(n.In) > 2 && need[2] {
		grads[2] = sumChannels(b, n.Name+"/grad_bias", dy)
	}
	return grads, nil
}

func (c Conv) Cost(n *ir.Node) ir.Cost {
	w, y := n.In[1].Type.MustShape(), n.Out[0].Type.MustShape()
	macs := int64(y.Numel()) * int64(w[1:].Numel())
	return ir.Cost{MACs: macs}
}

// MapAxes implements [ir.AxisMapper].
func (c Conv) MapAxes(n *ir.Node, m ir.AxisMap) {
	x, w, y := n.In[0], n.In[1], n.Out[0]
	groupAxes(m, x, w, y, present(n.In, 2), c.Groups(), 0, 1)
}

// CutAxes implements [ir.AxisCutter].
func (c Conv) CutAxes(_ *ir.Builder, n *ir.Node, kept func(*ir.Value, int) []int) (ir.Op, []*ir.Value) {
	c.Group = cutGroups(n, c.Groups(), kept)
	return c, n.In
}

func (Conv) QuantTrait() ir.QuantTrait { return ir.QuantInputs }

func (Conv) Weights(*ir.Node) ir.WeightPorts {
	return ir.WeightPorts{Weight: 1, OutAxis: 0, InAxis: 1, Bias: 2}
}

func decodeConv(d *Decoder) ir.Op {
	d.Ignore("kernel_shape") // the weight has it
	return Conv{Group: d.Int("group", 1), Window: decodeWindow(d)}
}

func encodeConv(e *Encoder) {
	c := e.Node.Op.(Conv)
	w := e.In[1].Type.MustShape()
	e.Set("kernel_shape", []int(w[2:]))
	e.Set("group", c.Groups())
	encodeWindow(e, c.Window)
}

// sumChannels adds up all axes but the second: the gradient of a bias.
func sumChannels(b *ir.Builder, name string, dy *ir.Value) *ir.Value {
	axes := []int{0}
	for i := 2; i < dy.Type.Rank(); i++ {
		axes = append(axes, i)
	}
	return b.Op(ReduceSum{}, name, dy, b.ConstInts(name+"/axes", axes...))
}

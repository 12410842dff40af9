package op

import (
	"fmt"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// ConvGradWeight is the weight gradient of [Conv]:
// dw[o,i,k] = Σ_{n,p} x[n, i, s·p + d·k - pad] · dy[n,o,p], per group.
//
//	in  0 x [N, C, spatial…]   1 dy [N, O, spatial'…]
//	out 0 dw [O, C/Group, Kernel…]
//
// Internal: made by the gradients of Conv and ConvTranspose, whose window it
// takes with all pads resolved.
type ConvGradWeight struct {
	Group int
	Window
	Kernel []int
}

var (
	_ ir.Evaluator      = ConvGradWeight{}
	_ ir.Differentiable = ConvGradWeight{}
	_ ir.Costed         = ConvGradWeight{}
)

func (ConvGradWeight) Kind() string { return "ConvGradWeight" }

// Groups returns the number of groups, at least 1.
func (c ConvGradWeight) Groups() int { return max(1, c.Group) }

func (c ConvGradWeight) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 2); err != nil {
		return nil, err
	}
	x, dy := in[0].Type, in[1].Type
	if x.Rank() != dy.Rank() || len(c.Kernel) != x.Rank()-2 {
		return nil, fmt.Errorf("got input %v, gradient %v and kernel %v, want equal ranks", x, dy, c.Kernel)
	}
	if err := wantFloat(in...); err != nil {
		return nil, err
	}
	if err := (Pool{Kernel: c.Kernel, Window: c.Window}).checkPool(len(c.Kernel)); err != nil {
		return nil, err
	}
	ch, ok := x.Dims[1].Known()
	if !ok {
		return nil, fmt.Errorf("got input %v, want a known number of channels", x)
	}
	out := ir.Type{DType: x.DType, Dims: []ir.Dim{dy.Dims[1], ir.Len(ch / c.Groups())}}
	for _, k := range c.Kernel {
		out.Dims = append(out.Dims, ir.Len(k))
	}
	return []ir.Type{out}, nil
}

func (c ConvGradWeight) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if err := wantTensors(in, 2); err != nil {
		return nil, err
	}
	x, dy := in[0], in[1]
	if x.Rank() < 3 || dy.Rank() != x.Rank() || len(c.Kernel) != x.Rank()-2 {
		return nil, fmt.Errorf("got input %v, gradient %v and kernel %v, want equal ranks", x, dy, c.Kernel)
	}
	v, err := realsOf(in...)
	if err != nil {
		return nil, err
	}
	ws := append(tensor.Shape{dy.Shape()[1], x.Shape()[1] / c.Groups()}, c.Kernel...)
	if err := checkSize(ws); err != nil {
		return nil, err
	}
	g, err := newConvGeometry(c.Groups(), c.Window, x.Shape(), ws)
	if err != nil {
		return nil, err
	}
	if want := tensor.Shape(g.yShape()); !want.Equal(dy.Shape()) {
		return nil, fmt.Errorf("got gradient %v, want %v", dy.Shape(), want)
	}
	dw := make([]float64, ws.Numel())
	for n := range g.n {
		for o := range g.o {
			dyo := v[1][(n*g.o+o)*g.ySize:][:g.ySize]
			g.taps(n, o, func(yi, xi, wi int) { dw[wi] += v[0][xi] * dyo[yi] })
		}
	}
	return one(fromFloats(x.DType(), dw, ws...)), nil
}

func (c ConvGradWeight) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	x, dy, ddw := n.In[0], n.In[1], dOut[0]
	xs, ys := x.Type.MustShape(), dy.Type.MustShape()
	grads := make([]*ir.Value, 2)
	if need[0] {
		outPad := make([]int, len(c.Kernel))
		win := c.Resolved(xs[2:], c.Kernel)
		for i := range outPad {
			full := (ys[2+i]-1)*win.Strides[i] + (c.Kernel[i]-1)*win.Dilations[i] + 1 - win.Pads[i] - win.Pads[i+len(outPad)]
			outPad[i] = xs[2+i] - full
		}
		grads[0] = b.Op(ConvTranspose{Group: c.Group, Window: win, OutputPadding: outPad}, n.Name+"/grad_input", dy, ddw)
	}
	if need[1] {
		grads[1] = b.Op(Conv{Group: c.Group, Window: c.Window}, n.Name+"/grad_output", x, ddw)
	}
	return grads, nil
}

func (c ConvGradWeight) Cost(n *ir.Node) ir.Cost {
	dw, dy := n.Out[0].Type.MustShape(), n.In[1].Type.MustShape()
	return ir.Cost{MACs: int64(dy.Numel()) * int64(dw[1:].Numel())}
}

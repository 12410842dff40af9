package native

import (
	"fmt"
	"math"
	"slices"

	"github.com/go-nncf/nncf/autodiff"
	"github.com/go-nncf/nncf/internal/kernel/quant"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
)

// The quantizer of a network's input needs no gradient of its input, only of its
// scale s. With q(x, s) the quantized input, y = w∗q and dy the gradient of y,
//
//	ds = Σ (wᵀ∗dy)·∂q/∂s = Σ w·G    with G the weight gradient of ∂q/∂s and dy,
//
// since both are the sum of w·dy·∂q/∂s over all that meet. The data gradient wᵀ∗dy
// of an image has three channels, which leave most lanes of a vector unused;
// the weight gradient uses all of them.

// slopeChannels is the number of channels up to which this is the faster way:
// half of the widest vector.
const slopeChannels = 8

// withSlopes returns g, or a copy in which scales of input quantizers get their
// gradients from slopes.
func withSlopes(g *ir.Graph) (*ir.Graph, error) {
	at := func(g *ir.Graph) (grad, data *ir.Node) {
		for _, n := range g.Nodes() {
			if data := slopeOf(g, n); data != nil {
				return n, data
			}
		}
		return nil, nil
	}
	if n, _ := at(g); n == nil {
		return g, nil
	}
	g = g.Clone()
	for {
		n, data := at(g)
		if n == nil {
			return g, nil
		}
		q := op.FakeQuantizeSymmetric(n.Op.(op.FakeQuantizeSymmetricGrad))
		t := data.Op.(op.ConvTranspose)
		p := rewrite.New(g, autodiff.Rule, nil)
		dy, w := data.In[0], data.In[1]
		slope := p.B.Op(quantizerSlope{q}, n.Name+"/slope", n.In[0], n.In[1])
		dw := p.B.Op(op.ConvGradWeight{Group: t.Group, Window: t.Window, Kernel: w.Type.MustShape()[2:]}, n.Name+"/slope_weight", slope, dy)
		p.Replace(n.Out[1], p.B.Op(slopeSum{q}, n.Name+"/slope_sum", dw, w, n.In[1]))
		if err := p.Commit(); err != nil {
			return nil, err
		}
	}
}

// slopeOf returns the convolution's data gradient that only n needs, of which in
// turn only the gradient of the scale is needed; nil if it is not so.
func slopeOf(g *ir.Graph, n *ir.Node) *ir.Node {
	o, ok := n.Op.(op.FakeQuantizeSymmetricGrad)
	q := op.FakeQuantizeSymmetric(o)
	if !ok || q.Axis >= 0 || !levelsFit(q) || !isFloat(n.In...) || n.Output(1) == nil {
		return nil
	}
	if d := n.Output(0); d != nil && (len(d.Uses()) > 0 || leaves(g, d)) {
		return nil
	}
	dx := n.In[2]
	if dx.Def == nil || len(dx.Uses()) != 1 || leaves(g, dx) {
		return nil
	}
	t, ok := dx.Def.Op.(op.ConvTranspose)
	xs := n.In[0].Type.MustShape()
	if !ok || t.Groups() != 1 || len(xs) < 3 || xs[1] > slopeChannels || len(t.Window.Pads) != 2*(len(xs)-2) {
		return nil
	}
	return dx.Def
}

// leaves reports whether v leaves the graph.
func leaves(g *ir.Graph, v *ir.Value) bool {
	return slices.Contains(g.Outputs, v) || slices.ContainsFunc(g.Assigns, func(a ir.Assign) bool { return a.Src == v })
}

// quantizerSlope is the derivative of a symmetric fake-quantizer with one scale
// by |scale|, at each element, as its straight-through gradient has it:
//
//	in  0 x   1 scale
//	out 0 1 above the grid, low/high below it, (q(x)−x)/width inside
type quantizerSlope struct{ op.FakeQuantizeSymmetric }

func (quantizerSlope) Kind() string { return "QuantizerSlope" }

func (quantizerSlope) Infer(in []*ir.Value) ([]ir.Type, error) {
	if len(in) != 2 {
		return nil, fmt.Errorf("got %d inputs, want 2", len(in))
	}
	return []ir.Type{in[0].Type}, nil
}

func lowerQuantizerSlope(c *compiler, n *ir.Node) error {
	q := n.Op.(quantizerSlope).FakeQuantizeSymmetric
	x := c.in(n.In[0], channelsLast)
	buf := c.grid(n, symmetric(q, n.In[1]), 1)
	l := &link{node: n, name: "slope", light: true, in: []*slot{x}, out: c.out(n.Out[0], x.order), temps: []*temp{buf}}
	l.bind = func() tileFunc {
		g := quant.NewGrid(buf.mem, 1)
		s := quant.Slope{Above: 1, Below: float32(float64(q.Low) / float64(q.High)), Flat: q.ClipGrad, Exact: q.ExactSTE}
		return func(_ tile, dst []float32, src [][]float32) { s.Run(dst, src[0], g) }
	}
	c.emitChain(x, l)
	return nil
}

// slopeSum is the gradient of the scale of a quantizerSlope:
//
//	in  0 weight gradient of the slope   1 weight   2 scale
//	out 0 Σ in0·in1, by the quantizer's factor and the scale's sign
type slopeSum struct{ op.FakeQuantizeSymmetric }

func (slopeSum) Kind() string { return "QuantizerSlopeSum" }

func (slopeSum) Infer(in []*ir.Value) ([]ir.Type, error) {
	if len(in) != 3 {
		return nil, fmt.Errorf("got %d inputs, want 3", len(in))
	}
	return []ir.Type{in[2].Type}, nil
}

func lowerSlopeSum(c *compiler, n *ir.Node) error {
	q := n.Op.(slopeSum)
	dw, w, scale := c.in(n.In[0], rowMajor), c.in(n.In[1], rowMajor), c.in(n.In[2], rowMajor)
	out := c.out(n.Out[0], rowMajor)
	c.emit(n, "quantizer gradient", []*slot{dw, w, scale}, []*slot{out}, func() func() error {
		d, wd, s, y := dw.f32(), w.f32(), scale.f32(), out.f32()
		return func() error {
			sum := 0.0
			for i, v := range d {
				sum += float64(v) * float64(wd[i])
			}
			f := float64(factor(q.GradScale))
			switch {
			case q.LogScale:
				f *= math.Exp(float64(s[0]))
			case s[0] < 0:
				f = -f
			case s[0] == 0:
				f = 0
			}
			y[0] = float32(f * sum)
			return nil
		}
	})
	return nil
}

package quantization

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// placed is a quantizer in a graph.
type placed struct {
	*Quantizer
	node    *ir.Node
	value   *ir.Value    // in the float graph
	params  []*ir.Value  // scale; low and range
	samples bool         // the value is made of samples along axis 0
	fixed   bool         // the configuration says whether it is signed
	group   []*placed    // all that share the parameters, itself included
	want    *rangeResult // what initialisation found
}

// Apply implements [compress.Setup]. Trained parameters are named after the
// quantized value: VALUE/quantizer/scale, or …/low and …/range; the quantized
// value itself is VALUE/quantizer. Ranges of stored weights are initialised at
// once, others are those of [-1, 1] until [Controller.Initialize].
func (s *Setup) Apply(g *ir.Graph, t *rewrite.Trace) (compress.Controller, error) {
	c := &Controller{setup: s, g: g, float: g.Clone()}
	p := rewrite.New(g, Name, t)
	var errs []error
	for _, q := range s.Quantizers {
		if err := c.insert(p, q); err != nil {
			errs = append(errs, fmt.Errorf("quantizer of %q: %w", q.Value, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if err := p.Commit(); err != nil {
		return nil, err
	}
	if err := c.initWeights(); err != nil {
		return nil, err
	}
	if c.begin(); c.stage != nil {
		return c, c.setOps()
	}
	return c, nil
}

func (c *Controller) insert(p *rewrite.Patch, q *Quantizer) error {
	g := c.g
	v := g.Value(q.Value)
	if v == nil {
		return errors.New("the graph has no such value")
	}
	n := 1
	if q.Axis >= 0 {
		k, known := channelDim(v, q.Axis)
		if !known {
			return fmt.Errorf("axis %d of %v has no known length", q.Axis, v.Type)
		}
		n = k
	}
	x := &placed{Quantizer: q, value: c.float.Value(q.Value), fixed: q.Signed != nil}
	x.findBatch(c.float)
	for _, y := range c.quantizers {
		if q.Group != 0 && y.Group == q.Group {
			if y.Axis >= 0 || q.Axis >= 0 || y.Mode != q.Mode || y.Bits != q.Bits {
				return fmt.Errorf("shares a range with the quantizer of %q, which is of another kind", y.Value)
			}
			x.group, x.params = y.group, y.params
		}
	}
	name := q.Value + "/quantizer"
	if x.params == nil {
		one := float32(1)
		if q.LogScale {
			one = 0
		}
		add := func(suffix string, v float32) {
			x.params = append(x.params, g.AddStored(ir.Parameter, name+"/"+suffix, filled(v, n)))
		}
		if q.Mode == Asymmetric {
			add("low", 0)
			add("range", one)
		} else {
			add("scale", one)
		}
	}
	x.group = append(x.group, x)
	for _, y := range x.group {
		y.group = x.group
	}
	w := p.B.Op(q.operator(c.setup), name, append([]*ir.Value{v}, x.params...)...)
	if err := p.B.Err(); err != nil {
		return err
	}
	x.node = w.Def
	for _, u := range q.Consumers {
		r := g.Value(u.Node)
		if r == nil || r.Def == nil || u.Port < 0 || u.Port >= len(r.Def.In) {
			return fmt.Errorf("the graph has no input %d of a node with result %q", u.Port, u.Node)
		}
		if got := r.Def.In[u.Port]; got != v {
			return fmt.Errorf("input %d of %q: got value %q, want %q", u.Port, u.Node, got.Name, v.Name)
		}
		p.SetInput(r.Def, u.Port, w)
	}
	// The shape is the same, and runtimes compute a convolution on integers only
	// if nothing else reads its result.
	for _, u := range slices.Clone(v.Uses()) {
		if op.ReadsShape(u.Node) {
			p.SetInput(u.Node, u.Port, w)
		}
	}
	if q.Output {
		var keep []*ir.Node
		for _, u := range v.Uses() {
			keep = append(keep, u.Node)
		}
		p.Replace(v, w, keep...)
		// The result keeps its name, as when a patch replaces all readers.
		g.Rename(v, g.UniqueName(q.Value+"/replaced"))
		g.Rename(w, q.Value)
	}
	p.Note("%s: %s %s of %d bits: %s", q.Value, q.Kind, q.Mode, q.Bits, q.Rule)
	c.quantizers = append(c.quantizers, x)
	return nil
}

func filled(v float32, n int) *tensor.Tensor {
	t := tensor.New(tensor.Float32, n)
	for i := range t.F32() {
		t.F32()[i] = v
	}
	return t
}

// findBatch finds out how the value is made of samples: its first axis is that of
// the graph's inputs, or a multiple of it.
func (x *placed) findBatch(g *ir.Graph) {
	if x.Kind == Weight || len(g.Inputs) == 0 || g.Inputs[0].Type.Rank() == 0 || x.value.Type.Rank() == 0 {
		return
	}
	in, d := g.Inputs[0].Type.Dims[0], x.value.Type.Dims[0]
	x.samples = in.Sym == d.Sym && in.N > 0 && d.N%in.N == 0 && in.Sym != ir.UnknownSym
}

// setRange writes the parameters for one or more ranges [low, high]:
//
//	symmetric    scale = max(|low|, |high|), at least floor, or if floor is 0 at
//	             least 2⁻²⁰ of the widest channel's; 1 if that is 0
//	asymmetric   range = high-low, at least a hundredth of the widest channel's,
//	             widened to both sides
func (x *placed) setRange(low, high []float64, floor float64) {
	store := func(v float64) float32 {
		if x.LogScale {
			return float32(math.Log(v))
		}
		return float32(v)
	}
	if x.Mode == Symmetric {
		scale := x.params[0].Data.F32()
		if floor == 0 {
			for i := range scale {
				floor = max(floor, smallestShare*math.Abs(low[i]), smallestShare*math.Abs(high[i]))
			}
			if floor < minWidth {
				floor = 1 // nothing but zeros, on which any grid is exact
			}
		}
		for i := range scale {
			scale[i] = store(max(math.Abs(low[i]), math.Abs(high[i]), floor))
		}
		return
	}
	widest := 0.0
	for i := range low {
		widest = max(widest, high[i]-low[i])
	}
	lo, width := x.params[0].Data.F32(), x.params[1].Data.F32()
	for i := range lo {
		w := max(high[i]-low[i], 0.01*widest)
		lo[i] = float32(low[i] - (w-(high[i]-low[i]))/2)
		if w == 0 && x.LogScale {
			w = minWidth
		}
		width[i] = store(w)
	}
}

const (
	// smallestShare of the widest channel's scale is the smallest that a channel
	// gets. Smaller ones are those of channels that are dead but for rounding.
	smallestShare = 0x1p-20
	// minWidth stands for a width of zero, of which there is no logarithm.
	minWidth = 1e-16
)

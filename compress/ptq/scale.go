package ptq

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// Scales move between a value's channels and the weights that read them: with
// factors s > 0,
//
//	W·x = (W·diag(s))·(x/s)
//
// and what computes x divides by s in its own numbers: the scale and bias of a
// normalization, or the weight and bias of a layer. Functions between that satisfy
// f(x/s) = f(x)/s (Relu and its kin, pooling) stay. Nothing is added to the graph.
//
//	s[c] = max|x[c]|^α / max|W[:,c]|^(1-α)
//
// evens out the channels of x, which share one range, at the cost of the weights'
// columns, which share the range of a row. α is
//
//	½           between convolutions (rule align-channels): both sides equally, as
//	            in cross-layer equalization (Nagel et al. 2019, section 4.1), with
//	            the range of activations for that of the first weights, whose rows
//	            have ranges of their own
//	1           if only depthwise convolutions read x: a column is a row there
//	as given    before matrix products (rule smooth-quant; Xiao et al. 2022,
//	            equation 4)
//
// and s stays within a factor of 100 of its geometric mean (NNCF's limit).
const maxScaleShift = 100

// scaleSamples is enough to see how channels compare; ranges are collected
// afterwards, on the whole subset.
const scaleSamples = 32

// scaling is one value whose scales can move.
type scaling struct {
	value   *ir.Value
	axis    int // of its channels
	source  *ir.Node
	readers []layer
	alpha   float64
	rule    string
}

// moveScales applies what the options ask for.
func moveScales(ctx context.Context, r compress.Runner, g *ir.Graph, o Options, cal compress.Calibration, t *rewrite.Trace) error {
	var list []scaling
	for _, v := range hubs(g) {
		if s, ok := scalingOf(g, v, o); ok {
			list = append(list, s)
		}
	}
	if len(list) == 0 {
		return nil
	}
	want := make([]*ir.Value, len(list))
	peaks := make([][]float64, len(list))
	for i, s := range list {
		want[i] = s.value
	}
	err := r.Run(ctx, g, want, cal.Batches(min(o.subset(), scaleSamples)), func(got []*tensor.Tensor) error {
		for i, x := range got {
			peaks[i] = channelPeaks(peaks[i], x, list[i].axis)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("moving scales: %w", err)
	}
	for i, s := range list {
		p := rewrite.New(g, s.rule, t)
		if low, high, ok := s.apply(peaks[i]); ok {
			p.Note("%s: channels scaled by %.3g to %.3g", s.value.Name, low, high)
			s.rename(g)
		}
		if err := p.Commit(); err != nil {
			return err
		}
	}
	return nil
}

// hubs returns the results that layers alone read.
func hubs(g *ir.Graph) []*ir.Value {
	var list []*ir.Value
	for _, n := range g.Nodes() {
		for _, v := range n.Out {
			if v == nil || v.Type.DType != tensor.Float32 || len(v.Uses()) == 0 || escapes(g, v) {
				continue
			}
			all := true
			for _, u := range v.Uses() {
				l, ok := layerOf(u.Node)
				all = all && ok && u.Port == l.data
			}
			if all {
				list = append(list, v)
			}
		}
	}
	return list
}

// escapes reports whether something other than nodes reads v.
func escapes(g *ir.Graph, v *ir.Value) bool {
	if slices.Contains(g.Outputs, v) {
		return true
	}
	for _, a := range g.Assigns {
		if a.Src == v || a.Dst == v {
			return true
		}
	}
	return false
}

// scalingOf says how the scales of v can move.
func scalingOf(g *ir.Graph, v *ir.Value, o Options) (s scaling, ok bool) {
	s = scaling{value: v, alpha: 1}
	matrices, convolutions := 0, 0
	for _, u := range v.Uses() {
		l, _ := layerOf(u.Node)
		if !ownWeight(l) {
			return s, false
		}
		switch c := u.Node.Op.(type) {
		case op.Conv:
			convolutions++
			if c.Groups() == 1 || c.Groups() != l.channels {
				s.alpha = 0.5
			}
			s.axis = 1
		case op.ConvTranspose:
			convolutions++
			s.alpha, s.axis = 0.5, 1
		default:
			matrices++
			s.axis = v.Type.Rank() - 1
		}
		s.readers = append(s.readers, l)
	}
	switch {
	case matrices == 0 && (o.AlignChannels == AlignAll || o.AlignChannels != AlignNone && s.alpha == 1):
		s.rule = "align-channels"
	case convolutions == 0 && o.SmoothQuant > 0:
		s.rule, s.alpha = "smooth-quant", o.SmoothQuant
	default:
		return s, false
	}
	for x := v; ; {
		if x.Def == nil {
			return s, false
		}
		n := x.Def
		switch n.Op.(type) {
		case op.Relu, op.LeakyRelu, op.MaxPool, op.AveragePool, op.GlobalAveragePool, op.Identity:
			if x.Type.Rank() < 4 && s.axis != 1 && n.Op.Kind() != "Relu" && n.Op.Kind() != "LeakyRelu" && n.Op.Kind() != "Identity" {
				return s, false
			}
			x = n.In[0]
			if _, single := onlyUse(g, x); !single {
				return s, false
			}
			continue
		case op.BatchNormalization:
			if s.axis != 1 || !own(n.In[1]) || !own(n.In[2]) {
				return s, false
			}
		case op.LayerNormalization:
			if s.axis != x.Type.Rank()-1 || len(n.In) < 3 || !own(n.In[1]) || !own(n.Input(2)) || n.In[1].Data.Rank() != 1 {
				return s, false
			}
		case op.Conv, op.Gemm, op.MatMul:
			l, ok := layerOf(n)
			if !ok || !ownWeight(l) || l.channelAxis != s.axis {
				return s, false
			}
			if b := n.Input(2); b != nil && (!own(b) || b.Data.Len() != l.channels) {
				return s, false
			}
		default:
			return s, false
		}
		s.source = n
		return s, true
	}
}

// own reports whether v is stored for one reader, in float32.
func own(v *ir.Value) bool {
	return v != nil && v.IsStored() && len(v.Uses()) == 1 && v.Data.DType() == tensor.Float32
}

func ownWeight(l layer) bool { return l.node != nil && own(l.weight()) }

// channelPeaks takes the largest |x| of each channel into the list.
func channelPeaks(list []float64, x *tensor.Tensor, axis int) []float64 {
	s := x.Shape()
	channels, inner := s[axis], max(1, tensor.Shape(s[axis+1:]).Numel())
	if list == nil {
		list = make([]float64, channels)
	}
	data := x.F32()
	for i := 0; i < len(data); i += inner {
		c := i / inner % channels
		for _, v := range data[i : i+inner] {
			list[c] = max(list[c], math.Abs(float64(v)))
		}
	}
	return list
}

// inputOf returns the channel that each weight of a layer multiplies.
func inputOf(l layer, s tensor.Shape) func(i int) int {
	inner := tensor.Shape(s[l.inAxis+1:]).Numel()
	if _, conv := l.node.Op.(op.Conv); conv && l.groups > 1 {
		per, size := s[0]/l.groups, tensor.Shape(s[1:]).Numel()
		return func(i int) int { return i/size/per*s[1] + i/inner%s[1] }
	}
	return func(i int) int { return i / inner % s[l.inAxis] }
}

// apply moves the scales, and returns the smallest and largest factor that x is
// divided by.
func (s scaling) apply(peaks []float64) (low, high float64, ok bool) {
	n := len(peaks)
	columns := make([]float64, n)
	for _, l := range s.readers {
		w := l.weight().Data
		in := inputOf(l, w.Shape())
		for i, v := range w.F32() {
			c := in(i)
			columns[c] = max(columns[c], math.Abs(float64(v)))
		}
	}
	factors := make([]float64, n)
	mean, live := 0.0, 0
	for c := range factors {
		if peaks[c] > 0 && columns[c] > 0 {
			factors[c] = math.Pow(peaks[c], s.alpha) / math.Pow(columns[c], 1-s.alpha)
			mean += math.Log(factors[c])
			live++
		}
	}
	if live == 0 {
		return 0, 0, false
	}
	mean = math.Exp(mean / float64(live))
	low, high = math.Inf(1), 0
	for c := range factors {
		if factors[c] == 0 {
			factors[c] = 1
			continue
		}
		factors[c] = min(max(factors[c]/mean, 1./maxScaleShift), maxScaleShift)
		low, high = min(low, factors[c]), max(high, factors[c])
	}
	s.divideSource(factors)
	for _, l := range s.readers {
		w := l.weight().Data
		in := inputOf(l, w.Shape())
		for i := range w.F32() {
			w.F32()[i] = float32(float64(w.F32()[i]) * factors[in(i)])
		}
	}
	return low, high, true
}

// rename marks the values whose elements are no longer those of the model that
// was given. A node without a name is known by its result, which stays.
func (s scaling) rename(g *ir.Graph) {
	for v := s.value; ; v = v.Def.In[0] {
		if v.Def.Name != "" {
			g.Rename(v, g.UniqueName(v.Name+"/aligned"))
		}
		if v.Def == s.source {
			return
		}
	}
}

func (s scaling) divideSource(factors []float64) {
	vector := func(v *ir.Value) {
		if v == nil {
			return
		}
		x := v.Data.F32()
		for c := range x {
			x[c] = float32(float64(x[c]) / factors[c])
		}
	}
	l, layered := layerOf(s.source)
	if !layered {
		vector(s.source.In[1])
		vector(s.source.In[2])
		return
	}
	w := l.weight().Data
	inner := max(1, tensor.Shape(w.Shape()[l.outAxis+1:]).Numel())
	for i := range w.F32() {
		w.F32()[i] = float32(float64(w.F32()[i]) / factors[i/inner%w.Shape()[l.outAxis]])
	}
	vector(s.source.Input(2))
}

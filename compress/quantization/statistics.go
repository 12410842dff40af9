package quantization

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// Interval is the present grid of one range of a quantizer, in float32 as the
// quantizer computes it: points Low + i·Step for i from 0 to Levels-1. Zero is
// point number ZeroPoint.
type Interval struct {
	Low, High, Step float32
	ZeroPoint       int
}

// Intervals returns the present grids of the quantizers, in the order of the
// setup, each with one interval per range.
func (c *Controller) Intervals() [][]Interval {
	out := make([][]Interval, len(c.quantizers))
	for i, x := range c.quantizers {
		out[i] = x.intervals(c)
	}
	return out
}

func (x *placed) intervals(c *Controller) []Interval {
	low, high, levels := x.Grid()
	first := x.params[0].Data.F32()
	out := make([]Interval, len(first))
	size := func(p float32) float32 {
		if x.LogScale {
			return float32(math.Exp(float64(p)))
		}
		return float32(math.Abs(float64(p))) + 1e-16
	}
	for i, p := range first {
		lo, hi := float32(0), float32(0)
		if x.Mode == Asymmetric {
			l, w := op.TuneRange(p, size(x.params[1].Data.F32()[i]), levels, c.setup.ZeroPoint == ZeroPointNNCF)
			lo, hi = l, l+w
		} else {
			s := size(p)
			lo = s * float32(float64(low)/float64(high))
			hi = lo + (s - lo)
		}
		step := (hi - lo) / float32(levels-1)
		out[i] = Interval{lo, hi, step, int(math.RoundToEven(float64(-lo / step)))}
	}
	return out
}

// Statistics implements [compress.Controller]: how much is quantized, and a
// table of the quantizers.
func (c *Controller) Statistics() compress.Statistics {
	var s compress.Statistics
	num := func(name string, v float64, unit string) {
		s.Numbers = append(s.Numbers, compress.Number{Name: name, Value: v, Unit: unit})
	}
	share := func(a, b int) float64 {
		if b == 0 {
			return 0
		}
		return 100 * float64(a) / float64(b)
	}
	count := map[Kind]int{}
	bits := map[[2]string]int{}
	for _, x := range c.quantizers {
		count[x.Kind]++
		bits[[2]string{strconv.Itoa(x.Bits), string(x.Kind)}]++
	}
	num("weight quantizers", float64(count[Weight]), "")
	num("activation quantizers", float64(count[Activation]), "")
	done, all := c.weightElements()
	num("quantized weights", share(done, all), "%")
	done, all = c.layers()
	num("layers on quantized inputs and weights", share(done, all), "%")

	dist := compress.Table{Title: "Bits of quantizers", Columns: []string{"bits", "weights", "activations", "all"}}
	total := len(c.quantizers)
	for b := maxBits; b >= 2; b-- {
		k := strconv.Itoa(b)
		w, a := bits[[2]string{k, string(Weight)}], bits[[2]string{k, string(Activation)}]
		if w+a > 0 {
			dist.Rows = append(dist.Rows, []string{k, percent(w, total), percent(a, total), percent(w+a, total)})
		}
	}
	table := compress.Table{Title: "Quantizers", Columns: []string{"value", "kind", "mode", "bits", "signed", "ranges", "lowest", "highest", "shared", "rule"}}
	for _, x := range c.quantizers {
		low, high := math.Inf(1), math.Inf(-1)
		iv := x.intervals(c)
		for _, v := range iv {
			low, high = min(low, float64(v.Low)), max(high, float64(v.High))
		}
		signed := ""
		if x.Signed != nil {
			signed = strconv.FormatBool(*x.Signed)
		}
		group := ""
		if x.Group > 0 {
			group = strconv.Itoa(x.Group)
		}
		table.Rows = append(table.Rows, []string{x.Value, string(x.Kind), string(x.Mode), strconv.Itoa(x.Bits), signed,
			strconv.Itoa(len(iv)), fmt.Sprintf("%.4g", low), fmt.Sprintf("%.4g", high), group, x.Rule})
	}
	float := compress.Table{Title: "Operators in float", Columns: []string{"operator", "kind", "why"}}
	for _, f := range c.setup.Float {
		float.Rows = append(float.Rows, []string{f.Node, f.Kind, f.Why})
	}
	s.Tables = append(s.Tables, dist, table, float)
	c.lowBits(&s)
	if c.stage != nil {
		num("quantizers switched on", c.enabled(), "%")
	}
	return s
}

func percent(a, b int) string { return fmt.Sprintf("%.2f %%", 100*float64(a)/float64(b)) }

// weightElements counts the elements of layers' weights, quantized and all.
func (c *Controller) weightElements() (done, all int) {
	quantized := map[string]bool{}
	for _, x := range c.quantizers {
		if x.Kind == Weight {
			quantized[x.Value] = true
		}
	}
	var seen []*ir.Value
	for _, n := range c.float.Nodes() {
		port := weightPort(n)
		if port < 0 || !n.In[port].FromStored() || slices.Contains(seen, n.In[port]) {
			continue
		}
		v := n.In[port]
		seen = append(seen, v)
		shape, ok := v.Type.Shape()
		if !ok {
			continue
		}
		all += tensor.Shape(shape).Numel()
		if quantized[v.Name] {
			done += tensor.Shape(shape).Numel()
		}
	}
	return done, all
}

// layers counts layers whose inputs all come from quantizers, and all layers.
func (c *Controller) layers() (done, all int) {
	for _, n := range c.g.Nodes() {
		if !isLayer(n) {
			continue
		}
		all++
		ok := true
		for port := range 2 {
			ok = ok && isQuantized(n.In[port])
		}
		if ok {
			done++
		}
	}
	return done, all
}

// isQuantized reports whether v comes from a quantizer through operators that
// only move values.
func isQuantized(v *ir.Value) bool {
	for v.Def != nil {
		if op.IsFakeQuantizer(v.Def) {
			return true
		}
		switch trait(v.Def) {
		case ir.QuantAgnostic:
			v = v.Def.In[0]
		case ir.QuantConcat:
			for _, in := range v.Def.In {
				if !isQuantized(in) {
					return false
				}
			}
			return len(v.Def.In) > 0
		default:
			return false
		}
	}
	return false
}

package binarization

import (
	"fmt"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/op"
)

// Share returns the multiply-accumulates of one sample that binarized layers do,
// and those of all layers. Each layer counts once. Both are 0 if shapes are not
// known.
func (s *Setup) Share() (binary, all int64) {
	for _, l := range s.Layers {
		binary += l.MACs
	}
	all = binary
	for _, l := range s.Float {
		all += l.MACs
	}
	return binary, all
}

// Statistics implements [compress.Controller]: how much of the work is binary,
// and a table of the layers. Layers that are to be binarized later count as
// binary.
func (c *Controller) Statistics() compress.Statistics {
	var s compress.Statistics
	num := func(name string, v float64, unit string) {
		s.Numbers = append(s.Numbers, compress.Number{Name: name, Value: v, Unit: unit})
	}
	binary, all := c.setup.Share()
	share := func(n int64) float64 {
		if all == 0 {
			return 0
		}
		return 100 * float64(n) / float64(all)
	}
	num("binarized layers", float64(len(c.layers)), "")
	num("binarized MACs", share(binary), "%")
	onoff := func(on bool) float64 {
		if on {
			return 100
		}
		return 0
	}
	num("binarized activations in effect", onoff(c.activations), "%")
	num("binarized weights in effect", onoff(c.weights), "%")
	t := compress.Table{Title: "Binarization", Columns: []string{"layer", "kind", "binary", "MACs", "share", "scale", "thresholds", "why"}}
	row := func(l Layer, yes, scale, thresholds string) {
		t.Rows = append(t.Rows, []string{l.Node, l.Kind, yes, fmt.Sprint(l.MACs), fmt.Sprintf("%.1f %%", share(l.MACs)), scale, thresholds, l.Why})
	}
	for _, l := range c.layers {
		logit := l.activation.In[2].Data.F32()
		at := make([]float32, len(logit))
		scale := op.BinaryThresholds(at, l.logScale.Data.F32()[0], logit)
		lo, hi := at[0], at[0]
		for _, v := range at {
			lo, hi = min(lo, v), max(hi, v)
		}
		row(l.Layer, "yes", fmt.Sprintf("%.4g", scale), fmt.Sprintf("%.4g … %.4g", lo, hi))
	}
	for _, l := range c.setup.Float {
		row(l, "no", "", "")
	}
	s.Tables = append(s.Tables, t)
	return s
}

package sparsity

import (
	"fmt"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/pass"
)

// LayerReport is what one layer's mask is like.
type LayerReport struct {
	Weight   string `json:"weight"`
	Node     string `json:"node"`
	Shape    []int  `json:"shape"`
	Elements int    `json:"elements"`
	Zeros    int    `json:"zeros"`
	// Level is Zeros / Elements.
	Level float64 `json:"level"`
	// Threshold is the importance up to which weights are zero; absent where none
	// decides.
	Threshold *float64 `json:"threshold,omitempty"`
	Pattern   string   `json:"pattern,omitempty"`
}

// Reporter is a controller of this package that lists its layers.
type Reporter interface {
	Report() []LayerReport
}

// Report lists the layers.
func (b *base) Report() []LayerReport { return b.report(nil) }

// Report lists the layers with their thresholds.
func (c *MagnitudeController) Report() []LayerReport { return c.report(c.thresholds) }

func (b *base) report(thresholds map[string]float32) []LayerReport {
	list := make([]LayerReport, len(b.layers))
	for i, m := range b.layers {
		r := m.describe(b.count(m, func(i int) bool { return m.bits()[i] == 0 }))
		if t, ok := thresholds[m.Weight]; ok {
			v := float64(t)
			r.Threshold = &v
		}
		list[i] = r
	}
	return list
}

func (m *masked) describe(zeros, all int) LayerReport {
	return LayerReport{Weight: m.Weight, Node: m.Node, Shape: m.node.Out[0].Type.MustShape(), Elements: all, Zeros: zeros,
		Level: float64(zeros) / float64(max(1, all)), Pattern: m.Pattern.String()}
}

// statistics are the numbers and the table of the original.
func (b *base) statistics(reports []LayerReport, target float64) compress.Statistics {
	var s compress.Statistics
	num := func(name string, v float64) {
		s.Numbers = append(s.Numbers, compress.Number{Name: name, Value: v, Unit: "%"})
	}
	zeros, all := 0, 0
	for _, r := range reports {
		zeros, all = zeros+r.Zeros, all+r.Elements
	}
	num("sparsity level of the model", 100*float64(zeros)/float64(max(1, b.parameters())))
	num("sparsity level of sparsified layers", 100*float64(zeros)/float64(max(1, all)))
	if target >= 0 {
		num("target sparsity level", 100*target)
	}
	t := compress.Table{Title: "Sparse layers", Columns: []string{"layer", "weight", "shape", "level", "share of weights", "threshold", "pattern"}}
	for _, r := range reports {
		threshold := ""
		if r.Threshold != nil {
			threshold = fmt.Sprintf("%.4g", *r.Threshold)
		}
		t.Rows = append(t.Rows, []string{r.Node, r.Weight, fmt.Sprint(r.Shape), fmt.Sprintf("%.2f %%", 100*r.Level),
			fmt.Sprintf("%.2f %%", 100*float64(r.Elements)/float64(max(1, all))), threshold, r.Pattern})
	}
	s.Tables = append(s.Tables, t)
	return s
}

// parameters counts the trained numbers of the model, biases and normalizations
// included, without what other algorithms put in or take out.
func (b *base) parameters() int {
	n := 0
	for v := range b.after.Parameters() {
		if w := b.g.Value(v.Name); w != nil { // may have lost channels
			v = w
		}
		s := v.Type.MustShape()
		if at, whole := b.elements(v.Name, s); whole {
			n += s.Numel()
		} else {
			n += len(at)
		}
	}
	for _, m := range b.layers { // scores belong to training
		if v := m.node.In[1]; v.Kind == ir.Parameter {
			n -= v.Type.MustShape().Numel()
		}
	}
	return n
}

// Statistics implements [compress.Controller].
func (c *MagnitudeController) Statistics() compress.Statistics {
	return c.statistics(c.Report(), c.leveler.Level)
}

// Zeros lists the zeros that the weights of a graph have, masked, quantized or
// as they are.
func Zeros(g *ir.Graph) []LayerReport {
	layers, err := findLayers(g, compress.Scopes{})
	if err != nil {
		return nil // a graph without weights
	}
	var list []LayerReport
	for _, l := range layers {
		t, _ := pass.StoredTensor(g.Value(l.Weight))
		zeros := 0
		for _, v := range t.F32() {
			if v == 0 {
				zeros++
			}
		}
		v := g.Value(l.Weight)
		for !v.IsStored() && len(v.Def.In) > 0 && v.Def.In[0] != nil { // the name of what is quantized
			v = v.Def.In[0]
		}
		list = append(list, LayerReport{Weight: v.Name, Node: l.Node, Shape: t.Shape(), Elements: t.Len(), Zeros: zeros, Level: float64(zeros) / float64(t.Len())})
	}
	return list
}

package pass

import (
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
)

// InferenceMode turns a graph that was exported in training form into one for
// inference: BatchNormalization normalizes with its running statistics, Dropout
// and stochastic depth (Huang et al., 2016) go. State updates go too. It changes
// what the graph computes, on purpose.
//
// A node whose training results are used elsewhere stays; the trace says so.
func InferenceMode(g *ir.Graph, t *rewrite.Trace) error {
	p := rewrite.New(g, "inference-mode", t)
	g.Assigns = nil
	for _, n := range append([]*ir.Node(nil), g.Nodes()...) {
		switch o := n.Op.(type) {
		case op.BatchNormalization:
			if !o.Training {
				continue
			}
			if extraUsed(g, n) {
				p.Note("%s stays: its batch statistics are used", n.Label())
				continue
			}
			o.Training = false
			take(p, n.Out[0], p.B.Op(o, n.Name, n.In...))
		case op.Dropout:
			if extraUsed(g, n) {
				p.Note("%s stays: its mask is used", n.Label())
				continue
			}
			bypass(p, n.Out[0], n.In[0])
		case op.Mul:
			for i, v := range n.In {
				if drawsBranches(v) {
					bypass(p, n.Out[0], n.In[1-i])
					break
				}
			}
		}
	}
	return p.Commit()
}

// drawsBranches reports whether v is what stochastic depth multiplies a branch
// by: 1/p with probability p, else 0.
func drawsBranches(v *ir.Value) bool {
	d := v.Def
	if d == nil || d.Op.Kind() != (op.Div{}).Kind() {
		return false
	}
	drawn, ok := probability(d.In[0])
	p, known := scalar(d.In[1])
	return ok && known && drawn == p
}

// probability returns with which probability v is 1, if it is drawn and 0
// otherwise.
func probability(v *ir.Value) (float64, bool) {
	d := v.Def
	if d == nil {
		return 0, false
	}
	switch d.Op.(type) {
	case op.Cast:
		return probability(d.In[0])
	case op.Bernoulli:
		return scalar(d.In[0])
	case op.Less:
		if x := d.In[0].Def; x != nil {
			if r, ok := x.Op.(op.RandomUniformLike); ok && r.Low == 0 && r.High == 1 {
				return scalar(d.In[1])
			}
		}
	}
	return 0, false
}

// extraUsed reports whether anything uses a result of n but the first.
func extraUsed(g *ir.Graph, n *ir.Node) bool {
	for _, v := range n.Out[1:] {
		if v != nil && (len(v.Uses()) > 0 || isOutput(g, v)) {
			return true
		}
	}
	return false
}

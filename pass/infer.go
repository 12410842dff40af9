package pass

import (
	"slices"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
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

// AffineToBatchNorm turns a factor and an addend per channel behind a Conv,
// ConvTranspose or Gemm into a BatchNormalization with mean 0 and variance 1, so
// that fine-tuning can normalize again what a simplifier took apart. The values
// are the same; what training does is not, so nothing calls it by itself.
func AffineToBatchNorm(g *ir.Graph, t *rewrite.Trace) error {
	return rewrite.Run(g, t, rewrite.Rule{Name: "affine-to-batchnorm", Match: affineToBatchNorm})
}

func affineToBatchNorm(p *rewrite.Patch, n *ir.Node) bool {
	if _, ok := n.Op.(op.Mul); !ok {
		return false
	}
	x, c, ok := addend(n)
	if !ok || x.Def == nil || n.Out[0].Type.Rank() != x.Type.Rank() {
		return false
	}
	switch x.Def.Op.(type) {
	case op.Conv, op.ConvTranspose, op.Gemm:
	default:
		return false
	}
	if _, ok := onlyUse(p.Graph(), x); !ok {
		return false
	}
	channels, ok := outChannels(x.Def)
	if !ok {
		return false
	}
	scale, ok := perChannel(c, n.Out[0].Type, 1, channels)
	if !ok {
		return false
	}
	last := n.Out[0]
	bias := make([]float32, channels)
	if u, ok := onlyUse(p.Graph(), last); ok {
		if _, is := u.Node.Op.(op.Add); is {
			if _, b, ok := addend(u.Node); ok && u.Node.Out[0].Type.Rank() == x.Type.Rank() {
				if v, ok := perChannel(b, u.Node.Out[0].Type, 1, channels); ok {
					bias, last = v, u.Node.Out[0]
				}
			}
		}
	}
	name := n.Label()
	vector := func(suffix string, v []float32) *ir.Value {
		return p.B.Const(name+"/"+suffix, tensor.From(v, channels))
	}
	take(p, last, p.B.Op(op.BatchNormalization{Momentum: 0.9}, name, x,
		vector("scale", scale), vector("bias", bias),
		vector("mean", make([]float32, channels)), vector("var", slices.Repeat([]float32{1}, channels))))
	return true
}

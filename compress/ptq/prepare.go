package ptq

import (
	"context"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// Prepare changes the float model g into one that computes the same, up to
// float32 rounding, and is easier to quantize: sizes of channels move from
// activations into the weights that read them (rules align-channels and
// smooth-quant), layers get the biases that are corrected later. Results whose
// channels changed are called NAME/aligned, so that comparisons by name leave them
// out.
func Prepare(ctx context.Context, r compress.Runner, g *ir.Graph, o Options, cal compress.Calibration, t *rewrite.Trace) error {
	if err := o.Validate(); err != nil {
		return err
	}
	if o.AlignChannels != AlignNone || o.SmoothQuant > 0 {
		if err := moveScales(ctx, r, g, o, cal, t); err != nil {
			return err
		}
	}
	if o.BiasCorrection != NoBias {
		if err := addBiases(g, t); err != nil {
			return err
		}
	}
	return nil
}

// addBiases gives layers that nothing else would correct a bias of zero.
func addBiases(g *ir.Graph, t *rewrite.Trace) error {
	p := rewrite.New(g, "add-bias", t)
	for _, l := range layers(g) {
		n := l.node
		switch n.Op.(type) {
		case op.Conv, op.ConvTranspose, op.Gemm:
		default:
			continue
		}
		if _, ok := biasOf(g, l); ok || n.Input(2) != nil {
			continue
		}
		if u, ok := onlyUse(g, n.Out[0]); ok {
			if _, bn := u.Node.Op.(op.BatchNormalization); bn {
				continue
			}
		}
		zero := g.AddStored(ir.Parameter, l.label()+"/bias", tensor.New(tensor.Float32, l.channels))
		o := n.Op
		if gemm, ok := o.(op.Gemm); ok {
			gemm.Beta = 0 // stands for 1
			o = gemm
		}
		replaceNode(p, n, o, n.In[0], n.In[1], zero)
		p.Note("%s", l.label())
	}
	return p.Commit()
}

// replaceNode computes n's result by another operator, under the same names.
func replaceNode(p *rewrite.Patch, n *ir.Node, o ir.Op, in ...*ir.Value) {
	old := n.Out[0]
	v := p.B.Op(o, n.Name, in...)
	p.Replace(old, v)
	if g := p.Graph(); p.B.Err() == nil && v.Name != old.Name {
		if name := old.Name; g.Value(name) == old {
			g.Rename(old, g.UniqueName(name+"/replaced"))
			g.Rename(v, name)
		}
	}
}

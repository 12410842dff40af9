package native

import (
	"fmt"

	"github.com/go-nncf/nncf/internal/kernel/layout"
	"github.com/go-nncf/nncf/internal/kernel/norm"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// plainLabels reports whether a loss has int64 labels of 2-D scores, no class
// weights and one mean or sum: the case of classification.
func plainLabels(n *ir.Node, labels *ir.Value, reduction string) bool {
	return n.Input(2) == nil && reduction != "none" && labels.Type.DType == tensor.Int64 && labels.Type.Rank() == 1
}

// labelAt checks a label; skip reports that it is the ignored one.
func labelAt(l op.NegativeLogLikelihoodLoss, labels []int64, i, classes int) (label int, skip bool, err error) {
	v := int(labels[i])
	if l.HasIgnore && v == l.IgnoreIndex {
		return 0, true, nil
	}
	if v < 0 || v >= classes {
		return 0, false, fmt.Errorf("label %d of sample %d is outside 0..%d", v, i, classes-1)
	}
	return v, false, nil
}

// lowerCrossEntropy computes log-probabilities row by row, then the loss in
// float64, in the order of the samples.
func lowerCrossEntropy(c *compiler, n *ir.Node) error {
	o := op.NegativeLogLikelihoodLoss(n.Op.(op.SoftmaxCrossEntropyLoss))
	xs := n.In[0].Type.MustShape()
	if !isFloat(n.In[0]) || len(xs) != 2 || xs.Numel() == 0 || !plainLabels(n, n.In[1], o.Reduction) {
		return lowerReference(c, n)
	}
	x, labels := c.in(n.In[0], rowMajor), c.in(n.In[1], rowMajor)
	lp := c.temp(xs.Numel())
	writes := make([]*slot, 2)
	for i := range writes {
		if v := n.Output(i); v != nil {
			writes[i] = c.out(v, rowMajor)
		}
	}
	rows, k := xs[0], xs[1]
	c.emit(n, "cross-entropy", []*slot{x, labels}, writes, func() func() error {
		xd, ld, p := x.f32(), labels.data.I64(), lp.mem
		if writes[1] != nil {
			p = writes[1].f32()
		}
		var loss []float32
		if writes[0] != nil {
			loss = writes[0].f32()
		}
		return func() error {
			norm.LogSoftmax(p, xd, k)
			sum, count := 0.0, 0
			for i := range rows {
				label, skip, err := labelAt(o, ld, i, k)
				if err != nil {
					return err
				}
				if !skip {
					sum -= float64(p[i*k+label])
					count++
				}
			}
			if o.Reduction == "" {
				sum /= float64(count)
			}
			if loss != nil {
				loss[0] = float32(sum)
			}
			return nil
		}
	}, lp)
	return nil
}

func lowerNLLGrad(c *compiler, n *ir.Node) error {
	o := n.Op.(op.NegativeLogLikelihoodLossGrad)
	xs := n.Out[0].Type.MustShape()
	if !isFloat(n.In[0]) || len(xs) != 2 || n.In[0].Type.Rank() != 0 || !plainLabels(n, n.In[1], o.Reduction) {
		return lowerReference(c, n)
	}
	dloss, labels, dx := c.in(n.In[0], rowMajor), c.in(n.In[1], rowMajor), c.out(n.Out[0], rowMajor)
	rows, k := xs[0], xs[1]
	c.emit(n, "label gradient", []*slot{dloss, labels}, []*slot{dx}, func() func() error {
		g, ld, d := dloss.f32(), labels.data.I64(), dx.f32()
		return func() error {
			layout.Fill(d, 0)
			count := 0
			for i := range rows {
				_, skip, err := labelAt(o.NegativeLogLikelihoodLoss, ld, i, k)
				if err != nil {
					return err
				}
				if !skip {
					count++
				}
			}
			v := -g[0]
			if o.Reduction == "" {
				v /= float32(count)
			}
			for i := range rows {
				if label, skip, _ := labelAt(o.NegativeLogLikelihoodLoss, ld, i, k); !skip {
					d[i*k+label] = v
				}
			}
			return nil
		}
	})
	return nil
}

package native

import (
	"github.com/go-nncf/nncf/internal/kernel/gemm"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// emitGemm emits y = a·b for batch independent products of one shape; sizes
// of a, b and y per product are the plan's, with b shared if bShared.
func (c *compiler) emitGemm(n *ir.Node, s gemm.Shape, batch int, bShared bool, a, b, bias, y *slot) error {
	p, err := gemm.New(s, gemm.Options{})
	if err != nil {
		return err
	}
	sz := p.Sizes()
	copies := batch
	if bShared {
		copies = 1
	}
	packed := c.temp(sz.PackedB * copies)
	c.emit(n, "pack", []*slot{b}, nil, func() func() error {
		bd := b.f32()
		return runTasks(c.pool, sz.PackBTasks*copies, func(t, _ int) {
			i, t := t/sz.PackBTasks, t%sz.PackBTasks
			p.PackB(t, packed.mem[i*sz.PackedB:][:sz.PackedB], bd[i*s.K*s.N:][:s.K*s.N])
		})
	}, packed)
	c.emit(n, "gemm", []*slot{a, bias}, []*slot{y}, func() func() error {
		ad, yd := a.f32(), y.f32()
		var f gemm.Fusion
		if bias != nil {
			f.Bias = bias.f32()
		}
		return runTasks(c.pool, sz.Tasks*batch, func(t, _ int) {
			i, t := t/sz.Tasks, t%sz.Tasks
			pb := packed.mem
			if !bShared {
				pb = packed.mem[i*sz.PackedB:]
			}
			p.Run(t, ad[i*s.M*s.K:][:s.M*s.K], pb[:sz.PackedB], f, yd[i*s.M*s.N:][:s.M*s.N])
		})
	}, packed)
	return nil
}

func lowerGemm(c *compiler, n *ir.Node) error {
	o := n.Op.(op.Gemm)
	alpha, beta := o.Factors()
	bias := classify(n.Input(2), n.Out[0].Type.MustShape())
	columns := n.Out[0].Type.MustShape()[1]
	biasFits := bias.kind == omitted || beta == 1 && (bias.kind == perLast || columns == 1 && bias.kind == scalar)
	as, ys := n.In[0].Type.MustShape(), n.Out[0].Type.MustShape()
	if !isFloat(n.In...) || alpha != 1 || !biasFits || ys.Numel() == 0 {
		return lowerReference(c, n)
	}
	k := as[1]
	if o.TransA {
		k = as[0]
	}
	var bs *slot
	if bias.kind != omitted {
		bs = c.in(bias.value, rowMajor)
	}
	a, b, y := c.in(n.In[0], rowMajor), c.in(n.In[1], rowMajor), c.out(n.Out[0], rowMajor)
	return c.emitGemm(n, gemm.Shape{M: ys[0], N: ys[1], K: k, TransA: o.TransA, TransB: o.TransB}, 1, true, a, b, bs, y)
}

func lowerMatMul(c *compiler, n *ir.Node) error {
	as, bs := n.In[0].Type.MustShape(), n.In[1].Type.MustShape()
	if !isFloat(n.In...) || len(as) < 2 || len(bs) < 2 {
		return lowerReference(c, n)
	}
	s := gemm.Shape{M: as[len(as)-2], K: as[len(as)-1], N: bs[len(bs)-1]}
	batch, shared := 1, true
	switch {
	case tensor.Shape(bs[:len(bs)-2]).Numel() == 1: // one b for all rows of a
		s.M *= as[:len(as)-2].Numel()
	case as[:len(as)-2].Equal(bs[:len(bs)-2]):
		batch, shared = as[:len(as)-2].Numel(), false
	default:
		return lowerReference(c, n)
	}
	if s.M*s.N*batch == 0 {
		return lowerReference(c, n)
	}
	a, b, y := c.in(n.In[0], rowMajor), c.in(n.In[1], rowMajor), c.out(n.Out[0], rowMajor)
	return c.emitGemm(n, s, batch, shared, a, b, nil, y)
}

package native

import (
	"github.com/go-nncf/nncf/internal/kernel/elementwise"
	"github.com/go-nncf/nncf/internal/kernel/gemm"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// product is a batch of matrix products y[i] = a[aAt(i)]·b[bAt(i)] of one shape.
type product struct {
	gemm.Shape
	aAt, bAt []int // one entry per product
	copies   int   // matrices in b
}

// onePair is the product of two matrices.
func onePair(s gemm.Shape) product { return product{s, []int{0}, []int{0}, 1} }

// emitProduct emits the packing of b, then the products, as fused by e.
func (c *compiler) emitProduct(n *ir.Node, s product, a, b, bias, y *slot, e epilogue) error {
	p, err := gemm.New(s.Shape, gemm.Options{})
	if err != nil {
		return err
	}
	sz := p.Sizes()
	packed := c.temp(sz.PackedB * s.copies)
	if s.TransB && s.copies == 1 && len(b.shape) > 0 && b.shape[0] == s.N {
		c.emitPackBlocks(n, &packing{
			src:   b,
			tasks: func() int { return sz.PackBTasks },
			rows:  p.PackBRows,
			pack:  func(task int, src []float32) { p.PackB(task, packed.mem, src) },
		}, packed)
	} else {
		c.emitPack(n, b, func() func() error {
			bd := b.f32()
			return runSized(c.pool, sz.PackBTasks*s.copies, len(bd), func(t, _ int) {
				i, t := t/sz.PackBTasks, t%sz.PackBTasks
				p.PackB(t, packed.mem[i*sz.PackedB:][:sz.PackedB], bd[i*s.K*s.N:][:s.K*s.N])
			})
		}, packed)
	}
	st := c.emit(n, "gemm", []*slot{a, bias}, []*slot{y}, func() func() error {
		ad, yd := a.f32(), y.f32()
		f := gemm.Fusion{Clip: e.clip, Lo: e.lo, Hi: e.hi}
		if bias != nil {
			f.Bias = bias.f32()
		}
		return runTasks(c.pool, sz.Tasks*len(s.aAt), func(t, _ int) {
			i, t := t/sz.Tasks, t%sz.Tasks
			p.Run(t, ad[s.aAt[i]*s.M*s.K:][:s.M*s.K], packed.mem[s.bAt[i]*sz.PackedB:][:sz.PackedB], f, yd[i*s.M*s.N:][:s.M*s.N])
		})
	}, packed)
	st.stores(e)
	return nil
}

// lowerGemm adds a bias along columns in the product. Any other third operand,
// and factors, follow in a chain.
func lowerGemm(c *compiler, n *ir.Node) error {
	o := n.Op.(op.Gemm)
	alpha, beta := o.Factors()
	as, ys := n.In[0].Type.MustShape(), n.Out[0].Type.MustShape()
	bias := classify(n.Input(2), ys)
	if !isFloat(n.In...) || ys.Numel() == 0 || as.Numel() == 0 {
		return lowerReference(c, n)
	}
	s := gemm.Shape{M: ys[0], N: ys[1], K: as[1], TransA: o.TransA, TransB: o.TransB}
	if o.TransA {
		s.K = as[0]
	}
	a, b := c.in(n.In[0], rowMajor), c.in(n.In[1], rowMajor)
	plain := alpha == 1 && (bias.kind == omitted || beta == 1 && (bias.kind == perLast || ys[1] == 1 && bias.kind == scalar))
	if plain {
		var bs *slot
		if bias.kind != omitted {
			bs = c.in(bias.value, rowMajor)
		}
		e := c.epilogueOf(n)
		return c.emitProduct(n, onePair(s), a, b, bs, c.out(e.out, rowMajor), e)
	}
	ab := c.span(n.Out[0], ys, tensor.Float32, rowMajor)
	if err := c.emitProduct(n, onePair(s), a, b, nil, ab, epilogue{}); err != nil {
		return err
	}
	l := &link{node: n, name: "scale and add", in: []*slot{ab}}
	if bias.kind != omitted {
		l.in = append(l.in, c.full(n, bias.value, ys, rowMajor))
	}
	l.out = c.out(n.Out[0], rowMajor)
	l.bind = func() tileFunc {
		return func(_ tile, dst []float32, src [][]float32) {
			if len(src) == 1 {
				elementwise.Mul.Scalar(dst, src[0], alpha)
				return
			}
			for i, v := range src[0][:len(dst)] {
				dst[i] = float32(alpha*v) + float32(beta*src[1][i])
			}
		}
	}
	c.emitChain(l.out, l)
	return nil
}

// lowerMatMul multiplies matrices or vectors; leading axes broadcast.
func lowerMatMul(c *compiler, n *ir.Node) error {
	as, bs := n.In[0].Type.MustShape(), n.In[1].Type.MustShape()
	if !isFloat(n.In...) || len(as) == 0 || len(bs) == 0 || n.Out[0].Type.MustShape().Numel() == 0 || as.Numel() == 0 {
		return lowerReference(c, n)
	}
	if len(as) == 1 {
		as = tensor.Shape{1, as[0]}
	}
	if len(bs) == 1 {
		bs = tensor.Shape{bs[0], 1}
	}
	la, lb := as[:len(as)-2], bs[:len(bs)-2]
	p := onePair(gemm.Shape{M: as[len(as)-2], K: as[len(as)-1], N: bs[len(bs)-1]})
	if lb.Numel() == 1 { // one b for all rows of a
		p.M *= la.Numel()
	} else {
		lead, err := tensor.Broadcast(la, lb)
		if err != nil {
			return err
		}
		p.aAt, p.bAt, p.copies = broadcastIndex(la, lead), broadcastIndex(lb, lead), lb.Numel()
	}
	a, b := c.in(n.In[0], rowMajor), c.in(n.In[1], rowMajor)
	e := c.epilogueOf(n)
	return c.emitProduct(n, p, a, b, nil, c.out(e.out, rowMajor), e)
}

// broadcastIndex returns the element of a tensor of shape src for each element
// of the shape that it broadcasts to.
func broadcastIndex(src, dst tensor.Shape) []int {
	sp := newSpread(src, dst, rowMajor)
	at := make([]int, dst.Numel())
	for i := range at {
		q := i
		for k := len(sp.shape) - 1; k >= 0; k-- {
			at[i] += q % sp.shape[k] * sp.stride[k]
			q /= sp.shape[k]
		}
	}
	return at
}

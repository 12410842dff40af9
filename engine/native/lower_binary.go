package native

import (
	"github.com/go-nncf/nncf/internal/kernel/binary"
	"github.com/go-nncf/nncf/internal/kernel/elementwise"
	"github.com/go-nncf/nncf/internal/kernel/period"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// lowerBinarizeWeight computes means of filters and signs of weights.
func lowerBinarizeWeight(c *compiler, n *ir.Node) error {
	o := n.Op.(op.BinarizeWeight)
	w := c.in(n.In[0], rowMajor)
	if v := n.Output(1); v != nil {
		filters, size := w.shape[0], w.shape.Numel()
		mean := c.out(v, rowMajor)
		c.emit(n, "filter means", []*slot{w}, []*slot{mean}, func() func() error {
			src, dst, sums := w.f32(), mean.f32(), make([]float64, filters)
			per := size / filters
			run := runSized(c.pool, filters, size, func(t, _ int) { sums[t] = op.SumSizes(src[t*per:][:per]) })
			return func() error {
				if !o.Off {
					if err := run(); err != nil {
						return err
					}
				}
				o.Means(dst, sums, size)
				return nil
			}
		})
	}
	v := n.Output(0)
	switch {
	case v == nil:
	case o.Off:
		c.alias(v, rowMajor, w)
	default:
		l := &link{node: n, name: "Signs", cheap: true, in: []*slot{w}, out: c.out(v, rowMajor)}
		l.bind = func() tileFunc {
			return func(_ tile, dst []float32, src [][]float32) { binary.Signs(dst, src[0]) }
		}
		c.emitChain(w, l)
	}
	return nil
}

// binarizer is what the lowerings of binarized activations share: memory that
// holds the thresholds, repeated to a period, and behind them the scale.
type binarizer struct {
	order  order
	period int
	buf    *temp
}

func (b binarizer) thresholds() []float32 { return b.buf.mem[:b.period] }
func (b binarizer) scale() float32        { return b.buf.mem[b.period] }

// binarizer makes the thresholds of trained parameters, at the start of a run if
// those are stored.
func (c *compiler) binarizer(n *ir.Node) binarizer {
	k := n.In[2].Type.MustShape().Numel()
	o, _, _, _ := channelLayout(n.In[0], 1)
	b := binarizer{order: o, period: period.Len(k)}
	b.buf = c.temp(b.period + 1)
	logScale, logit := c.in(n.In[1], rowMajor), c.in(n.In[2], rowMajor)
	bind := func() func() error {
		s, l, at := logScale.f32(), logit.f32(), make([]float32, k)
		return func() error {
			b.buf.mem[b.period] = op.BinaryThresholds(at, s[0], l)
			period.Expand(b.thresholds(), at)
			return nil
		}
	}
	if n.In[1].IsStored() && n.In[2].IsStored() {
		c.emitFirst("thresholds", []*slot{logScale, logit}, bind, b.buf)
	} else {
		c.emit(n, "thresholds", []*slot{logScale, logit}, nil, bind, b.buf)
	}
	return b
}

func lowerBinarizeActivation(c *compiler, n *ir.Node) error {
	if n.Op.(op.BinarizeActivation).Off {
		x := c.any(n.In[0])
		c.alias(n.Out[0], x.order, x)
		return nil
	}
	b := c.binarizer(n)
	x := c.in(n.In[0], b.order)
	l := &link{node: n, name: "Above", light: true, cheap: true, in: []*slot{x}, out: c.out(n.Out[0], b.order), temps: []*temp{b.buf}}
	l.bind = func() tileFunc {
		return func(_ tile, dst []float32, src [][]float32) { binary.Above(dst, src[0], b.thresholds()) }
	}
	c.emitChain(x, l)
	return nil
}

func lowerBinarizeActivationGrad(c *compiler, n *ir.Node) error {
	dxv, params := n.Output(0), [2]*ir.Value{n.Output(1), n.Output(2)}
	if n.Op.(op.BinarizeActivationGrad).Off {
		if dxv != nil {
			du := c.any(n.In[3])
			c.alias(dxv, du.order, du)
		}
		for _, v := range params {
			if v != nil {
				d := c.out(v, rowMajor)
				c.emit(n, "zeros", nil, []*slot{d}, func() func() error {
					return func() error { clear(d.f32()); return nil }
				})
			}
		}
		return nil
	}
	if dxv == nil {
		return lowerReference(c, n)
	}
	b := c.binarizer(n)
	p := b.period
	x, du := c.in(n.In[0], b.order), c.in(n.In[3], b.order)
	_, tasks := chainTasks(x.shape.Numel(), chainUnit(x))
	total := &sums{part: c.temp(0), own: c.temp(0), size: 2 * p}
	total.recut(tasks)
	l := &link{node: n, name: "BinarizeActivationGrad", in: []*slot{x, du}, out: c.out(dxv, b.order), temps: []*temp{b.buf, total.part, total.own}, sums: total}
	l.placed = func(k int) bool { return k == 1 } // dx on du
	l.bind = func() tileFunc {
		return func(t tile, dst []float32, src [][]float32) {
			acc := total.part.mem[t.task*2*p:][:2*p]
			if t.first {
				binary.Backward(dst, src[1], src[0], b.thresholds(), b.scale(), acc[:p], acc[p:])
				return
			}
			s := total.own.mem[t.task*2*p:][:2*p]
			binary.Backward(dst, src[1], src[0], b.thresholds(), b.scale(), s[:p], s[p:])
			elementwise.Add.Run(acc, acc, s)
		}
	}
	c.emitChain(x, l)
	if params[0] == nil && params[1] == nil {
		return nil
	}
	k := n.In[2].Type.MustShape().Numel()
	logit := c.in(n.In[2], rowMajor)
	var outs [2]*slot
	for i, v := range params {
		if v != nil {
			outs[i] = c.out(v, rowMajor)
		}
	}
	c.emit(n, "binarizer gradient", []*slot{logit}, outs[:], func() func() error {
		sums, l, dlogit, dlog := make([]op.BinarySums, k), logit.f32(), make([]float32, k), make([]float32, 1)
		if outs[0] != nil {
			dlog = outs[0].f32()
		}
		if outs[1] != nil {
			dlogit = outs[1].f32()
		}
		return func() error {
			clear(sums)
			for m := total.all(); len(m) > 0; m = m[2*p:] {
				for i, ch := 0, 0; i < p; i++ {
					sums[ch].Scale += float64(m[i])
					sums[ch].Threshold += float64(m[p+i])
					if ch++; ch == k {
						ch = 0
					}
				}
			}
			dlog[0] = op.BinaryGrads(dlogit, sums, b.scale(), l)
			return nil
		}
	}, b.buf, total.part)
	return nil
}

func lowerBinaryScale(c *compiler, n *ir.Node) error {
	o := n.Op.(op.BinaryScale)
	mean, logScale, f := c.in(n.In[0], rowMajor), c.in(n.In[1], rowMajor), c.out(n.Out[0], rowMajor)
	c.emit(n, "factors", []*slot{mean, logScale}, []*slot{f}, func() func() error {
		m, s, dst := mean.f32(), logScale.f32(), f.f32()
		return func() error { o.Factors(dst, m, s[0]); return nil }
	})
	return nil
}

// bits is a convolution that can be computed on bits: of activations that are
// compared with thresholds, with weights of which only the signs count.
type bits struct {
	conv     *ir.Node
	x        *ir.Value // compared
	bin      *ir.Node  // BinarizeActivation, or nil
	at       *ir.Value // thresholds, if bin is nil
	weight   *ir.Value // whose signs count
	mul      *ir.Node  // multiplies the sums by factors, or nil
	factors  *ir.Value
	geometry binary.Geometry
}

// bitsOf returns the convolution on bits that n is, nil if it is none. It tells
// two forms: the operators of training, and what pass.BinaryToONNX writes.
func (c *compiler) bitsOf(n *ir.Node) *bits {
	o, ok := n.Op.(op.Conv)
	if !ok || o.Groups() != 1 || n.In[0].Type.Rank() != 4 || n.Input(2) != nil || !isFloat(n.In[:2]...) {
		return nil
	}
	b := &bits{conv: n}
	if !b.activations(n.In[0]) || !b.weights(n.In[1]) {
		return nil
	}
	xs, ws := n.In[0].Type.MustShape(), n.In[1].Type.MustShape()
	w := o.Resolved(xs[2:], ws[2:])
	b.geometry = binary.Geometry{N: xs[0], H: xs[2], W: xs[3], IC: xs[1], OC: ws[0], KH: ws[2], KW: ws[3], StrideH: w.Strides[0], StrideW: w.Strides[1],
		PadT: w.Pads[0], PadL: w.Pads[1], PadB: w.Pads[2], PadR: w.Pads[3], DilationH: w.Dilations[0], DilationW: w.Dilations[1]}
	if b.geometry.Fits() != nil {
		return nil
	}
	y := n.Out[0]
	if len(y.Uses()) != 1 || c.isBorder(y) {
		return b
	}
	u := y.Uses()[0]
	if _, ok := u.Node.Op.(op.Mul); !ok || len(u.Node.In) != 2 {
		return b
	}
	f := u.Node.In[1-u.Port]
	if f.Type.DType != tensor.Float32 || f.Type.MustShape().Numel() != ws[0] || classify(f, y.Type.MustShape()).kind != perChannel {
		return b
	}
	b.mul, b.factors = u.Node, f
	return b
}

func (b *bits) activations(u *ir.Value) bool {
	if u.Def == nil {
		return false
	}
	switch o := u.Def.Op.(type) {
	case op.BinarizeActivation:
		b.bin, b.x = u.Def, u.Def.In[0]
		return !o.Off
	case op.Cast:
		g := u.Def.In[0].Def
		if g == nil {
			return false
		}
		if _, ok := g.Op.(op.Greater); !ok || !isFloat(g.In...) {
			return false
		}
		b.x, b.at = g.In[0], g.In[1]
		shape := b.x.Type.MustShape()
		return b.at.IsStored() && shape.Equal(u.Type.MustShape()) && b.at.Data.Len() == shape[1] && shape[1] > 1 && classify(b.at, shape).kind == perChannel
	}
	return false
}

func (b *bits) weights(v *ir.Value) bool {
	if v.Def != nil {
		o, ok := v.Def.Op.(op.BinarizeWeight)
		b.weight = v.Def.In[0]
		return ok && v.Index == 0 && !o.Off
	}
	b.weight = v
	if v.Kind != ir.Constant {
		return false
	}
	for _, x := range v.Data.F32() {
		if x != 1 && x != -1 {
			return false
		}
	}
	return true
}

// bitsInto returns the convolution on bits whose factors n multiplies by.
func (c *compiler) bitsInto(n *ir.Node) *bits {
	for _, v := range n.In {
		if v != nil && v.Def != nil {
			if b := c.bitsOf(v.Def); b != nil && b.mul == n {
				return b
			}
		}
	}
	return nil
}

// lowerMul is a product, or the end of a convolution on bits.
func lowerMul(c *compiler, n *ir.Node) error {
	if b := c.bitsInto(n); b != nil {
		return c.emitBits(b)
	}
	return lowerBinary(elementwise.Mul)(c, n)
}

// emitBits packs signs of weights and bits of activations, the latter in the
// chain that makes the activations, and counts.
func (c *compiler) emitBits(b *bits) error {
	g := b.geometry
	p, err := binary.New(g)
	if err != nil {
		return err
	}
	z := p.Sizes()
	w, x := c.in(b.weight, rowMajor), c.in(b.x, channelsLast)
	packed, packedBits, scratch := c.temp(z.Weights), c.temp(z.Bits), c.workspace(z.Scratch*c.workers)
	c.emitPack(b.conv, w, func() func() error {
		src := w.f32()
		return runSized(c.pool, z.PackRows, len(src), func(t, _ int) { p.PackWeights(t, packed.mem, src) })
	}, packed)

	l := &link{node: b.conv, name: "Bits", in: []*slot{x}, temps: []*temp{packedBits}, fills: packedBits}
	var thresholds func() []float32
	if b.bin != nil {
		bin := c.binarizer(b.bin)
		l.temps = append(l.temps, bin.buf)
		thresholds = func() []float32 { return bin.buf.mem[:g.IC] }
	} else {
		at := c.in(b.at, rowMajor)
		l.also = append(l.also, at)
		thresholds = func() []float32 { return at.f32() }
	}
	l.bind = func() tileFunc {
		at := thresholds()
		return func(t tile, _ []float32, src [][]float32) { p.Pack(packedBits.mem, src[0], at, t.lo/g.IC) }
	}
	c.emitChain(x, l)

	reads, result := []*slot{}, b.conv.Out[0]
	factors := func() []float32 {
		one := make([]float32, g.OC)
		for i := range one {
			one[i] = 1
		}
		return one
	}
	if b.mul != nil {
		f := c.in(b.factors, rowMajor)
		reads, result = append(reads, f), b.mul.Out[0]
		factors = f.f32
	}
	y := c.out(result, channelsLast)
	output := &finished{slot: y,
		tasks:  func() int { return z.Tasks },
		entire: func() bool { return true },
		region: func(task int) (lo, hi int) {
			lo, hi = p.Region(task)
			return lo * g.OC, hi * g.OC
		},
	}
	s := c.emit(b.conv, "bits "+p.Kernels(), reads, []*slot{y}, func() func() error {
		f, yd := factors(), y.f32()
		task := func(t, worker int) {
			p.Forward(t, scratch.part(worker, z.Scratch), packedBits.mem, packed.mem, f, yd)
		}
		return runTasks(c.pool, z.Tasks, then(task, output.after(c)))
	}, packedBits, packed, scratch)
	s.output, s.also = output, b.mul
	return nil
}

package native

import (
	"math"

	"github.com/go-nncf/nncf/internal/kernel/elementwise"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// elementOrder chooses the order in which an elementwise operator works: that
// of its operands of full shape, channels-last if they differ, and whatever
// per-channel parameters force. ok is false if no order fits.
func (c *compiler) elementOrder(ops []operand) (o order, ok bool) {
	channel, last := false, false
	for _, p := range ops {
		switch p.kind {
		case full:
			if c.any(p.value).order == channelsLast {
				o = channelsLast
			}
		case perChannel:
			channel = true
		case perLast, perRow:
			last = true
		case general:
			return o, false
		}
	}
	switch {
	case channel && last:
		return o, false
	case channel:
		o = channelsLast
	case last:
		o = rowMajor
	}
	return o, true
}

// isFloat reports whether all present values are float32.
func isFloat(values ...*ir.Value) bool {
	for _, v := range values {
		if v != nil && v.Type.DType != tensor.Float32 {
			return false
		}
	}
	return true
}

// lowerBinary runs a function of two operands with broadcasting.
func lowerBinary(f elementwise.Binary) lowering {
	return func(c *compiler, n *ir.Node) error {
		if len(n.In) != 2 || !isFloat(n.In...) {
			return lowerReference(c, n)
		}
		shape := n.Out[0].Type.MustShape()
		a, b := classify(n.In[0], shape), classify(n.In[1], shape)
		o, ok := c.elementOrder([]operand{a, b})
		if !ok || a.kind != full && b.kind != full || tooLong(a, shape) || tooLong(b, shape) {
			return c.combine(n, f.String(), func(dst []float32, src [][]float32) { f.Run(dst, src[0], src[1]) })
		}
		l := &link{node: n, name: f.String(), cheap: f != elementwise.Div}
		left := a.kind != full // the small operand comes first
		whole, small := a, b
		if left {
			whole, small = b, a
		}
		l.in = []*slot{c.in(whole.value, o)}
		switch small.kind {
		case full:
			l.in = append(l.in, c.in(small.value, o))
			l.bind = func() tileFunc {
				return func(_ tile, dst []float32, src [][]float32) { f.Run(dst, src[0], src[1]) }
			}
		case scalar:
			s, read := c.scalarOf(small.value)
			l.also = append(l.also, s)
			l.bind = func() tileFunc {
				if left {
					return func(_ tile, dst []float32, src [][]float32) { f.ScalarLeft(dst, read(), src[0]) }
				}
				return func(_ tile, dst []float32, src [][]float32) { f.Scalar(dst, src[0], read()) }
			}
		case perRow:
			s := c.in(small.value, rowMajor)
			l.also = append(l.also, s)
			row := shape[len(shape)-1]
			l.bind = func() tileFunc {
				rows := s.f32()
				return func(t tile, dst []float32, src [][]float32) {
					for i, r := 0, t.lo/row; i < len(dst); i, r = i+row, r+1 {
						if left {
							f.ScalarLeft(dst[i:i+row], rows[r], src[0][i:i+row])
						} else {
							f.Scalar(dst[i:i+row], src[0][i:i+row], rows[r])
						}
					}
				}
			}
		default:
			p := c.periodic(small.value)
			l.temps = append(l.temps, p)
			l.bind = func() tileFunc {
				if left {
					return func(_ tile, dst []float32, src [][]float32) { f.ChannelsLeft(dst, p.mem, src[0]) }
				}
				return func(_ tile, dst []float32, src [][]float32) { f.Channels(dst, src[0], p.mem) }
			}
		}
		l.out = c.out(n.Out[0], o)
		c.emitChain(l.out, l)
		return nil
	}
}

// tooLong reports whether a parameter along an axis does not fit a tile.
func tooLong(o operand, shape []int) bool {
	if o.kind == perRow {
		return shape[len(shape)-1] > tileLen
	}
	return (o.kind == perLast || o.kind == perChannel) && o.value.Type.MustShape().Numel() > tileLen
}

// lowerUnary runs a function of one operand.
func lowerUnary(f elementwise.Unary) lowering {
	return func(c *compiler, n *ir.Node) error {
		cheap := f == elementwise.Relu || f == elementwise.Abs || f == elementwise.Neg
		return c.mapElements(n, f.String(), cheap, func(dst, x []float32) { f.Run(dst, x) })
	}
}

// lowerElementwise runs operators without a kernel in a chain, one element after
// the other.
func lowerElementwise(c *compiler, n *ir.Node) error {
	f := n.Op.(ir.Elementwise).Element()
	return c.mapElements(n, n.Op.Kind(), false, func(dst, x []float32) {
		for i, v := range x[:len(dst)] {
			dst[i] = float32(f(float64(v)))
		}
	})
}

// mapElements emits a link that applies f to every element of input 0.
func (c *compiler) mapElements(n *ir.Node, name string, cheap bool, f func(dst, x []float32)) error {
	if !isFloat(n.In[0]) {
		return lowerReference(c, n)
	}
	x := c.any(n.In[0])
	l := &link{node: n, name: name, cheap: cheap, in: []*slot{x}, out: c.out(n.Out[0], x.order)}
	l.bind = func() tileFunc {
		return func(_ tile, dst []float32, src [][]float32) { f(dst, src[0]) }
	}
	c.emitChain(l.out, l)
	return nil
}

// lowerGrad runs the gradient of an elementwise function; the operator's
// inputs are x or y, then dy.
func lowerGrad(f elementwise.Grad) lowering {
	return func(c *compiler, n *ir.Node) error {
		return c.zipElements(n, f.String(), func(dst, xy, dy []float32) { f.Run(dst, dy, xy) })
	}
}

// zipElements emits a link that applies f to the elements of inputs 0 and 1,
// which have the result's shape.
func (c *compiler) zipElements(n *ir.Node, name string, f func(dst, a, b []float32)) error {
	shape := n.Out[0].Type.MustShape()
	a, b := classify(n.In[0], shape), classify(n.In[1], shape)
	o, ok := c.elementOrder([]operand{a, b})
	if !ok || !isFloat(n.In[0], n.In[1]) || !n.In[0].Type.MustShape().Equal(shape) || !n.In[1].Type.MustShape().Equal(shape) {
		return lowerReference(c, n)
	}
	l := &link{node: n, name: name, in: []*slot{c.in(n.In[0], o), c.in(n.In[1], o)}, out: c.out(n.Out[0], o)}
	l.bind = func() tileFunc {
		return func(_ tile, dst []float32, src [][]float32) { f(dst, src[0], src[1]) }
	}
	c.emitChain(l.out, l)
	return nil
}

// clipBounds returns the constant bounds of a Clip or ClipGrad whose min and
// max are inputs first and first+1; ok is false if one is not constant.
func clipBounds(n *ir.Node, first int) (lo, hi float32, ok bool) {
	lo, hi = float32(math.Inf(-1)), float32(math.Inf(1))
	for i, p := range []*float32{&lo, &hi} {
		v := n.Input(first + i)
		if v == nil {
			continue
		}
		if v.Kind != ir.Constant || v.Data.DType() != tensor.Float32 || v.Data.Len() != 1 {
			return lo, hi, false
		}
		*p = v.Data.F32()[0]
	}
	return lo, hi, true
}

func lowerClip(c *compiler, n *ir.Node) error {
	lo, hi, ok := clipBounds(n, 1)
	if !ok {
		return lowerReference(c, n)
	}
	return c.mapElements(n, "Clip", true, func(dst, x []float32) { elementwise.Clip.Run(dst, x, lo, hi) })
}

func lowerClipGrad(c *compiler, n *ir.Node) error {
	lo, hi, ok := clipBounds(n, 2)
	if !ok {
		return lowerReference(c, n)
	}
	return c.zipElements(n, "ClipGrad", func(dst, x, dy []float32) { elementwise.ClipGrad.Run(dst, dy, x, lo, hi) })
}

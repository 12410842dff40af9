package native

import (
	"math"

	"github.com/go-nncf/nncf/internal/kernel/elementwise"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// combine emits a link that applies f to tiles of all inputs, each broadcast to
// the result's shape.
//
// f reads its first two operands before it writes; of others it may read
// elements that lie behind those already written.
func (c *compiler) combine(n *ir.Node, name string, f func(dst []float32, src [][]float32)) error {
	out := n.Out[0]
	shape := out.Type.MustShape()
	fits := chainable(out.Type.DType) && shape.Numel() > 0
	o := rowMajor
	for _, v := range n.In {
		fits = fits && v != nil && chainable(v.Type.DType)
		if fits && v.Type.MustShape().Equal(shape) && c.any(v).order == channelsLast {
			o = channelsLast
		}
	}
	if !fits {
		return lowerReference(c, n)
	}
	l := &link{node: n, name: name, placed: func(k int) bool { return k < 2 }}
	for _, v := range n.In {
		l.in = append(l.in, c.full(n, v, shape, o))
	}
	l.out = c.out(out, o)
	l.bind = func() tileFunc {
		return func(_ tile, dst []float32, src [][]float32) { f(dst, src) }
	}
	c.emitChain(l.out, l)
	return nil
}

// lowerMany runs a function of any number of operands, two at a time; mean
// divides by their number.
func lowerMany(f elementwise.Binary, mean bool) lowering {
	return func(c *compiler, n *ir.Node) error {
		if !isFloat(n.In...) {
			return lowerReference(c, n)
		}
		if len(n.In) == 2 && !mean {
			return lowerBinary(f)(c, n)
		}
		scale := 1 / float32(len(n.In))
		return c.combine(n, n.Op.Kind(), func(dst []float32, src [][]float32) {
			if len(src) == 1 {
				copy(dst, src[0])
			} else {
				f.Run(dst, src[0], src[1])
			}
			for _, x := range src[min(2, len(src)):] {
				f.Run(dst, dst, x)
			}
			if mean {
				elementwise.Mul.Scalar(dst, dst, scale)
			}
		})
	}
}

const one32 = 0x3f800000 // the bits of 1

// lowerCompare runs a comparison. Conditions compile to moves, so unpredictable
// data cost nothing.
func lowerCompare(f func(dst, a, b []float32)) lowering {
	return func(c *compiler, n *ir.Node) error {
		return c.combine(n, n.Op.Kind(), func(dst []float32, src [][]float32) { f(dst, src[0], src[1]) })
	}
}

func less(dst, a, b []float32) {
	for i, x := range a[:len(dst)] {
		var v uint32
		if x < b[i] {
			v = one32
		}
		dst[i] = math.Float32frombits(v)
	}
}

func lessOrEqual(dst, a, b []float32) {
	for i, x := range a[:len(dst)] {
		var v uint32
		if x <= b[i] {
			v = one32
		}
		dst[i] = math.Float32frombits(v)
	}
}

func greater(dst, a, b []float32)        { less(dst, b, a) }
func greaterOrEqual(dst, a, b []float32) { lessOrEqual(dst, b, a) }

func equal(dst, a, b []float32) {
	for i, x := range a[:len(dst)] {
		var v uint32
		if x == b[i] {
			v = one32
		}
		dst[i] = math.Float32frombits(v)
	}
}

// Truth values are 0 and 1.
func and(dst, a, b []float32) { elementwise.Mul.Run(dst, a, b) }
func or(dst, a, b []float32)  { elementwise.Max.Run(dst, a, b) }
func xor(dst, a, b []float32) {
	elementwise.Sub.Run(dst, a, b)
	elementwise.Abs.Run(dst, dst)
}

func lowerNot(c *compiler, n *ir.Node) error {
	return c.combine(n, "Not", func(dst []float32, src [][]float32) { elementwise.Binary.ScalarLeft(elementwise.Sub, dst, 1, src[0]) })
}

// lowerWhere chooses bit by bit, so that what is not chosen may be NaN.
func lowerWhere(c *compiler, n *ir.Node) error {
	return c.combine(n, "Where", func(dst []float32, src [][]float32) {
		p, x, y := src[0][:len(dst)], src[1][:len(dst)], src[2][:len(dst)]
		for i := range dst {
			m := -(math.Float32bits(p[i]) >> 23 & 1) // all ones where p is 1
			dst[i] = math.Float32frombits(math.Float32bits(x[i])&m | math.Float32bits(y[i])&^m)
		}
	})
}

// lowerCast converts as tiles are read and stored. From floating-point numbers
// to integers it cuts fractions off in the tile too, for links that read it.
func lowerCast(c *compiler, n *ir.Node) error {
	from, to := n.In[0].Type.DType, n.Out[0].Type.DType
	if from == to {
		return lowerIdentity(c, n)
	}
	reads := chainable(from) || from == tensor.Int32 || from == tensor.Int64
	writes := to == tensor.Float32 || from == tensor.Float32 && (to == tensor.Bool || to == tensor.Int32 || to == tensor.Int64)
	if !reads || !writes || n.Out[0].Type.MustShape().Numel() == 0 {
		return lowerReference(c, n) // small integers wrap around, which tiles would not
	}
	x := c.any(n.In[0])
	l := &link{node: n, name: "cast", in: []*slot{x}, out: c.out(n.Out[0], x.order)}
	l.bind = func() tileFunc {
		return func(_ tile, dst []float32, src [][]float32) {
			switch {
			case to == tensor.Bool:
				for i, v := range src[0][:len(dst)] {
					m := uint32(one32)
					if v == 0 {
						m = 0
					}
					dst[i] = math.Float32frombits(m)
				}
			case to.IsInteger():
				for i, v := range src[0][:len(dst)] {
					dst[i] = float32(math.Trunc(float64(v)))
				}
			default:
				copy(dst, src[0])
			}
		}
	}
	c.emitChain(l.out, l)
	return nil
}

// lowerPow covers the constant exponents of gradients and norms.
func lowerPow(c *compiler, n *ir.Node) error {
	k := n.In[1]
	if !isFloat(n.In...) || !oneConstant(k) || !n.In[0].Type.MustShape().Equal(n.Out[0].Type.MustShape()) {
		return lowerReference(c, n)
	}
	var f func(dst, x []float32)
	switch k.Data.F32()[0] {
	case 1:
		f = func(dst, x []float32) { copy(dst, x) }
	case 2:
		f = elementwise.Square.Run
	case 3:
		f = func(dst, x []float32) {
			for i, v := range x[:len(dst)] {
				dst[i] = v * v * v
			}
		}
	case 0.5:
		f = elementwise.Sqrt.Run
	case -0.5:
		f = func(dst, x []float32) {
			elementwise.Sqrt.Run(dst, x)
			elementwise.Reciprocal.Run(dst, dst)
		}
	case -1:
		f = elementwise.Reciprocal.Run
	default:
		f = func(dst, x []float32) {
			p := float64(k.Data.F32()[0])
			for i, v := range x[:len(dst)] {
				dst[i] = float32(math.Pow(float64(v), p))
			}
		}
	}
	return c.mapElements(n, "Pow", false, f)
}

// lowerPRelu has one slope for all, per channel or along the last axis; other
// slopes are repeated.
func lowerPRelu(c *compiler, n *ir.Node) error {
	if !isFloat(n.In...) {
		return lowerReference(c, n)
	}
	return c.combine(n, "PRelu", func(dst []float32, src [][]float32) {
		elementwise.PRelu(dst, src[0], src[1])
	})
}

// lowerThreshold covers activations that keep or drop elements.
func lowerThresholdedRelu(c *compiler, n *ir.Node) error {
	a := n.Op.(op.ThresholdedRelu).Alpha
	return c.mapElements(n, "ThresholdedRelu", false, func(dst, x []float32) {
		for i, v := range x[:len(dst)] {
			b := math.Float32bits(v)
			if !(v > a) {
				b = 0
			}
			dst[i] = math.Float32frombits(b)
		}
	})
}

package native

import (
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// spread says how a row-major tensor repeats over a larger shape: stride is 0
// along axes where it does. Neighbouring axes that are one run are one axis.
type spread struct{ shape, stride []int }

// newSpread broadcasts src to the logical shape dst, whose axes lie in order o.
func newSpread(src, dst tensor.Shape, o order) spread {
	strides := make([]int, len(dst))
	ss := src.Strides()
	for i := range src {
		if src[i] != 1 {
			strides[len(dst)-len(src)+i] = ss[i]
		}
	}
	var sp spread
	phys, strides := o.physical(dst), physicalList(o, strides)
	for i, n := range phys {
		if n == 1 {
			continue
		}
		if k := len(sp.shape) - 1; k >= 0 && sp.stride[k] == strides[i]*n {
			sp.shape[k] *= n
			sp.stride[k] = strides[i]
			continue
		}
		sp.shape, sp.stride = append(sp.shape, n), append(sp.stride, strides[i])
	}
	if len(sp.shape) == 0 {
		sp.shape, sp.stride = []int{1}, []int{0}
	}
	return sp
}

// fill writes elements lo, lo+1, … of the larger shape, run by run of its last
// axis.
func (sp spread) fill(dst, src []float32, lo int) {
	last := len(sp.shape) - 1
	n, step := sp.shape[last], sp.stride[last]
	at := lo % n
	row := lo / n
	for len(dst) > 0 {
		s, q := 0, row
		for k := last - 1; k >= 0; k-- {
			s += q % sp.shape[k] * sp.stride[k]
			q /= sp.shape[k]
		}
		run := dst[:min(len(dst), n-at)]
		switch step {
		case 0:
			v := src[s]
			for i := range run {
				run[i] = v
			}
		case 1:
			copy(run, src[s+at:])
		default:
			for i := range run {
				run[i] = src[s+(at+i)*step]
			}
		}
		dst = dst[len(run):]
		at, row = 0, row+1
	}
}

// full returns v with the given shape in order o: v itself, or a link that
// repeats it tile by tile.
func (c *compiler) full(n *ir.Node, v *ir.Value, shape tensor.Shape, o order) *slot {
	vs := v.Type.MustShape()
	if vs.Equal(shape) {
		return c.in(v, o)
	}
	if vs.Numel() == shape.Numel() { // leading axes of length 1
		src := c.in(v, rowMajor)
		a := &slot{value: v, order: rowMajor, shape: shape, dtype: src.dtype, buf: src.buf}
		if src.buf == nil {
			a.data = src.data.Reshape(shape...)
		}
		c.all = append(c.all, a)
		if o == rowMajor || sameMemory(shape) {
			return a
		}
		dst := c.span(v, shape, src.dtype, o)
		c.lowerReorder(a, dst)
		return dst
	}
	l := c.repeat(n, v, vs, shape, o)
	l.out = c.span(v, shape, tensor.Float32, o)
	c.emitChain(l.out, l)
	return l.out
}

// span makes a slot of any shape that is no value's home.
func (c *compiler) span(v *ir.Value, shape tensor.Shape, d tensor.DType, o order) *slot {
	s := &slot{value: v, order: o, shape: shape, dtype: d}
	s.buf = newBuffer(shape.Numel() * elemSize(d))
	c.all = append(c.all, s)
	return s
}

// repeat returns the link that repeats v, read as an array of shape from, over
// the shape, without a result yet.
func (c *compiler) repeat(n *ir.Node, v *ir.Value, from, shape tensor.Shape, o order) *link {
	src := c.in(v, rowMajor)
	sp := newSpread(from, shape, o)
	l := &link{node: n, name: "repeat", also: []*slot{src}}
	var wide *temp
	if src.dtype != tensor.Float32 {
		wide = c.temp(src.shape.Numel())
		c.emit(n, "widen", []*slot{src}, nil, func() func() error {
			load := loader(src.data)
			return func() error { load(wide.mem, 0); return nil }
		}, wide)
		l.also, l.temps = nil, []*temp{wide}
	}
	l.bind = func() tileFunc {
		var x []float32
		if wide != nil {
			x = wide.mem
		} else {
			x = src.f32()
		}
		return func(t tile, dst []float32, _ [][]float32) { sp.fill(dst, x, t.lo) }
	}
	return l
}

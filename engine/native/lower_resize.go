package native

import (
	"github.com/go-nncf/nncf/internal/kernel/elementwise"
	"github.com/go-nncf/nncf/internal/kernel/layout"
	"github.com/go-nncf/nncf/internal/kernel/optim"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// tap is one term of an interpolation: weight w of position i.
type tap struct {
	i int
	w float32
}

// longestResized bounds the axes whose weights are found by resizing the unit
// vectors.
const longestResized = 1024

// axisTaps returns the terms of each output position along an axis of n
// elements, by what the operator does with unit vectors: every mode is linear
// and works along one axis at a time. arg is the scale or the size of the axis.
func axisTaps(r op.Resize, n int, scale, size *tensor.Tensor) ([][]tap, error) {
	r.Axes = []int{1}
	unit := tensor.New(tensor.Float32, n, n)
	for i := range n {
		unit.F32()[i*n+i] = 1
	}
	res, err := r.Eval([]*tensor.Tensor{unit, nil, scale, size})
	if err != nil {
		return nil, err
	}
	m := res[0].Shape()[1]
	taps := make([][]tap, m)
	for j := range taps {
		for i := range n {
			if w := res[0].F32()[i*m+j]; w != 0 {
				taps[j] = append(taps[j], tap{i, w})
			}
		}
	}
	return taps, nil
}

// resizeTaps returns the terms along every axis of a resize of xs whose
// arguments are inputs 1 to 3 of n, nil for axes that stay; ok is false unless
// they are constant and the kernels' case.
func resizeTaps(n *ir.Node, r op.Resize, xs tensor.Shape) (taps [][][]tap, ok bool, err error) {
	if r.Coordinate == "tf_crop_and_resize" || r.Aspect != "" && r.Aspect != "stretch" {
		return nil, false, nil
	}
	axes := r.Axes
	if axes == nil {
		for i := range xs {
			axes = append(axes, i)
		}
	}
	arg := func(i int) *ir.Value {
		if v := n.Input(i); v != nil && v.Type.MustShape().Numel() > 0 {
			return v
		}
		return nil
	}
	scales, sizes := arg(2), arg(3)
	taps = make([][][]tap, len(xs))
	for k, a := range axes {
		if a, err = tensor.Axis(a, len(xs)); err != nil {
			return nil, false, err
		}
		var scale, size *tensor.Tensor
		switch {
		case sizes != nil:
			list, known := sizes.ConstInts()
			if !known || len(list) != len(axes) {
				return nil, false, nil
			}
			if list[k] == xs[a] {
				continue
			}
			size = tensor.From([]int64{int64(list[k])}, 1)
		case scales != nil && scales.Kind == ir.Constant && scales.Type.DType == tensor.Float32 && scales.Data.Len() == len(axes):
			v := scales.Data.F32()[k]
			if v == 1 {
				continue
			}
			scale = tensor.From([]float32{v}, 1)
		default:
			return nil, false, nil
		}
		if xs[a] > longestResized || xs[a] == 0 {
			return nil, false, nil
		}
		if taps[a], err = axisTaps(r, xs[a], scale, size); err != nil {
			return nil, false, err
		}
	}
	return taps, true, nil
}

func lowerResize(c *compiler, n *ir.Node) error {
	r := n.Op.(op.Resize)
	xs := n.In[0].Type.MustShape()
	if !isFloat(n.In[0]) || n.Out[0].Type.MustShape().Numel() == 0 {
		return lowerReference(c, n)
	}
	taps, ok, err := resizeTaps(n, r, xs)
	if err != nil || !ok {
		return lowerReference(c, n)
	}
	return c.emitTaps(n, xs, n.Out[0].Type.MustShape(), taps)
}

func lowerResizeGrad(c *compiler, n *ir.Node) error {
	r := n.Op.(op.ResizeGrad)
	xs := n.Out[0].Type.MustShape()
	ys := n.In[0].Type.MustShape()
	if !isFloat(n.In[0]) || ys.Numel() == 0 {
		return lowerReference(c, n)
	}
	taps, ok, err := resizeTaps(n, r.Resize, xs)
	if err != nil || !ok {
		return lowerReference(c, n)
	}
	for a, l := range taps {
		if l == nil {
			continue
		}
		adjoint := make([][]tap, xs[a])
		for j, ts := range l {
			for _, t := range ts {
				adjoint[t.i] = append(adjoint[t.i], tap{j, t.w})
			}
		}
		taps[a] = adjoint
	}
	return c.emitTaps(n, ys, xs, taps)
}

// emitTaps computes weighted sums along one axis after the other.
func (c *compiler) emitTaps(n *ir.Node, from, to tensor.Shape, taps [][][]tap) error {
	o := rowMajor
	if len(from) >= 3 {
		o = channelsLast
	}
	x, y := c.in(n.In[0], o), c.out(n.Out[0], o)
	shape := o.physical(from).Clone()
	lists := physicalList(o, taps)
	var axes []int
	for a, l := range lists {
		if l != nil {
			axes = append(axes, a)
		}
	}
	if len(axes) == 0 {
		c.emit(n, "copy", []*slot{x}, []*slot{y}, func() func() error {
			return func() error { copy(y.f32(), x.f32()); return nil }
		})
		return nil
	}
	var src *temp
	for k, a := range axes {
		outer, inner := tensor.Shape(shape[:a]).Numel(), tensor.Shape(shape[a+1:]).Numel()
		in, list := shape[a], lists[a]
		out := len(list)
		shape[a] = out
		var dst *temp
		var reads, writes []*slot
		var temps []*temp
		if k == 0 {
			reads = []*slot{x}
		} else {
			temps = append(temps, src)
		}
		if k == len(axes)-1 {
			writes = []*slot{y}
		} else {
			dst = c.temp(shape.Numel())
			temps = append(temps, dst)
		}
		from := src
		c.emit(n, "interpolate", reads, writes, func() func() error {
			var xd, yd []float32
			if from == nil {
				xd = x.f32()
			} else {
				xd = from.mem
			}
			if dst == nil {
				yd = y.f32()
			} else {
				yd = dst.mem
			}
			per := max(1, taskLen/max(1, inner))
			return runTasks(c.pool, (outer*out+per-1)/per, func(t, _ int) {
				for r := t * per; r < min(outer*out, (t+1)*per); r++ {
					base := xd[r/out*in*inner:][:in*inner]
					d := yd[r*inner:][:inner]
					ts := list[r%out]
					if len(ts) == 0 {
						layout.Fill(d, 0)
						continue
					}
					s := base[ts[0].i*inner:][:inner]
					if ts[0].w == 1 {
						copy(d, s)
					} else {
						elementwise.Mul.Scalar(d, s, ts[0].w)
					}
					for _, t := range ts[1:] {
						optim.AXPY(d, base[t.i*inner:][:inner], t.w)
					}
				}
			})
		}, temps...)
		src = dst
	}
	return nil
}

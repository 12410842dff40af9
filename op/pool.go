package op

import (
	"fmt"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Pool is what max, average and Lp pools share: the kernel lengths, one per
// spatial axis, and how it slides. CeilMode rounds output lengths up, so that
// the last window may hang over the end; no window starts beyond the input and
// its left padding.
type Pool struct {
	Kernel []int
	Window
	CeilMode bool
}

// infer returns the axes of the result.
func (p Pool) infer(in []*ir.Value) (ir.Type, error) {
	if err := wantInputs(in, 1, 1); err != nil {
		return ir.Type{}, err
	}
	x := in[0].Type
	r := x.Rank() - 2
	if r < 1 || r > 3 {
		return ir.Type{}, fmt.Errorf("input: got %v, want one to three spatial axes", x)
	}
	if err := p.checkPool(r); err != nil {
		return ir.Type{}, err
	}
	out := ir.Type{DType: x.DType, Dims: []ir.Dim{x.Dims[0], x.Dims[1]}}
	for i := range r {
		d, err := p.outLen(x.Dims[2+i], p.Kernel[i], i, p.CeilMode)
		if err != nil {
			return ir.Type{}, err
		}
		out.Dims = append(out.Dims, d)
	}
	return out, nil
}

func (p Pool) checkPool(r int) error {
	if len(p.Kernel) != r {
		return fmt.Errorf("kernel_shape: got %v, want %d entries", p.Kernel, r)
	}
	for _, k := range p.Kernel {
		if k < 1 || k > 1<<20 {
			return fmt.Errorf("kernel_shape: got %v, want positive lengths", p.Kernel)
		}
	}
	return p.check(r)
}

// poolGeometry enumerates the windows of a pool; missing axes have length 1.
type poolGeometry struct {
	planes, xSize, ySize        int
	in, out, kernel             [3]int
	stride, dilate, pad, padEnd [3]int
	shape                       tensor.Shape
}

func (p Pool) geometry(xs tensor.Shape) (*poolGeometry, error) {
	r := len(xs) - 2
	if r < 1 || r > 3 {
		return nil, fmt.Errorf("got input %v, want one to three spatial axes", xs)
	}
	if err := p.checkPool(r); err != nil {
		return nil, err
	}
	win := p.Resolved(xs[2:], p.Kernel)
	g := &poolGeometry{planes: xs[0] * xs[1], xSize: 1, ySize: 1, shape: tensor.Shape{xs[0], xs[1]}}
	for i := range 3 {
		g.in[i], g.out[i], g.kernel[i], g.stride[i], g.dilate[i] = 1, 1, 1, 1, 1
	}
	for i := range r {
		d, err := p.outLen(ir.Len(xs[2+i]), p.Kernel[i], i, p.CeilMode)
		if err != nil {
			return nil, err
		}
		a := 3 - r + i
		g.in[a], g.out[a], g.kernel[a] = xs[2+i], d.N, p.Kernel[i]
		g.stride[a], g.dilate[a] = win.Strides[i], win.Dilations[i]
		g.pad[a], g.padEnd[a] = win.Pads[i], win.Pads[i+r]
		g.xSize *= g.in[a]
		g.ySize *= g.out[a]
		g.shape = append(g.shape, d.N)
	}
	return g, checkSize(g.shape)
}

// taps calls f with each output index of one plane and the input index of each
// of its window's elements, in order, leaving out padding.
func (g *poolGeometry) taps(f func(yi, xi int)) {
	yi := 0
	for d := range g.out[0] {
		for h := range g.out[1] {
			for w := range g.out[2] {
				for kd := range g.kernel[0] {
					id := d*g.stride[0] + kd*g.dilate[0] - g.pad[0]
					if id < 0 || id >= g.in[0] {
						continue
					}
					for kh := range g.kernel[1] {
						ih := h*g.stride[1] + kh*g.dilate[1] - g.pad[1]
						if ih < 0 || ih >= g.in[1] {
							continue
						}
						for kw := range g.kernel[2] {
							iw := w*g.stride[2] + kw*g.dilate[2] - g.pad[2]
							if iw < 0 || iw >= g.in[2] {
								continue
							}
							f(yi, (id*g.in[1]+ih)*g.in[2]+iw)
						}
					}
				}
				yi++
			}
		}
	}
}

// sizes returns how many elements the mean over each window divides by: all
// within the input, and with its padding too if pads count. What ceil mode
// adds beyond the padding never counts.
func (g *poolGeometry) sizes(pads bool) []float64 {
	var axis [3][]int
	for a := range 3 {
		axis[a] = make([]int, g.out[a])
		for o := range axis[a] {
			for k := range g.kernel[a] {
				i := o*g.stride[a] + k*g.dilate[a] - g.pad[a]
				if i >= 0 && i < g.in[a] || pads && i >= -g.pad[a] && i < g.in[a]+g.padEnd[a] {
					axis[a][o]++
				}
			}
		}
	}
	n := make([]float64, 0, g.ySize)
	for _, d := range axis[0] {
		for _, h := range axis[1] {
			for _, w := range axis[2] {
				n = append(n, float64(d*h*w))
			}
		}
	}
	return n
}

// cost counts one operation per window element.
func (p Pool) cost(n *ir.Node) ir.Cost {
	return ir.Cost{Ops: int64(n.Out[0].Type.MustShape().Numel()) * int64(product(p.Kernel))}
}

func decodePool(d *Decoder) Pool {
	return Pool{Kernel: d.Ints("kernel_shape"), Window: decodeWindow(d), CeilMode: d.Bool("ceil_mode", false)}
}

// encodePool writes the shared attributes; ceil and dilations are the opsets
// since when the operator has those attributes.
func encodePool(e *Encoder, p Pool, ceil, dilations int) {
	e.Set("kernel_shape", p.Kernel)
	w := p.Window
	if e.Opset < dilations {
		for _, d := range w.Dilations {
			if d != 1 {
				e.Errorf("dilations %v need opset %d, the file has %d", w.Dilations, dilations, e.Opset)
				break
			}
		}
		w.Dilations = nil
	}
	encodeWindow(e, w)
	if p.CeilMode {
		e.MinOpset(ceil)
		e.Set("ceil_mode", true)
	}
}

package op

import (
	"fmt"

	"github.com/go-nncf/nncf/tensor"
)

// convGeometry enumerates the products of a convolution with one to three
// spatial axes; missing axes have length 1.
type convGeometry struct {
	n, c, o, groups     int
	in, out, kernel     [3]int
	stride, dilate, pad [3]int
	rank, xSize, ySize  int
	kSize               int
	spatialOut          []int
}

func newConvGeometry(groups int, win Window, xs, ws tensor.Shape) (*convGeometry, error) {
	r := len(xs) - 2
	if r < 1 || r > 3 || len(ws) != len(xs) {
		return nil, fmt.Errorf("got input %v and weight %v, want one to three spatial axes", xs, ws)
	}
	if err := win.check(r); err != nil {
		return nil, err
	}
	if groups < 1 || ws[0]%groups != 0 || xs[1] != ws[1]*groups {
		return nil, fmt.Errorf("got weight %v in %d groups for input %v, want [O C/group kernel…]", ws, groups, xs)
	}
	win = win.Resolved(xs[2:], ws[2:])
	g := &convGeometry{n: xs[0], c: xs[1], o: ws[0], groups: groups, rank: r, xSize: 1, ySize: 1, kSize: 1}
	for i := range 3 {
		g.in[i], g.out[i], g.kernel[i], g.stride[i], g.dilate[i] = 1, 1, 1, 1, 1
	}
	for i := range r {
		a := 3 - r + i
		g.in[a], g.kernel[a] = xs[2+i], ws[2+i]
		g.stride[a], g.dilate[a], g.pad[a] = win.Strides[i], win.Dilations[i], win.Pads[i]
		span := xs[2+i] + win.Pads[i] + win.Pads[i+r] - ((ws[2+i]-1)*win.Dilations[i] + 1)
		if span < 0 {
			return nil, fmt.Errorf("kernel %v does not fit the input %v", ws[2:], xs[2:])
		}
		g.out[a] = span/win.Strides[i] + 1
		g.spatialOut = append(g.spatialOut, g.out[a])
		g.xSize *= g.in[a]
		g.ySize *= g.out[a]
		g.kSize *= g.kernel[a]
	}
	return g, checkSize(g.yShape())
}

func (g *convGeometry) yShape() []int { return append([]int{g.n, g.o}, g.spatialOut...) }

// taps calls f for every product of image n and output channel o: yi is the
// index within the output plane, xi and wi are indices into x and w.
func (g *convGeometry) taps(n, o int, f func(yi, xi, wi int)) {
	ci, oi := g.c/g.groups, g.o/g.groups
	c0 := o / oi * ci
	for c := range ci {
		xBase, wBase := (n*g.c+c0+c)*g.xSize, (o*ci+c)*g.kSize
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
								f(yi, xBase+(id*g.in[1]+ih)*g.in[2]+iw, wBase+(kd*g.kernel[1]+kh)*g.kernel[2]+kw)
							}
						}
					}
					yi++
				}
			}
		}
	}
}

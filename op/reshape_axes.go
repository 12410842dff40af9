package op

import (
	"slices"

	"github.com/go-nncf/nncf/ir"
)

// axisGroup is a run of input axes and the run of output axes that has the same
// elements, without axes of length 1.
type axisGroup struct{ in, out []int }

// axisGroups pairs the axes of a reshape from the left as far as lengths and
// symbols allow; rest is what is left over on both sides.
func axisGroups(x, y []ir.Dim) (groups []axisGroup, rest axisGroup) {
	i, j := 0, 0
	var done axisGroup
	for {
		for i < len(x) && x[i].IsOne() {
			i++
		}
		for j < len(y) && y[j].IsOne() {
			j++
		}
		if i >= len(x) || j >= len(y) {
			break
		}
		g := axisGroup{[]int{i}, []int{j}}
		p, q := x[i], y[j]
		a, b := i+1, j+1
		for !p.Equal(q) {
			if p.Sym == q.Sym && p.N < q.N || p.Sym != q.Sym && p.Sym == "" {
				if a >= len(x) || p.N < 1 {
					break
				}
				p = p.Mul(x[a])
				g.in = append(g.in, a)
				a++
			} else {
				if b >= len(y) || q.N < 1 {
					break
				}
				q = q.Mul(y[b])
				g.out = append(g.out, b)
				b++
			}
		}
		if !p.Equal(q) {
			break
		}
		i, j = a, b
		groups = append(groups, g)
		done.in, done.out = append(done.in, g.in...), append(done.out, g.out...)
	}
	for ; i < len(x); i++ {
		rest.in = append(rest.in, i)
	}
	for ; j < len(y); j++ {
		rest.out = append(rest.out, j)
	}
	for k, g := range groups {
		groups[k].in = slices.DeleteFunc(g.in, func(a int) bool { return x[a].IsOne() })
		groups[k].out = slices.DeleteFunc(g.out, func(a int) bool { return y[a].IsOne() })
	}
	return groups, rest
}

// reshapeAxes is the axis map of what only gives elements other axes.
//
// Where axes are merged, the first of them that may lose entries carries: an
// entry of it is a block of the merged axis, so a channel flattened with its
// pixels stays one channel. The other axes stay. Where an axis is split, the
// carrier is the axis that is not merged behind another one later, nor summed
// over: heads rather than their features, channels within groups rather than
// groups that are shuffled.
func reshapeAxes(n *ir.Node, m ir.AxisMap) {
	const merged, split, mixed = "it is merged behind another axis", "it is split off another axis", "a reshape mixes it with other axes"
	x, y := n.In[0], n.Out[0]
	groups, rest := axisGroups(x.Type.Dims, y.Type.Dims)
	fixAxes(m, x, axisUnknown, rest.in...)
	fixAxes(m, y, axisUnknown, rest.out...)
	for _, g := range groups {
		switch {
		case len(g.in) == 1 && len(g.out) == 1:
			tieAxes(m, x, g.in[0], y, g.out[0])
		case len(g.out) == 1:
			c := 0
			for c < len(g.in)-1 && m.Fixed(x, g.in[c]) {
				c++
			}
			tieBlocks(m, x, g.in, c, y, g.out[0])
			fixAxes(m, x, merged, slices.Delete(slices.Clone(g.in), c, c+1)...)
		case len(g.in) == 1:
			c := carrier(y, g.out)
			tieBlocks(m, y, g.out, c, x, g.in[0])
			fixAxes(m, y, split, slices.Delete(slices.Clone(g.out), c, c+1)...)
		default:
			fixAxes(m, x, mixed, g.in...)
			fixAxes(m, y, mixed, g.out...)
		}
	}
}

// tieBlocks ties entry e of the merged axis of w to the entry that e has along
// axis parts[c] of v.
func tieBlocks(m ir.AxisMap, v *ir.Value, parts []int, c int, w *ir.Value, axis int) {
	inner := 1
	for _, a := range parts[c+1:] {
		k, known := v.Type.Dims[a].Known()
		if !known {
			m.Fix(v, parts[c], axisUnknown)
			m.Fix(w, axis, axisUnknown)
			return
		}
		inner *= k
	}
	k, known := v.Type.Dims[parts[c]].Known()
	total, all := w.Type.Dims[axis].Known()
	if !known || !all {
		m.Fix(v, parts[c], axisUnknown)
		m.Fix(w, axis, axisUnknown)
		return
	}
	for e := range total {
		m.Tie(v, parts[c], e/inner%k, w, axis, e)
	}
}

// carrier chooses one of the axes that a split makes, by what becomes of them.
func carrier(v *ir.Value, axes []int) int {
	best, score := 0, -2
	for i, a := range axes {
		if s := fate(v, a, 64); s > score {
			best, score = i, s
		}
	}
	return best
}

// fate follows an axis: 1 if it counts separate things in a matrix product, or
// is the first of merged axes; -1 if it is summed over or merged behind another
// one; 0 if nothing is known.
func fate(v *ir.Value, axis, depth int) int {
	if depth == 0 {
		return 0
	}
	for _, u := range v.Uses() {
		var next []follow
		switch o := u.Node.Op.(type) {
		case Reshape, Flatten:
			if u.Port != 0 {
				continue
			}
			groups, _ := axisGroups(v.Type.Dims, u.Node.Out[0].Type.Dims)
			for _, g := range groups {
				switch k := slices.Index(g.in, axis); {
				case k < 0:
				case k > 0:
					return -1
				case len(g.in) > 1:
					return 1
				default:
					next = append(next, follow{u.Node.Out[0], g.out[0]})
				}
			}
		case MatMul:
			if axis < v.Type.Rank()-2 {
				return 1
			}
			if axis == v.Type.Rank()-1-u.Port {
				return -1
			}
			next = ties(u.Node, v, axis)
		case ir.AxisMapper:
			if o.Kind() == "Einsum" {
				if next = ties(u.Node, v, axis); next == nil {
					return -1
				}
				return 1
			}
			p := &probe{v: v, axis: axis}
			o.MapAxes(u.Node, p)
			if next = p.to; p.fixed {
				return -1
			}
		}
		for _, f := range next {
			if s := fate(f.v, f.axis, depth-1); s != 0 {
				return s
			}
		}
	}
	return 0
}

type follow struct {
	v    *ir.Value
	axis int
}

// ties returns the axes of n's results that an axis of v is tied to.
func ties(n *ir.Node, v *ir.Value, axis int) []follow {
	p := &probe{v: v, axis: axis}
	n.Op.(ir.AxisMapper).MapAxes(n, p)
	return p.to
}

// probe is an [ir.AxisMap] that writes down where one axis goes.
type probe struct {
	v     *ir.Value
	axis  int
	to    []follow
	fixed bool
}

func (p *probe) Tie(v *ir.Value, a, _ int, w *ir.Value, b, _ int) {
	if w == p.v && b == p.axis {
		v, a, w, b = w, b, v, a
	}
	if f := (follow{w, b}); v == p.v && a == p.axis && w.Def != nil && w != p.v && !slices.Contains(p.to, f) {
		p.to = append(p.to, f)
	}
}

func (p *probe) Fix(v *ir.Value, a int, _ string) { p.fixed = p.fixed || v == p.v && a == p.axis }

func (p *probe) Fixed(*ir.Value, int) bool { return false }

// MapAxes implements [ir.AxisMapper].
func (Reshape) MapAxes(n *ir.Node, m ir.AxisMap) {
	reshapeAxes(n, m)
	if _, known := shapeWanted(n, nil); !known {
		fixFrom(m, n.Out[0], 0, "the shape it gets is computed")
	}
}

// shapeWanted returns the shape input of a reshape that loses entries: lengths
// for all axes but those that copy the input's (0) and one that is computed (-1).
func shapeWanted(n *ir.Node, kept func(*ir.Value, int) []int) ([]int, bool) {
	x, y := n.In[0], n.Out[0]
	shape := make([]int, y.Type.Rank())
	open := 0
	for i, d := range y.Type.Dims {
		if k, known := d.Known(); known {
			shape[i] = k
			if kept != nil {
				shape[i], _ = keptLen(kept, y, i)
			}
			continue
		}
		if i < x.Type.Rank() && x.Type.Dims[i].Equal(d) {
			continue
		}
		shape[i] = -1
		open++
	}
	return shape, open <= 1
}

// CutAxes implements [ir.AxisCutter].
func (r Reshape) CutAxes(b *ir.Builder, n *ir.Node, kept func(*ir.Value, int) []int) (ir.Op, []*ir.Value) {
	shape, _ := shapeWanted(n, kept)
	return Reshape{}, []*ir.Value{n.In[0], b.ConstInts(n.Name+"/shape", shape...)}
}

// MapAxes implements [ir.AxisMapper].
func (Flatten) MapAxes(n *ir.Node, m ir.AxisMap) { reshapeAxes(n, m) }

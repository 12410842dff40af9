package channel

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// Cut is what removal did to one axis of a stored tensor.
type Cut struct {
	Value string `json:"value"`
	Axis  int    `json:"axis"`
	// Kept are the entries that stayed, in the old numbering; Was is the old length.
	Kept []int `json:"kept"`
	Was  int   `json:"was"`
}

// Choice is what shall go: channels of the group that filter entry Entries of
// axis Axis of the stored value Value are in. It needs no other entries: those
// that belong to the same channels go with them.
type Choice struct {
	Value   string `json:"value"`
	Axis    int    `json:"axis"`
	Entries []int  `json:"entries"`
}

// Remove cuts channels out of g: stored tensors get smaller, operators that
// count entries are adapted, types are inferred again. All problems are reported
// together, before anything changes. Stored tensors that lose entries are
// replaced, so clones of g keep theirs.
//
// What the graph computes stays the same if the slices that read the removed
// channels are zero.
func Remove(g *ir.Graph, choices []Choice, t *rewrite.Trace) ([]Cut, error) {
	return Analyze(g).remove(choices, t)
}

func (c *Graph) remove(choices []Choice, t *rewrite.Trace) ([]Cut, error) {
	gone := map[int]bool{} // roots
	var errs []error
	for _, ch := range choices {
		v := c.g.Value(ch.Value)
		if v == nil || ch.Axis < 0 || ch.Axis >= v.Type.Rank() {
			errs = append(errs, fmt.Errorf("%q: the graph has no axis %d of such a value", ch.Value, ch.Axis))
			continue
		}
		x := c.axis(v, ch.Axis)
		for _, e := range ch.Entries {
			if e < 0 || e >= x.n {
				errs = append(errs, fmt.Errorf("%q: got entry %d of axis %d, want 0 to %d", ch.Value, e, ch.Axis, x.n-1))
				continue
			}
			r := c.uf.find(x.first + e)
			if why := c.uf.why[r]; why != nil && !gone[r] {
				errs = append(errs, fmt.Errorf("%q: channel %d cannot be removed: %s", ch.Value, e, why[0]))
			}
			gone[r] = true
		}
	}
	kept := make([][]int, len(c.axes))
	for i := range c.axes {
		x := &c.axes[i]
		var list []int
		for e := range x.n {
			if !gone[c.uf.find(x.first+e)] {
				list = append(list, e)
			}
		}
		if len(list) < x.n {
			if len(list) == 0 {
				errs = append(errs, fmt.Errorf("%q: no entry of axis %d would be left", x.v.Name, x.a))
			}
			kept[i] = list
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return c.cut(kept, t)
}

// cut applies the lists of kept entries.
func (c *Graph) cut(kept [][]int, t *rewrite.Trace) ([]Cut, error) {
	of := func(v *ir.Value, a int) []int { return kept[c.first[v.ID]+a] }
	touched := func(v *ir.Value) bool {
		for a := range v.Type.Rank() {
			if of(v, a) != nil {
				return true
			}
		}
		return false
	}
	p := rewrite.New(c.g, "remove-channels", t)
	// Operators first: they look at the old types.
	type edit struct {
		n  *ir.Node
		op ir.Op
		in []*ir.Value
	}
	var edits []edit
	for _, n := range slices.Clone(c.g.Nodes()) {
		k, ok := n.Op.(ir.AxisCutter)
		if !ok || !slices.ContainsFunc(slices.Concat(n.In, n.Out), func(v *ir.Value) bool { return v != nil && touched(v) }) {
			continue
		}
		op, in := k.CutAxes(p.B, n, of)
		if err := p.B.Err(); err != nil {
			return nil, n.Wrap("remove channels", err)
		}
		edits = append(edits, edit{n, op, in})
	}
	var cuts []Cut
	for _, v := range slices.Clone(c.g.Stored()) {
		if v.ID >= len(c.first)-1 || !touched(v) { // made by an edit
			continue
		}
		data := v.Data
		for a := range v.Type.Rank() {
			k := of(v, a)
			if k == nil {
				continue
			}
			cuts = append(cuts, Cut{v.Name, a, k, v.Type.Dims[a].N})
			var err error
			if data, err = Select(data, a, k); err != nil {
				return nil, fmt.Errorf("%q: %w", v.Name, err)
			}
		}
		p.Note("%s: %v becomes %v", v.Name, v.Data.Shape(), data.Shape())
		p.SetData(v, data)
	}
	for _, e := range edits {
		p.SetOp(e.n, e.op)
		for i := range e.n.In {
			var v *ir.Value
			if i < len(e.in) {
				v = e.in[i]
			}
			if e.n.In[i] != v {
				p.SetInput(e.n, i, v)
			}
		}
		for i := len(e.n.In); i < len(e.in); i++ {
			p.AddInput(e.n, e.in[i])
		}
	}
	if err := p.Commit(); err != nil {
		return nil, err
	}
	return cuts, c.check(kept)
}

// check compares the lengths that type inference finds with those that were
// meant, so that an operator that was not adapted cannot go unnoticed.
func (c *Graph) check(kept [][]int) error {
	var errs []error
	for i, x := range c.axes {
		want := x.n
		if kept[i] != nil {
			want = len(kept[i])
		}
		if c.g.Value(x.v.Name) != x.v || x.a >= x.v.Type.Rank() || x.n == 0 {
			continue // pruned away, or of open length
		}
		if n, known := x.v.Type.Dims[x.a].Known(); known && n != want && !x.v.IsStored() && x.v.Type.DType.IsFloat() {
			errs = append(errs, fmt.Errorf("remove channels: %q is %v, want %d entries along axis %d", x.v.Name, x.v.Type, want, x.a))
		}
	}
	return errors.Join(errs...)
}

// Select returns the given entries along an axis of t.
func Select(t *tensor.Tensor, axis int, entries []int) (*tensor.Tensor, error) {
	s := t.Shape()
	if axis < 0 || axis >= len(s) {
		return nil, fmt.Errorf("got axis %d of %v", axis, t)
	}
	out := s.Clone()
	out[axis] = len(entries)
	outer, inner := tensor.Shape(s[:axis]).Numel(), tensor.Shape(s[axis+1:]).Numel()
	r := tensor.New(t.DType(), out...)
	for o := range outer {
		for j, e := range entries {
			if err := copyElements(r, (o*len(entries)+j)*inner, t, (o*s[axis]+e)*inner, inner); err != nil {
				return nil, err
			}
		}
	}
	return r, nil
}

func copyElements(dst *tensor.Tensor, at int, src *tensor.Tensor, from, n int) error {
	switch src.DType() {
	case tensor.Float32:
		copy(dst.F32()[at:][:n], src.F32()[from:][:n])
	case tensor.Int8:
		copyOf[int8](dst, at, src, from, n)
	case tensor.Uint8:
		copyOf[uint8](dst, at, src, from, n)
	case tensor.Int32:
		copyOf[int32](dst, at, src, from, n)
	case tensor.Int64:
		copyOf[int64](dst, at, src, from, n)
	case tensor.Float64:
		copyOf[float64](dst, at, src, from, n)
	case tensor.Bool:
		copyOf[bool](dst, at, src, from, n)
	default:
		return fmt.Errorf("entries of %v cannot be removed", src.DType())
	}
	return nil
}

func copyOf[T int8 | uint8 | int32 | int64 | float64 | bool](dst *tensor.Tensor, at int, src *tensor.Tensor, from, n int) {
	copy(tensor.Data[T](dst)[at:][:n], tensor.Data[T](src)[from:][:n])
}

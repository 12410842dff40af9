package channel

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/go-nncf/nncf/ir"
)

// Graph is what is known about the channels of a graph.
type Graph struct {
	Groups []*Group

	g     *ir.Graph
	first []int // of each value ID: the first of its axes
	axes  []axis
	uf    unionFind
}

// axis is one axis of a value; its entries are numbered from first on.
type axis struct {
	v        *ir.Value
	a        int
	first, n int
}

// Group is a set of channels that touch the same axes in the same way, so that
// each of them can go without the others.
type Group struct {
	// Channels is their number.
	Channels int
	// Spans are the axes they touch, in the order of the graph.
	Spans []Span
	// Fixed says why no channel can go; empty if any can.
	Fixed []string
}

// Span is the part of an axis that a group has.
type Span struct {
	Value *ir.Value
	Axis  int
	// Entries lists the entries of each channel, Width of them, channel by channel.
	Entries []int
	Width   int
}

// Of returns the entries of one channel.
func (s Span) Of(channel int) []int { return s.Entries[channel*s.Width:][:s.Width] }

// Filters reports whether the entries are filters: output channels of a stored
// weight of a convolution or a matrix product.
func (s Span) Filters() bool {
	return s.Value.IsStored() && s.role(func(p ir.WeightPorts) int { return p.OutAxis })
}

// Reads reports whether the entries are slices of a stored weight that multiply
// channels and are summed over.
func (s Span) Reads() bool {
	return s.Value.IsStored() && s.role(func(p ir.WeightPorts) int { return p.InAxis })
}

func (s Span) role(axis func(ir.WeightPorts) int) bool { return s.readAs(s.Value, axis) }

// readAs reports whether a layer reads v, which is the value or a quantized form
// of it, as its weight with the span's axis in that place.
func (s Span) readAs(v *ir.Value, axis func(ir.WeightPorts) int) bool {
	for _, u := range v.Uses() {
		if p, ok := weightPorts(u.Node); ok && p.Weight == u.Port && axis(p) == s.Axis {
			return true
		}
		if strings.HasPrefix(u.Node.Op.Kind(), "FakeQuantize") && u.Port == 0 && s.readAs(u.Node.Out[0], axis) {
			return true
		}
	}
	return false
}

// weightPorts returns the ports of a convolution or a matrix product.
func weightPorts(n *ir.Node) (ir.WeightPorts, bool) {
	w, ok := n.Op.(ir.Weighted)
	if !ok {
		return ir.WeightPorts{}, false
	}
	_, costed := n.Op.(ir.Costed)
	p := w.Weights(n)
	return p, costed && p.Weight >= 0 && p.InAxis >= 0 && p.OutAxis >= 0
}

// Analyze finds the groups of g, those with filters only, in the order of their
// first filter. g is only read.
func Analyze(g *ir.Graph) *Graph {
	c := &Graph{g: g}
	c.number()
	for _, v := range g.Inputs {
		c.fixAll(v, "it is an input of the model")
	}
	for _, n := range g.Nodes() {
		if m, ok := n.Op.(ir.AxisMapper); ok {
			m.MapAxes(n, c)
			continue
		}
		why := fmt.Sprintf("operator %s of %s does not say how it treats axes", n.Op.Kind(), n.Label())
		for _, v := range slices.Concat(n.In, n.Out) {
			if v != nil {
				c.fixAll(v, why)
			}
		}
	}
	for _, v := range g.Outputs {
		c.fixAll(v, fmt.Sprintf("it is an entry of model output %q", v.Name))
	}
	c.group()
	return c
}

// number gives every entry of every axis of known length a number.
func (c *Graph) number() {
	c.first = make([]int, c.g.NumValues()+1)
	at := 0
	add := func(v *ir.Value) {
		c.first[v.ID] = len(c.axes)
		for a, d := range v.Type.Dims {
			n, known := d.Known()
			if !known || n < 0 {
				n = 0
			}
			c.axes = append(c.axes, axis{v, a, at, n})
			at += n
		}
	}
	for _, v := range c.g.Inputs {
		add(v)
	}
	for _, v := range c.g.Stored() {
		add(v)
	}
	for _, n := range c.g.Nodes() {
		for _, v := range n.Out {
			if v != nil {
				add(v)
			}
		}
	}
	c.uf = newUnionFind(at)
}

func (c *Graph) axis(v *ir.Value, a int) *axis { return &c.axes[c.first[v.ID]+a] }

// Tie implements [ir.AxisMap].
func (c *Graph) Tie(v *ir.Value, a, i int, w *ir.Value, b, j int) {
	x, y := c.axis(v, a), c.axis(w, b)
	if i >= 0 && j >= 0 && i < x.n && j < y.n {
		c.uf.union(x.first+i, y.first+j)
	}
}

// Fix implements [ir.AxisMap].
func (c *Graph) Fix(v *ir.Value, a int, why string) {
	x := c.axis(v, a)
	why = fmt.Sprintf("%q: %s", v.Name, why)
	for i := range x.n {
		c.uf.fix(x.first+i, why)
	}
}

func (c *Graph) fixAll(v *ir.Value, why string) {
	for a := range v.Type.Rank() {
		x := c.axis(v, a)
		for i := range x.n {
			c.uf.fix(x.first+i, why)
		}
	}
}

// Fixed implements [ir.AxisMap].
func (c *Graph) Fixed(v *ir.Value, a int) bool {
	x := c.axis(v, a)
	for i := range x.n {
		if c.uf.why[c.uf.find(x.first+i)] != nil {
			return true
		}
	}
	return x.n == 0
}

// group collects the channels that have filters, and groups them by the axes
// they touch.
func (c *Graph) group() {
	wanted := map[int]bool{}
	for i := range c.axes {
		x := &c.axes[i]
		if (Span{Value: x.v, Axis: x.a}).Filters() {
			for e := range x.n {
				wanted[c.uf.find(x.first+e)] = true
			}
		}
	}
	type part struct{ axis, entry int }
	members := map[int][]part{}
	var roots []int
	for i := range c.axes {
		x := &c.axes[i]
		for e := range x.n {
			r := c.uf.find(x.first + e)
			if !wanted[r] {
				continue
			}
			if members[r] == nil {
				roots = append(roots, r)
			}
			members[r] = append(members[r], part{i, e})
		}
	}
	groups := map[string]*Group{}
	for _, r := range roots {
		var key strings.Builder
		for _, p := range members[r] {
			fmt.Fprint(&key, p.axis, " ")
		}
		why := c.uf.why[r]
		fmt.Fprint(&key, why)
		g := groups[key.String()]
		if g == nil {
			g = &Group{Fixed: why}
			for i, p := range members[r] {
				if i == 0 || members[r][i-1].axis != p.axis {
					x := c.axes[p.axis]
					g.Spans = append(g.Spans, Span{Value: x.v, Axis: x.a})
				}
				g.Spans[len(g.Spans)-1].Width++
			}
			groups[key.String()] = g
			c.Groups = append(c.Groups, g)
		}
		at := 0
		for i := range g.Spans {
			for range g.Spans[i].Width {
				g.Spans[i].Entries = append(g.Spans[i].Entries, members[r][at].entry)
				at++
			}
		}
		g.Channels++
	}
	order := c.order()
	slices.SortStableFunc(c.Groups, func(a, b *Group) int { return cmp.Compare(order(a), order(b)) })
}

// order places a group by the first node that its filters belong to.
func (c *Graph) order() func(*Group) int {
	return func(g *Group) int {
		first := len(c.g.Nodes())
		for _, s := range g.Spans {
			if s.Filters() {
				for _, u := range s.Value.Uses() {
					first = min(first, u.Node.ID)
				}
			}
		}
		return first
	}
}

// Filters returns the spans of a group that are filters, by the first node that
// uses them.
func (g *Group) Filters() []Span {
	var out []Span
	for _, s := range g.Spans {
		if s.Filters() {
			out = append(out, s)
		}
	}
	slices.SortStableFunc(out, func(a, b Span) int { return cmp.Compare(firstUse(a.Value), firstUse(b.Value)) })
	return out
}

func firstUse(v *ir.Value) int {
	if u := v.Uses(); len(u) > 0 {
		return u[0].Node.ID
	}
	return 0
}

// unionFind is a forest of disjoint sets with the reasons why a set stays.
type unionFind struct {
	parent []int
	why    map[int][]string // of roots
}

func newUnionFind(n int) unionFind {
	u := unionFind{parent: make([]int, n), why: map[int][]string{}}
	for i := range u.parent {
		u.parent[i] = i
	}
	return u
}

func (u *unionFind) find(i int) int {
	for u.parent[i] != i {
		u.parent[i] = u.parent[u.parent[i]]
		i = u.parent[i]
	}
	return i
}

// union keeps the smaller root, so that the forest does not depend on the order
// of calls.
func (u *unionFind) union(i, j int) {
	i, j = u.find(i), u.find(j)
	if i == j {
		return
	}
	if j < i {
		i, j = j, i
	}
	u.parent[j] = i
	for _, w := range u.why[j] {
		u.fix(i, w)
	}
	delete(u.why, j)
}

// maxReasons bounds the reasons kept for one channel.
const maxReasons = 3

func (u *unionFind) fix(i int, why string) {
	r := u.find(i)
	if w := u.why[r]; len(w) < maxReasons && !slices.Contains(w, why) {
		u.why[r] = append(slices.Clip(w), why)
	}
}

package ir

import (
	"cmp"
	"container/heap"
	"errors"
	"fmt"
	"slices"

	"github.com/go-nncf/nncf/tensor"
)

// The methods in this file change a graph in place. They are the primitives of
// package rewrite, which every edit goes through.

// SetInput makes v input port of n.
func (g *Graph) SetInput(n *Node, port int, v *Value) {
	if old := n.In[port]; old != nil {
		old.uses = slices.DeleteFunc(old.uses, func(u Use) bool { return u.Node == n && u.Port == port })
	}
	n.In[port] = v
	if v != nil {
		v.uses = append(v.uses, Use{n, port})
		sortUses(v)
	}
}

// ReplaceUses redirects every consumer of old, graph outputs and assigns
// included, to v, except the nodes in keep.
func (g *Graph) ReplaceUses(old, v *Value, keep ...*Node) {
	for _, u := range slices.Clone(old.uses) {
		if !slices.Contains(keep, u.Node) {
			g.SetInput(u.Node, u.Port, v)
		}
	}
	for i, o := range g.Outputs {
		if o == old {
			g.Outputs[i] = v
		}
	}
	for i := range g.Assigns {
		if g.Assigns[i].Src == old {
			g.Assigns[i].Src = v
		}
	}
}

// SetData gives a stored value another tensor, which may have another shape; the
// types of results are inferred again by [Graph.Infer].
func (g *Graph) SetData(v *Value, t *tensor.Tensor) {
	if !v.IsStored() {
		panic(fmt.Sprintf("ir: %q stores nothing", v.Name))
	}
	v.Data, v.Type = t, TypeOf(t)
	v.Content = nil
}

// AddInputTo appends v to the inputs of n.
func (g *Graph) AddInputTo(n *Node, v *Value) {
	n.In = append(n.In, nil)
	g.SetInput(n, len(n.In)-1, v)
}

// SetOp gives a node another operator with the same outputs; types are
// inferred again by [Graph.Infer].
func (g *Graph) SetOp(n *Node, op Op) { n.Op = op }

// Prune removes nodes whose results nobody uses and stored values without
// consumers, and returns how many nodes went.
func (g *Graph) Prune() int {
	live := make([]bool, g.nextNod)
	var mark func(v *Value)
	var stack []*Node
	mark = func(v *Value) {
		if v != nil && v.Def != nil && !live[v.Def.ID] {
			live[v.Def.ID] = true
			stack = append(stack, v.Def)
		}
	}
	keep := map[*Value]bool{}
	for _, v := range g.Outputs {
		mark(v)
		keep[v] = true
	}
	for _, a := range g.Assigns {
		mark(a.Src)
		keep[a.Src], keep[a.Dst] = true, true
	}
	for len(stack) > 0 {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for _, v := range n.In {
			mark(v)
		}
	}
	removed := 0
	g.nodes = slices.DeleteFunc(g.nodes, func(n *Node) bool {
		if live[n.ID] {
			return false
		}
		removed++
		for i := range n.In {
			g.SetInput(n, i, nil)
		}
		for _, v := range n.Out {
			if v != nil {
				delete(g.names, v.Name)
			}
		}
		return true
	})
	g.stored = slices.DeleteFunc(g.stored, func(v *Value) bool {
		if len(v.uses) > 0 || keep[v] {
			return false
		}
		delete(g.names, v.Name)
		return true
	})
	return removed
}

type nodeHeap []*Node

func (h nodeHeap) Len() int           { return len(h) }
func (h nodeHeap) Less(i, j int) bool { return h[i].ID < h[j].ID }
func (h nodeHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *nodeHeap) Push(x any)        { *h = append(*h, x.(*Node)) }
func (h *nodeHeap) Pop() any {
	old := *h
	n := old[len(old)-1]
	*h = old[:len(old)-1]
	return n
}

// Sort restores topological order. Among nodes that are ready the one with
// the smallest position before the call goes first, so the order is
// deterministic and changes as little as possible. Node IDs are renumbered to
// the new positions.
func (g *Graph) Sort() error {
	for i, n := range g.nodes {
		n.ID = i
	}
	g.nextNod = len(g.nodes)
	wait := make([]int, len(g.nodes))
	ready := &nodeHeap{}
	for i, n := range g.nodes {
		for _, v := range n.In {
			if v != nil && v.Def != nil {
				wait[i]++
			}
		}
		if wait[i] == 0 {
			heap.Push(ready, n)
		}
	}
	order := make([]*Node, 0, len(g.nodes))
	for ready.Len() > 0 {
		n := heap.Pop(ready).(*Node)
		order = append(order, n)
		for _, v := range n.Out {
			if v == nil {
				continue
			}
			for _, u := range v.uses {
				if wait[u.Node.ID]--; wait[u.Node.ID] == 0 {
					heap.Push(ready, u.Node)
				}
			}
		}
	}
	if len(order) != len(g.nodes) {
		return fmt.Errorf("graph %q has a cycle", g.Name)
	}
	g.nodes = order
	for i, n := range g.nodes {
		n.ID = i
	}
	for _, n := range g.nodes {
		for _, v := range n.In {
			if v != nil {
				sortUses(v)
			}
		}
	}
	return nil
}

func sortUses(v *Value) {
	slices.SortFunc(v.uses, func(a, b Use) int {
		return cmp.Or(cmp.Compare(a.Node.ID, b.Node.ID), cmp.Compare(a.Port, b.Port))
	})
}

// Infer computes the types of all results again, in order, and reports every
// node that no longer fits.
func (g *Graph) Infer() error {
	var errs []error
	for _, n := range g.nodes {
		types, err := inferTypes(n)
		if err != nil {
			errs = append(errs, n.Wrap("infer", err))
			continue
		}
		for i, v := range n.Out {
			if v != nil {
				v.Type = types[i]
			}
		}
		inferContent(n)
	}
	return errors.Join(errs...)
}

// Clone returns a copy whose nodes and values are its own and whose stored
// data are shared.
func (g *Graph) Clone() *Graph {
	c := &Graph{Name: g.Name, Meta: g.Meta, names: make(map[string]*Value, len(g.names)), nextVal: g.nextVal, nextNod: g.nextNod}
	byID := make([]*Value, g.nextVal)
	copyValue := func(v *Value) *Value {
		w := &Value{ID: v.ID, Name: v.Name, Kind: v.Kind, Type: v.Type, Data: v.Data, Content: v.Content, Index: v.Index}
		byID[v.ID] = w
		c.names[w.Name] = w
		return w
	}
	for _, v := range g.Inputs {
		c.Inputs = append(c.Inputs, copyValue(v))
	}
	for _, v := range g.stored {
		c.stored = append(c.stored, copyValue(v))
	}
	for _, n := range g.nodes {
		m := &Node{ID: n.ID, Name: n.Name, Op: n.Op, Rule: n.Rule, In: make([]*Value, len(n.In)), Out: make([]*Value, len(n.Out))}
		for i, v := range n.In {
			if v != nil {
				m.In[i] = byID[v.ID]
				m.In[i].uses = append(m.In[i].uses, Use{m, i})
			}
		}
		for i, v := range n.Out {
			if v != nil {
				m.Out[i] = copyValue(v)
				m.Out[i].Def = m
			}
		}
		c.nodes = append(c.nodes, m)
	}
	for _, v := range g.Outputs {
		c.Outputs = append(c.Outputs, byID[v.ID])
	}
	for _, a := range g.Assigns {
		c.Assigns = append(c.Assigns, Assign{byID[a.Dst.ID], byID[a.Src.ID]})
	}
	return c
}

// Specialize returns a clone in which the inputs have the given shapes, by
// input name; inputs that are not named keep their types, with any symbol that
// the named shapes bind replaced. Stored data are shared. It fails if a shape
// contradicts the declared type or an operator refuses the new types.
func (g *Graph) Specialize(shapes map[string][]int) (*Graph, error) {
	c := g.Clone()
	bind := map[string]int{}
	var errs []error
	for _, v := range c.Inputs {
		s, ok := shapes[v.Name]
		if !ok {
			continue
		}
		if len(s) != v.Type.Rank() {
			errs = append(errs, fmt.Errorf("input %q: got shape %v, want %v", v.Name, s, v.Type))
			continue
		}
		for i, d := range v.Type.Dims {
			switch n, known := d.Known(); {
			case known && n != s[i], s[i] < 0, !known && d.Sym != UnknownSym && s[i]%d.N != 0:
				errs = append(errs, fmt.Errorf("input %q: got shape %v, want %v", v.Name, s, v.Type))
			case !known && d.Sym != UnknownSym:
				if old, ok := bind[d.Sym]; ok && old != s[i]/d.N {
					errs = append(errs, fmt.Errorf("input %q: %s is both %d and %d", v.Name, d.Sym, old, s[i]/d.N))
				}
				bind[d.Sym] = s[i] / d.N
			}
		}
		v.Type = MakeType(v.Type.DType, s...)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for _, v := range c.Inputs {
		dims := slices.Clone(v.Type.Dims)
		for i, d := range dims {
			if n, ok := bind[d.Sym]; ok && d.Sym != "" {
				dims[i] = Len(n * d.N)
			}
		}
		v.Type.Dims = dims
	}
	return c, c.Infer()
}

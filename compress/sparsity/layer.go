package sparsity

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// Layer is a weight that gets a mask.
type Layer struct {
	// Weight is the name of the value that is masked.
	Weight string `json:"weight"`
	// Node is the operator that reads it; the first of several.
	Node string `json:"node"`
	// Consumers are the inputs that read the masked weight instead.
	Consumers []Use `json:"consumers"`
	// OutAxis and InAxis are the weight's output- and input-channel axes.
	OutAxis int `json:"out_axis"`
	InAxis  int `json:"in_axis"`
	// Target is the layer's own level at the end of the schedule, nil for that of
	// all layers.
	Target  *float64 `json:"target,omitempty"`
	Pattern Pattern  `json:"pattern,omitzero"`
}

// Use is input Port of the node whose first result is named Node.
type Use struct {
	Node string `json:"node"`
	Port int    `json:"port"`
}

// weightAxes are the port and axes of a weight.
type weightAxes struct{ port, out, in int }

// weightsOf returns the weights of n, which may be computed from stored values, as
// masks and quantizers do.
func weightsOf(n *ir.Node) (list []weightAxes) {
	for _, p := range ir.AllWeights(n) {
		if p.Weight >= 0 && p.InAxis >= 0 {
			list = append(list, weightAxes{p.Weight, p.OutAxis, p.InAxis})
		}
	}
	if _, ok := n.Op.(op.MatMul); ok && list == nil {
		for port := 1; port >= 0; port-- {
			if r := n.In[port].Type.Rank(); r >= 2 {
				if _, ok := pass.StoredTensor(n.In[port]); ok {
					return []weightAxes{{port, r - 2 + port, r - 1 - port}}
				}
			}
		}
	}
	return list
}

// findLayers lists the weights in scope in the order of their operators. A
// weight that several operators share counts once, and stays dense if one of them
// is out of scope.
func findLayers(g *ir.Graph, scopes compress.Scopes) ([]*Layer, error) {
	if err := scopes.Check(g); err != nil {
		return nil, err
	}
	var list []*Layer
	at := map[*ir.Value]*Layer{}
	dense := map[*ir.Value]bool{}
	for _, n := range g.Nodes() {
		for _, w := range weightsOf(n) {
			v := n.In[w.port]
			if t, ok := pass.StoredTensor(v); !ok || t.DType() != tensor.Float32 || t.Len() == 0 {
				continue
			}
			l := at[v]
			if l == nil {
				l = &Layer{Weight: v.Name, Node: n.Label(), OutAxis: w.out, InAxis: w.in}
				at[v] = l
				list = append(list, l)
			}
			l.Consumers = append(l.Consumers, Use{n.ResultName(), w.port})
			dense[v] = dense[v] || !scopes.Considered(n)
		}
	}
	list = slices.DeleteFunc(list, func(l *Layer) bool { return dense[g.Value(l.Weight)] })
	if len(list) == 0 {
		return nil, errors.New("no weight is in scope: the model has no convolution, matrix product, recurrent cell or embedding that target_scopes and ignored_scopes leave")
	}
	return list, nil
}

// masked is a layer in a graph.
type masked struct {
	*Layer
	node *ir.Node // the mask's; its input 0 is the weight
}

// weight returns the present elements of what is masked.
func (m *masked) weight() *tensor.Tensor {
	t, ok := pass.StoredTensor(m.node.In[0])
	if !ok {
		panic("sparsity: the weight of " + m.Node + " is not stored any more")
	}
	return t
}

// insert puts a node behind the weight and lets the layer's consumers read it.
func (l *Layer) insert(p *rewrite.Patch, build func(w *ir.Value) *ir.Value) (*masked, error) {
	g := p.Graph()
	w := g.Value(l.Weight)
	if w == nil {
		return nil, errors.New("the graph has no such value")
	}
	if t, ok := pass.StoredTensor(w); !ok || t.DType() != tensor.Float32 {
		return nil, errors.New("the value is no stored weight")
	} else if r := t.Rank(); l.OutAxis >= r || l.InAxis >= r || l.OutAxis == l.InAxis {
		return nil, fmt.Errorf("got channel axes %d and %d for %v", l.OutAxis, l.InAxis, t)
	}
	y := build(w)
	if err := p.B.Err(); err != nil {
		return nil, err
	}
	for _, u := range l.Consumers {
		r := g.Value(u.Node)
		if r == nil || r.Def == nil || u.Port < 0 || u.Port >= len(r.Def.In) || r.Def.In[u.Port] != w {
			return nil, fmt.Errorf("the graph has no node with result %q that reads it at input %d", u.Node, u.Port)
		}
		p.SetInput(r.Def, u.Port, y)
	}
	return &masked{l, y.Def}, nil
}

// insertAll inserts the masks of all layers and commits.
func insertAll(g *ir.Graph, rule string, layers []*Layer, t *rewrite.Trace, build func(p *rewrite.Patch, l *Layer, w *ir.Value) *ir.Value) ([]*masked, error) {
	p := rewrite.New(g, rule, t)
	var list []*masked
	var errs []error
	for _, l := range layers {
		m, err := l.insert(p, func(w *ir.Value) *ir.Value { return build(p, l, w) })
		if err != nil {
			errs = append(errs, fmt.Errorf("mask of %q: %w", l.Weight, err))
			continue
		}
		p.Note("%s: the weight of %s gets a mask", l.Weight, l.Node)
		list = append(list, m)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return list, p.Commit()
}

// newMask adds a mask of ones as a state, and the node that applies it. straight
// passes the gradient of what is masked through.
func newMask(straight bool) func(*rewrite.Patch, *Layer, *ir.Value) *ir.Value {
	return func(p *rewrite.Patch, l *Layer, w *ir.Value) *ir.Value {
		g := p.Graph()
		ones := tensor.New(tensor.Uint8, w.Type.MustShape()...)
		for i := range tensor.Data[uint8](ones) {
			tensor.Data[uint8](ones)[i] = 1
		}
		m := g.AddStored(ir.State, g.UniqueName(l.Weight+"/mask"), ones)
		return p.B.Op(op.Mask{Straight: straight}, l.Weight+"/masked", w, m)
	}
}

// bits returns the elements of a mask that [newMask] made.
func (m *masked) bits() []uint8 { return tensor.Data[uint8](m.node.In[1].Data) }

// strip replaces the masks in a clone of the graph by weights with zeros.
func strip(g *ir.Graph, rule string, t *rewrite.Trace, list []*masked) error {
	p := rewrite.New(g, rule, t)
	for _, m := range list {
		y := g.Value(m.node.Out[0].Name)
		if y == nil || y.Def == nil {
			continue // another mask lay on this one and has been written, zeros of both
		}
		sparse, ok := pass.StoredTensor(y)
		if !ok {
			return fmt.Errorf("the weight %q is computed from the model's input", m.Weight)
		}
		w := y.Def.In[0]
		if w.IsStored() && len(w.Uses()) == 1 {
			name, kind := w.Name, w.Kind
			g.Rename(w, g.UniqueName(name+"/dense"))
			w = g.AddStored(kind, name, sparse.Clone())
		} else {
			w = g.AddStored(ir.Constant, g.UniqueName(m.Weight+"/sparse"), sparse.Clone())
		}
		p.Replace(y, w)
		p.Note("%s: zeros are written", m.Weight)
	}
	return p.Commit()
}

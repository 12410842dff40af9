package ir

import (
	"fmt"
	"slices"

	"github.com/go-nncf/nncf/tensor"
)

// NodeError is a problem of one node. Stage is what was being done: infer,
// eval, grad, lower, import.
type NodeError struct {
	Stage string
	Node  string // name, or the name of the first output
	Kind  string
	Err   error
}

func (e *NodeError) Error() string {
	return fmt.Sprintf("%s: node %q (%s): %v", e.Stage, e.Node, e.Kind, e.Err)
}

// Unwrap returns the reason.
func (e *NodeError) Unwrap() error { return e.Err }

// Errorf returns a NodeError for n.
func (n *Node) Errorf(stage, format string, args ...any) error {
	return n.Wrap(stage, fmt.Errorf(format, args...))
}

// Wrap returns err as a NodeError for n.
func (n *Node) Wrap(stage string, err error) error {
	name := n.Name
	if name == "" {
		for _, v := range n.Out {
			if v != nil {
				name = v.Name
				break
			}
		}
	}
	return &NodeError{Stage: stage, Node: name, Kind: n.Op.Kind(), Err: err}
}

// Builder appends nodes to a graph and infers their types. The first error
// sticks: later calls return placeholder values, and Err reports it. So a
// sequence of calls needs one check at its end.
type Builder struct {
	G    *Graph
	Rule string // recorded in every node made
	err  error
}

// NewBuilder returns a builder that appends to g under the given rule.
func NewBuilder(g *Graph, rule string) *Builder { return &Builder{G: g, Rule: rule} }

// Err returns the first error.
func (b *Builder) Err() error { return b.err }

// Fail records an error unless there is one already.
func (b *Builder) Fail(err error) {
	if b.err == nil {
		b.err = err
	}
}

// Op appends a node with one output and returns that value. name is a wish for
// both; the graph makes it unique.
func (b *Builder) Op(op Op, name string, in ...*Value) *Value {
	return b.Multi(op, name, 1, in...)[0]
}

// Multi appends a node with nout outputs, named name, name_1, ….
func (b *Builder) Multi(op Op, name string, nout int, in ...*Value) []*Value {
	if name == "" {
		name = op.Kind()
	}
	n := &Node{Name: name, Op: op, In: slices.Clone(in), Rule: b.Rule}
	out := make([]*Value, nout)
	if b.err == nil {
		types, err := inferTypes(n)
		switch {
		case err != nil:
			b.err = n.Wrap("infer", err)
		case len(types) < nout:
			b.err = n.Errorf("infer", "got %d outputs asked for, want at most %d", nout, len(types))
		default:
			for i := range out {
				out[i] = b.G.newValue(b.G.UniqueName(name), Result, types[i])
				out[i].Def, out[i].Index = n, i
			}
			n.Out = slices.Clone(out) // callers keep what is returned, as outputs of the graph for one
			b.G.append(n)
			inferContent(n)
			return out
		}
	}
	for i := range out { // placeholders, never part of the graph
		out[i] = &Value{ID: -1, Name: name}
	}
	return out
}

// Const adds a constant.
func (b *Builder) Const(name string, t *tensor.Tensor) *Value {
	return b.G.AddStored(Constant, name, t)
}

// ConstInts adds an int64 constant of rank 1.
func (b *Builder) ConstInts(name string, v ...int) *Value {
	d := make([]int64, len(v))
	for i, n := range v {
		d[i] = int64(n)
	}
	return b.Const(name, tensor.From(d, len(d)))
}

// ConstF32 adds a float32 constant of rank 0.
func (b *Builder) ConstF32(name string, v float32) *Value {
	return b.Const(name, tensor.Scalar(v))
}

// AddNode appends a node whose output values get exactly the given names ("" =
// not wanted). It is for importers; type errors are returned, and leave the
// graph unchanged.
func (g *Graph) AddNode(name string, op Op, in []*Value, outNames []string) (*Node, error) {
	n := &Node{Name: name, Op: op, In: slices.Clone(in)}
	types, err := inferTypes(n)
	if err != nil {
		if n.Name == "" && len(outNames) > 0 {
			n.Name = outNames[0]
		}
		return nil, n.Wrap("infer", err)
	}
	if len(outNames) > len(types) {
		return nil, n.Errorf("infer", "got %d outputs, want at most %d", len(outNames), len(types))
	}
	for _, on := range outNames {
		if on != "" && g.names[on] != nil {
			return nil, n.Errorf("infer", "second value named %q", on)
		}
	}
	n.Out = make([]*Value, len(outNames))
	for i, on := range outNames {
		if on == "" {
			continue
		}
		v := g.newValue(on, Result, types[i])
		v.Def, v.Index = n, i
		n.Out[i] = v
	}
	g.append(n)
	inferContent(n)
	return n, nil
}

func (g *Graph) append(n *Node) {
	n.ID = g.nextNod
	g.nextNod++
	g.nodes = append(g.nodes, n)
	for i, v := range n.In {
		if v != nil {
			v.uses = append(v.uses, Use{n, i})
		}
	}
}

// maxContent bounds the integer results that inference follows: shapes have a
// handful of elements.
const maxContent = 64

func inferTypes(n *Node) ([]Type, error) {
	types, err := n.Op.Infer(n.In)
	if err != nil {
		return nil, err
	}
	for i, t := range types {
		for _, d := range t.Dims {
			if d.Sym == "" && d.N < 0 {
				return nil, fmt.Errorf("output %d would have the negative axis length %d", i, d.N)
			}
		}
	}
	return types, nil
}

func inferContent(n *Node) {
	v := n.Output(0)
	if v == nil || !v.Type.DType.IsInteger() || v.Type.Rank() > 1 {
		return
	}
	v.Content = nil
	if e, ok := n.Op.(DimsEvaluator); ok {
		if dims, ok := e.EvalDims(n.In); ok && len(dims) <= maxContent {
			v.Content = dims
		}
	}
}

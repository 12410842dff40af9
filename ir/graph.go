package ir

import (
	"cmp"
	"fmt"
	"iter"
	"strconv"

	"github.com/go-nncf/nncf/tensor"
)

// ValueKind says where a value comes from.
type ValueKind uint8

// The kinds of values. A Constant never changes, a Parameter is trained, a
// State is changed by the graph itself through [Assign] (running statistics).
const (
	Result ValueKind = iota
	Input
	Constant
	Parameter
	State
)

var kindNames = [...]string{"result", "input", "const", "param", "state"}

// String returns the keyword of the kind in printed graphs.
func (k ValueKind) String() string { return kindNames[k] }

// Value is a tensor in the graph: a border of the model, stored data or the
// result of a node.
type Value struct {
	ID   int // dense, stable, unique in the graph
	Name string
	Kind ValueKind
	Type Type

	// Data holds the elements of constants, parameters and states. Clones of a
	// graph share it by pointer.
	Data *tensor.Tensor

	// Content holds the elements of an integer value of rank 0 or 1 as far as
	// type inference knows them; they may be symbolic. Nil if unknown.
	Content []Dim

	Def   *Node // the node that computes a Result
	Index int   // which of Def's outputs this is

	uses []Use
}

// Use is one consumer of a value: input Port of Node.
type Use struct {
	Node *Node
	Port int
}

// Uses returns the consumers in node order; the caller must not change it.
func (v *Value) Uses() []Use { return v.uses }

// IsStored reports whether the value carries data of its own.
func (v *Value) IsStored() bool { return v.Data != nil }

// FromStored reports whether the value depends on stored values only; an omitted
// one does.
func (v *Value) FromStored() bool {
	if v == nil || v.IsStored() {
		return true
	}
	if v.Def == nil {
		return false
	}
	for _, in := range v.Def.In {
		if !in.FromStored() {
			return false
		}
	}
	return true
}

// ConstInts returns the elements of a value that is known before the graph
// runs: stored integer constants, or inferred content without symbols.
func (v *Value) ConstInts() ([]int, bool) {
	if v == nil {
		return nil, false
	}
	if v.Kind == Constant {
		ints, err := v.Data.Ints()
		return ints, err == nil
	}
	if v.Content == nil {
		return nil, false
	}
	out := make([]int, len(v.Content))
	for i, d := range v.Content {
		n, ok := d.Known()
		if !ok {
			return nil, false
		}
		out[i] = n
	}
	return out, true
}

// ConstDims is [Value.ConstInts] that keeps symbols.
func (v *Value) ConstDims() ([]Dim, bool) {
	if v == nil {
		return nil, false
	}
	if v.Content != nil {
		return v.Content, true
	}
	ints, ok := v.ConstInts()
	if !ok {
		return nil, false
	}
	out := make([]Dim, len(ints))
	for i, n := range ints {
		out[i] = Len(n)
	}
	return out, true
}

// Node applies an operator. In may contain nil for an omitted optional input,
// Out may contain nil, or be shorter than the operator's outputs, for results
// that nobody asked for.
type Node struct {
	ID   int // dense, stable, unique in the graph
	Name string
	Op   Op
	In   []*Value
	Out  []*Value

	// Rule names the rewrite that made this node; empty for nodes of the model.
	Rule string
}

// Input returns In[i], or nil if it is omitted.
func (n *Node) Input(i int) *Value {
	if i < len(n.In) {
		return n.In[i]
	}
	return nil
}

// Output returns Out[i], or nil if it is omitted.
func (n *Node) Output(i int) *Value {
	if i < len(n.Out) {
		return n.Out[i]
	}
	return nil
}

// ResultName is the name of the first result that somebody asked for, which no
// other node has; empty if there is none.
func (n *Node) ResultName() string {
	for _, v := range n.Out {
		if v != nil {
			return v.Name
		}
	}
	return ""
}

// Label names the node for people: by its name, else by its first result.
func (n *Node) Label() string { return cmp.Or(n.Name, n.ResultName(), n.Op.Kind()) }

// Assign is a state update at the end of a run: Dst takes the elements of Src.
type Assign struct{ Dst, Src *Value }

// Meta is what a model file says about itself, kept from import to export.
type Meta struct {
	Producer, ProducerVersion, Domain, Doc string
	ModelVersion                           int64
	Opset                                  int               // of the default domain; 0 for graphs built in Go
	Props                                  map[string]string // metadata_props
}

// Graph is a directed acyclic graph of nodes in topological order.
type Graph struct {
	Name    string
	Meta    Meta
	Inputs  []*Value
	Outputs []*Value
	Assigns []Assign

	nodes   []*Node
	stored  []*Value // constants, parameters, states in order of creation
	names   map[string]*Value
	nextVal int
	nextNod int
}

// New returns an empty graph.
func New(name string) *Graph { return &Graph{Name: name, names: map[string]*Value{}} }

// Nodes returns the nodes in topological order; the caller must not change the slice.
func (g *Graph) Nodes() []*Node { return g.nodes }

// Stored returns constants, parameters and states in order of creation; the
// caller must not change the slice.
func (g *Graph) Stored() []*Value { return g.stored }

// Parameters iterates over the trained values in order of creation.
func (g *Graph) Parameters() iter.Seq[*Value] {
	return func(yield func(*Value) bool) {
		for _, v := range g.stored {
			if v.Kind == Parameter && !yield(v) {
				return
			}
		}
	}
}

// Value returns the value with the given name, or nil.
func (g *Graph) Value(name string) *Value { return g.names[name] }

// NumValues returns an exclusive upper bound of all value IDs, for slices indexed by ID.
func (g *Graph) NumValues() int { return g.nextVal }

// UniqueName returns base, or base with the smallest suffix that makes it unused.
func (g *Graph) UniqueName(base string) string {
	if base == "" {
		base = "v"
	}
	name := base
	for i := 1; g.names[name] != nil; i++ {
		name = base + "_" + strconv.Itoa(i)
	}
	return name
}

// AddInput adds a model input. Its name must be unused.
func (g *Graph) AddInput(name string, t Type) *Value {
	v := g.newValue(name, Input, t)
	g.Inputs = append(g.Inputs, v)
	return v
}

// AddStored adds a constant, parameter or state under a name derived from the wish.
func (g *Graph) AddStored(kind ValueKind, name string, t *tensor.Tensor) *Value {
	if kind != Constant && kind != Parameter && kind != State {
		panic("ir: AddStored of kind " + kind.String())
	}
	v := g.newValue(g.UniqueName(name), kind, TypeOf(t))
	v.Data = t
	g.stored = append(g.stored, v)
	return v
}

func (g *Graph) newValue(name string, kind ValueKind, t Type) *Value {
	if g.names[name] != nil {
		panic(fmt.Sprintf("ir: second value named %q", name))
	}
	v := &Value{ID: g.nextVal, Name: name, Kind: kind, Type: t}
	g.nextVal++
	g.names[name] = v
	return v
}

// SetKind turns a stored value into another stored kind, for example a
// constant that is to be trained into a parameter.
func (g *Graph) SetKind(v *Value, kind ValueKind) {
	if !v.IsStored() || kind == Input || kind == Result {
		panic(fmt.Sprintf("ir: kind of %q cannot become %v", v.Name, kind))
	}
	v.Kind = kind
}

// Rename gives a value another name, which must be unused.
func (g *Graph) Rename(v *Value, name string) {
	if g.names[name] != nil {
		panic(fmt.Sprintf("ir: second value named %q", name))
	}
	delete(g.names, v.Name)
	v.Name = name
	g.names[name] = v
}

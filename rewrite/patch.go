package rewrite

import (
	"fmt"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Change is one committed patch.
type Change struct {
	Rule string `json:"rule"`
	What string `json:"what"`
}

// Trace lists committed changes in order. A nil Trace records nothing.
type Trace struct {
	Changes []Change `json:"changes"`
}

func (t *Trace) add(rule, what string) {
	if t != nil {
		t.Changes = append(t.Changes, Change{rule, what})
	}
}

// Patch is an edit of a graph under a rule's name. New nodes go through B;
// redirections take effect at Commit. A patch that is not committed may leave
// unused nodes behind, which the next commit removes.
type Patch struct {
	B     *ir.Builder
	g     *ir.Graph
	rule  string
	trace *Trace
	what  []string
	dirty bool
}

// New starts a patch of g for the named rule.
func New(g *ir.Graph, rule string, t *Trace) *Patch {
	return &Patch{B: ir.NewBuilder(g, rule), g: g, rule: rule, trace: t}
}

// Graph returns the graph being edited.
func (p *Patch) Graph() *ir.Graph { return p.g }

// Note adds a sentence to the trace.
func (p *Patch) Note(format string, args ...any) {
	p.what = append(p.what, fmt.Sprintf(format, args...))
}

// Replace redirects all consumers of old to v, the nodes in keep excepted.
// The name of old moves to v if v was made by a rule and old is a graph output.
func (p *Patch) Replace(old, v *ir.Value, keep ...*ir.Node) {
	if p.B.Err() != nil {
		return
	}
	p.dirty = true
	output := false
	for _, o := range p.g.Outputs {
		output = output || o == old
	}
	p.g.ReplaceUses(old, v, keep...)
	if output && len(keep) == 0 && v.Kind == ir.Result && v.Def.Rule != "" {
		name := old.Name
		p.g.Rename(old, p.g.UniqueName(name+"/replaced"))
		p.g.Rename(v, name)
	}
}

// SetInput makes v input port of n.
func (p *Patch) SetInput(n *ir.Node, port int, v *ir.Value) {
	if p.B.Err() == nil {
		p.dirty = true
		p.g.SetInput(n, port, v)
	}
}

// SetData gives a stored value another tensor, of any shape.
func (p *Patch) SetData(v *ir.Value, t *tensor.Tensor) {
	if p.B.Err() == nil {
		p.dirty = true
		p.g.SetData(v, t)
	}
}

// AddInput appends v to the inputs of n.
func (p *Patch) AddInput(n *ir.Node, v *ir.Value) {
	if p.B.Err() == nil {
		p.dirty = true
		p.g.AddInputTo(n, v)
	}
}

// SetOp gives n another operator with the same ports.
func (p *Patch) SetOp(n *ir.Node, op ir.Op) {
	if p.B.Err() == nil {
		p.dirty = true
		p.g.SetOp(n, op)
	}
}

// InsertAfter puts a one-input operator behind v: all present consumers of v
// read the new value. more are further inputs of the new node.
func (p *Patch) InsertAfter(v *ir.Value, op ir.Op, name string, more ...*ir.Value) *ir.Value {
	w := p.B.Op(op, name, append([]*ir.Value{v}, more...)...)
	if p.B.Err() == nil {
		p.Replace(v, w, w.Def)
	}
	return w
}

// Commit restores topological order, removes what became unused, infers types
// again and records the change. With the build tag invariants it also verifies
// the whole graph.
func (p *Patch) Commit() error {
	if err := p.B.Err(); err != nil {
		return fmt.Errorf("rule %s: %w", p.rule, err)
	}
	if p.dirty {
		if err := p.g.Sort(); err != nil {
			return fmt.Errorf("rule %s: %w", p.rule, err)
		}
		p.g.Prune()
		if err := p.g.Infer(); err != nil {
			return fmt.Errorf("rule %s: %w", p.rule, err)
		}
	}
	if invariants {
		if err := ir.Verify(p.g); err != nil {
			panic(fmt.Sprintf("rewrite: rule %s broke the graph: %v", p.rule, err))
		}
	}
	for _, w := range p.what {
		p.trace.add(p.rule, w)
	}
	return nil
}

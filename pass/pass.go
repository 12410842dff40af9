package pass

import (
	"fmt"
	"slices"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/rewrite"
)

// Pass is a transformation of a whole graph, in place.
type Pass struct {
	Name string
	Doc  string // one sentence: what becomes what, and why
	Run  func(g *ir.Graph, t *rewrite.Trace) error

	// Rules are the local patterns that Run applies, if it is made of some.
	Rules []rewrite.Rule
}

// Order says that the pass First runs before the pass Then, and why.
type Order struct{ First, Then, Reason string }

// run applies passes in order and names the one that fails.
func run(g *ir.Graph, t *rewrite.Trace, list []Pass) error {
	for _, p := range list {
		if err := p.Run(g, t); err != nil {
			return fmt.Errorf("pass %s: %w", p.Name, err)
		}
	}
	return nil
}

// rulePass is a pass that applies rules until none fires.
func rulePass(name, doc string, rules ...rewrite.Rule) Pass {
	return Pass{Name: name, Doc: doc, Rules: rules, Run: func(g *ir.Graph, t *rewrite.Trace) error {
		return rewrite.Run(g, t, rules...)
	}}
}

// take makes v, which the patch made, stand for old: it gets old's consumers
// and its name.
func take(p *rewrite.Patch, old, v *ir.Value) {
	if p.B.Err() != nil {
		return
	}
	name := old.Name
	p.Replace(old, v)
	giveName(p.Graph(), name, old, v)
	p.Note("%s", name)
}

// giveName moves old's name to v.
func giveName(g *ir.Graph, name string, old, v *ir.Value) {
	if v.Name == name {
		return
	}
	g.Rename(old, g.UniqueName(name+"/replaced"))
	g.Rename(v, name)
}

// bypass makes all consumers of old read v, which existed before. If old is an
// output of the graph, v gets its name; bypass refuses if v has a name that must
// stay too.
func bypass(p *rewrite.Patch, old, v *ir.Value) bool {
	g := p.Graph()
	if !isOutput(g, old) {
		p.Replace(old, v)
		p.Note("%s is %s", old.Name, v.Name)
		return true
	}
	if v.Kind != ir.Result || isOutput(g, v) {
		return false
	}
	name, was := old.Name, v.Name
	p.Replace(old, v)
	giveName(g, name, old, v)
	p.Note("%s is %s, which takes its name", name, was)
	return true
}

func isOutput(g *ir.Graph, v *ir.Value) bool {
	return slices.Contains(g.Outputs, v)
}

// onlyUse returns the one consumer of v; ok is false if there are several, or
// the graph itself needs v.
func onlyUse(g *ir.Graph, v *ir.Value) (u ir.Use, ok bool) {
	if len(v.Uses()) != 1 || isOutput(g, v) {
		return u, false
	}
	for _, a := range g.Assigns {
		if a.Src == v {
			return u, false
		}
	}
	return v.Uses()[0], true
}

// isConst reports whether v is a constant of the graph.
func isConst(v *ir.Value) bool { return v != nil && v.Kind == ir.Constant }

// producer returns the node that computes v if its operator is an O.
func producer[O ir.Op](v *ir.Value) (n *ir.Node, o O, ok bool) {
	if v == nil || v.Def == nil {
		return nil, o, false
	}
	o, ok = v.Def.Op.(O)
	return v.Def, o, ok
}

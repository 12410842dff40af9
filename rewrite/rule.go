package rewrite

import (
	"fmt"
	"slices"

	"github.com/go-nncf/nncf/ir"
)

// Rule is a local transformation. Match looks at one node and, if the rule
// applies, edits through p and reports true; otherwise it must leave p alone.
type Rule struct {
	Name string
	Doc  string // one sentence: what becomes what, and why
	// Match decides from the node, its inputs and their consumers.
	Match func(p *Patch, n *ir.Node) bool
}

// maxRounds bounds the fixed point: rules that keep firing are a defect.
const maxRounds = 100

// Run applies the rules to every node in order, again and again until none
// fires. The patches of one round over the nodes are committed one by one.
func Run(g *ir.Graph, t *Trace, rules ...Rule) error {
	for round := 0; ; round++ {
		if round == maxRounds {
			return fmt.Errorf("rewrite: rules still fire after %d rounds", maxRounds)
		}
		fired := false
		for _, r := range rules {
			p := New(g, r.Name, t)
			hit := false
			for _, n := range append([]*ir.Node(nil), g.Nodes()...) {
				if !alive(g, n) {
					continue
				}
				if r.Match(p, n) {
					hit = true
				}
			}
			if hit {
				fired = true
				if err := p.Commit(); err != nil {
					return err
				}
			}
		}
		if !fired {
			return nil
		}
	}
}

// alive reports whether anything still reads a result of n. Within one sweep a
// node may have been replaced by an earlier match.
func alive(g *ir.Graph, n *ir.Node) bool {
	for _, v := range n.Out {
		if v == nil {
			continue
		}
		if len(v.Uses()) > 0 || slices.Contains(g.Outputs, v) {
			return true
		}
		for _, a := range g.Assigns {
			if a.Src == v {
				return true
			}
		}
	}
	return false
}

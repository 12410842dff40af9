package native

import (
	"cmp"
	"slices"
	"strings"

	"github.com/go-nncf/nncf/autodiff"
	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/engine/plan"
	"github.com/go-nncf/nncf/ir"
)

// info describes the step. counted holds the nodes whose multiplications
// belong to an earlier step.
func (s *step) info(counted map[*ir.Node]bool) engine.Step {
	e := engine.Step{Kind: s.kernel, Kernel: s.kernel, Fused: s.fused, Fusions: s.notes, Bytes: s.bytes}
	n := s.node
	if n == nil {
		return e
	}
	e.Node, e.Kind, e.Rule = n.Name, n.Op.Kind(), n.Rule
	e.Layer, e.Pass = layerOf(n)
	if s.kernel == updateKernel {
		e.Kind, e.Pass = updateKernel, ""
		return e
	}
	if s.also != nil {
		e.Fused = append(e.Fused, n.Op.Kind(), s.also.Op.Kind())
	}
	if k, ok := n.Op.(ir.Costed); ok && s.kernel != packKernel && !counted[n] {
		e.MACs = k.Cost(n).MACs
		counted[n] = true
	}
	return e
}

// layerOf returns the node of the model that n serves: gradients are named
// after the node that they are of.
func layerOf(n *ir.Node) (layer, pass string) {
	layer, pass = n.Name, "forward"
	if layer == "" && len(n.Out) > 0 && n.Out[0] != nil {
		layer = n.Out[0].Name
	}
	switch n.Rule {
	case autodiff.Rule:
		pass = "backward"
		layer, _, _ = strings.Cut(layer, "/grad")
	case recomputeRule:
		pass = "again"
		layer, _, _ = strings.Cut(layer, "/again")
	}
	return layer, pass
}

// spans returns the map of the arena; at translates step numbers of the
// buffers to those of the program.
func (c *compiler) spans(used []*plan.Buffer, at []int) []engine.Span {
	var all []engine.Span
	for _, b := range used {
		sp := engine.Span{Offset: int64(b.Offset), Bytes: int64(b.Size), First: at[b.First], Last: at[b.Last]}
		for _, s := range c.byBuffer[b] {
			if s.value != nil && !slices.Contains(sp.Values, s.value.Name) {
				sp.Values = append(sp.Values, s.value.Name)
			}
		}
		all = append(all, sp)
	}
	slices.SortStableFunc(all, func(a, b engine.Span) int {
		return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.First, b.First))
	})
	return all
}

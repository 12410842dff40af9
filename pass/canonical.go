package pass

import (
	"fmt"
	"slices"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// Canonicalize brings a graph as exporters write it to the form that the
// algorithms and engines expect: shapes are constants, what does nothing is
// gone, biases and paddings are part of their layers, and every layer has
// tensors of its own. It runs [CanonicalPasses] in order; running it again
// changes nothing.
//
// Sums of biases aside it is exact. Training-mode nodes stay as they are; see
// [InferenceMode].
func Canonicalize(g *ir.Graph, t *rewrite.Trace) error { return run(g, t, CanonicalPasses()) }

// CanonicalPasses returns the passes of [Canonicalize] in their order.
func CanonicalPasses() []Pass {
	return []Pass{
		{Name: "prune", Doc: "nodes and constants that no output needs go, so that no rule works on them", Run: prune},
		{Name: "fold", Doc: "what is known before the graph runs becomes a constant: constant subgraphs and shape arithmetic", Run: fold, Rules: foldRules(0)},
		rulePass("remove", "nodes that do nothing go", removeRules...),
		rulePass("expand", "operators that hide others are spelled out", expandRules...),
		rulePass("merge", "chains of operators that only move values become one", mergeRules...),
		rulePass("fuse", "layers that exporters take apart become one node again", slices.Concat(fuseRules, activationRules, normRules)...),
		{Name: "unshare", Doc: "tensors that an exporter shared because they were equal become one for each layer", Run: unshare},
	}
}

// CanonicalOrder returns the reasons for the order of [CanonicalPasses].
func CanonicalOrder() []Order {
	return []Order{
		{"prune", "fold", "a value with a dead second consumer looks shared"},
		{"fold", "remove", "whether a Reshape, Pad, Slice or Expand does nothing shows when its arguments are constants"},
		{"fold", "fuse", "pads, bounds and biases are read as constants"},
		{"fold", "expand", "head counts and lengths are read as constants"},
		{"expand", "merge", "Transposes around what is spelled out may meet others"},
		{"remove", "merge", "an Identity or Dropout between two Reshapes hides their chain"},
		{"remove", "fuse", "an Identity or Dropout between a layer and its bias hides the pattern"},
		{"fuse", "unshare", "a bias that is merged into a layer is a new tensor; a copy made before would be thrown away"},
		{"fold", "unshare", "an Identity of a stored tensor is a tensor of its own, with the name that the exporter knew"},
	}
}

// Specialize is [ir.Graph.Specialize] with a shape for each input, in their order, and
// folds what is known then: shapes that depended on the batch.
func Specialize(g *ir.Graph, shapes []tensor.Shape) (*ir.Graph, error) {
	if len(shapes) != len(g.Inputs) {
		return nil, fmt.Errorf("got the shapes of %d inputs, the model has %d", len(shapes), len(g.Inputs))
	}
	byName := map[string][]int{}
	for i, v := range g.Inputs {
		byName[v.Name] = shapes[i]
	}
	s, err := g.Specialize(byName)
	if err != nil {
		return nil, err
	}
	return s, fold(s, nil)
}

func prune(g *ir.Graph, t *rewrite.Trace) error {
	p := rewrite.New(g, "prune", t)
	if n := g.Prune(); n > 0 {
		p.Note("%d nodes", n)
	}
	if err := g.Sort(); err != nil {
		return err
	}
	return p.Commit()
}

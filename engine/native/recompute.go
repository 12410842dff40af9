package native

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/go-nncf/nncf/autodiff"
	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/engine/plan"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
)

// recomputeRule is the rule of nodes that compute again, for the backward pass,
// what the forward pass did not keep (Chen et al., Training Deep Nets with
// Sublinear Memory Cost, 2016).
const recomputeRule = "recompute"

// fit returns g, or a copy of it that computes parts of the forward pass again
// so that the arena has at most the given number of bytes. Of the plans that
// fit it takes one with few multiplications more: single segments of the network
// are computed again, the most bytes for a multiplication first; if all of them
// are not enough, longer segments, of which fewer borders are kept.
//
// The decisions are those of the plan of g itself, to be followed.
func fit(ctx context.Context, g *ir.Graph, workers int, limit int64, updates *engine.Updates) (*ir.Graph, *decisions, error) {
	size, follow, err := arenaSize(ctx, g, workers, nil, updates)
	if err != nil || size <= limit {
		return g, follow, err
	}
	least := size
	for group := 1; ; group += max(1, group/2) {
		segs, more := segments(g, group)
		if !more {
			break
		}
		try := func(n int) (*ir.Graph, bool, error) {
			h, err := recompute(g, segs, n)
			if err != nil {
				return nil, false, err
			}
			size, _, err := arenaSize(ctx, h, workers, follow, updates)
			least = min(least, size)
			return h, size <= limit, err
		}
		best, ok, err := try(len(segs))
		if err != nil {
			return nil, nil, err
		}
		if !ok {
			continue
		}
		for lo, hi := 0, len(segs); hi-lo > 1; { // lo segments do not fit, hi do
			mid := (lo + hi) / 2
			h, ok, err := try(mid)
			switch {
			case err != nil:
				return nil, nil, err
			case ok:
				best, hi = h, mid
			default:
				lo = mid
			}
		}
		return best, follow, nil
	}
	return nil, nil, fmt.Errorf("got a limit of %d bytes for the values of a step, want %d or more with all that may be computed again (%d without): raise --max-memory or use smaller batches",
		limit, least, size)
}

// arenaSize plans g, without running it, and returns what was decided.
func arenaSize(ctx context.Context, g *ir.Graph, workers int, follow *decisions, updates *engine.Updates) (int64, *decisions, error) {
	c := newCompiler(g, workers)
	c.follow, c.updates = follow, updates
	if err := c.lowerAll(ctx); err != nil {
		return 0, nil, err
	}
	return int64(plan.Assign(c.live())), c.decided(), nil
}

// segment is a part of the forward pass between two places that few values
// cross, and what the backward pass reads of it.
type segment struct {
	nodes []*ir.Node
	keep  map[*ir.Value]bool // made here and kept: it crosses the end
	bytes int64              // that need not be kept if the segment is computed again
	macs  int64              // to do so
}

// segments cuts the forward pass and returns the parts that can be computed
// again, the most worthwhile first; group parts in a row count as one. The last
// part is left out: the backward pass begins with it. more is false if group is
// so large that no cut is left.
func segments(g *ir.Graph, group int) (segs []segment, more bool) {
	f := newForward(g)
	var cuts []int
	for level := 1; level <= mostCrossing && len(cuts) < fewCuts; level++ {
		cuts = cuts[:0]
		from := 0
		for i, n := range f.crossing {
			if n > 0 && n <= level && f.segment(from, i+1).bytes > 0 {
				cuts = append(cuts, i+1)
				from = i + 1
			}
		}
	}
	from := 0
	for i := group - 1; i < len(cuts); i += group {
		more = true
		if s := f.segment(from, cuts[i]); s.bytes > 0 {
			segs = append(segs, s)
		}
		from = cuts[i]
	}
	slices.SortStableFunc(segs, func(a, b segment) int {
		// bytes a multiplication, without division; one more for those without any
		return cmp.Compare(float64(b.bytes)*float64(a.macs+1), float64(a.bytes)*float64(b.macs+1))
	})
	return segs, more
}

const (
	// mostCrossing values may cross a cut: one in a plain or residual network,
	// more where skip connections pass by. If there are fewer than fewCuts
	// places with less, those with more are taken.
	mostCrossing = 8
	fewCuts      = 4
	// A value below one part in smallPart of the largest does not count.
	smallPart = 64
)

// forward is the forward pass of a joint graph.
type forward struct {
	nodes    []*ir.Node
	last     map[*ir.Value]int  // the last node that reads a value that depends on an input
	border   map[*ir.Value]bool // leaves the graph
	crossing []int              // large values made up to a node and read behind it
}

func newForward(g *ir.Graph) *forward {
	f := &forward{last: map[*ir.Value]int{}, border: map[*ir.Value]bool{}}
	for _, n := range g.Nodes() {
		if n.Rule != autodiff.Rule {
			f.nodes = append(f.nodes, n)
		}
	}
	for _, v := range g.Outputs {
		f.border[v] = true
	}
	for _, a := range g.Assigns {
		f.border[a.Src] = true
	}
	moving := map[*ir.Value]bool{}
	for _, v := range g.Inputs {
		moving[v] = true
	}
	large := int64(0)
	for i, n := range f.nodes {
		depends := slices.ContainsFunc(n.In, func(v *ir.Value) bool { return v != nil && moving[v] })
		for _, v := range n.In {
			if v != nil && moving[v] && v.Def != nil {
				f.last[v] = i
			}
		}
		for _, v := range n.Out {
			if v != nil && depends {
				moving[v] = true
				f.last[v] = i
				large = max(large, valueBytes(v))
			}
		}
	}
	f.crossing = make([]int, len(f.nodes))
	crossing := 0
	ends := make([]int, len(f.nodes))
	for i, n := range f.nodes {
		for _, v := range n.Out {
			if end, ok := f.last[v]; v != nil && ok && end > i && valueBytes(v) >= large/smallPart {
				crossing++
				ends[end]++
			}
		}
		crossing -= ends[i]
		f.crossing[i] = crossing
	}
	return f
}

// segment returns the nodes from … to-1 as a segment.
func (f *forward) segment(from, to int) segment {
	s := segment{nodes: f.nodes[from:to], keep: map[*ir.Value]bool{}}
	for _, n := range s.nodes {
		for k, v := range n.Out {
			if v != nil && (f.border[v] || f.last[v] >= to || k > 0 && isTrainingNorm(n)) {
				s.keep[v] = true
			}
		}
	}
	need := s.needed()
	for _, n := range s.nodes {
		if !need[n] {
			continue
		}
		if k, ok := n.Op.(ir.Costed); ok {
			s.macs += k.Cost(n).MACs
		}
		for _, v := range n.Out {
			if v != nil && !s.keep[v] && readBackward(v) {
				s.bytes += valueBytes(v)
			}
		}
	}
	return s
}

func valueBytes(v *ir.Value) int64 {
	return int64(v.Type.MustShape().Numel() * elemSize(v.Type.DType))
}

// isTrainingNorm reports whether the outputs of n but the first are statistics.
func isTrainingNorm(n *ir.Node) bool {
	bn, ok := n.Op.(op.BatchNormalization)
	return ok && bn.Training
}

func readBackward(v *ir.Value) bool {
	return slices.ContainsFunc(v.Uses(), func(u ir.Use) bool { return u.Node.Rule == autodiff.Rule })
}

// needed returns the nodes that must run again for what the backward pass reads.
func (s *segment) needed() map[*ir.Node]bool {
	need := map[*ir.Node]bool{}
	for _, n := range slices.Backward(s.nodes) {
		for _, v := range n.Out {
			if v == nil || s.keep[v] {
				continue
			}
			if readBackward(v) || slices.ContainsFunc(v.Uses(), func(u ir.Use) bool { return need[u.Node] }) {
				need[n] = true
			}
		}
	}
	return need
}

// recompute returns a copy of g in which the backward pass reads copies of the
// values of the first n segments.
func recompute(g *ir.Graph, segs []segment, n int) (*ir.Graph, error) {
	h := g.Clone()
	node := map[string]*ir.Node{} // by an output: clones keep the names of values
	for _, m := range h.Nodes() {
		for _, v := range m.Out {
			if v != nil {
				node[v.Name] = m
			}
		}
	}
	find := func(m *ir.Node) *ir.Node {
		for _, v := range m.Out {
			if v != nil {
				return node[v.Name]
			}
		}
		return nil
	}
	// Nodes are scheduled where they are needed, and of several that are ready
	// those made first: segments near the loss come first.
	chosen := slices.Clone(segs[:n])
	slices.SortFunc(chosen, func(a, b segment) int { return b.nodes[0].ID - a.nodes[0].ID })
	p := rewrite.New(h, recomputeRule, nil)
	for _, s := range chosen {
		copies := map[*ir.Value]*ir.Value{}
		need := s.needed()
		for _, m := range s.nodes {
			if !need[m] {
				continue
			}
			m = find(m)
			in := slices.Clone(m.In)
			for i, v := range in {
				if c := copies[v]; v != nil && c != nil {
					in[i] = c
				}
			}
			name := m.Name + "/again"
			if isTrainingNorm(m) {
				if m.Output(3) == nil || m.Output(4) == nil {
					return nil, m.Errorf(recomputeRule, "the statistics of the batch are not kept")
				}
				copies[m.Out[0]] = p.B.Op(batchNormAgain{}, name, in[0], in[1], in[2], m.Out[3], m.Out[4])
				continue
			}
			out := p.B.Multi(m.Op, name, len(m.Out), in...)
			for i, v := range m.Out {
				if v != nil && !s.keep[g.Value(v.Name)] {
					copies[v] = out[i]
				}
			}
		}
		for _, m := range s.nodes {
			for _, v := range find(m).Out {
				if v == nil || copies[v] == nil {
					continue
				}
				for _, u := range slices.Clone(v.Uses()) {
					if u.Node.Rule == autodiff.Rule {
						p.SetInput(u.Node, u.Port, copies[v])
					}
				}
			}
		}
	}
	return h, p.Commit()
}

// batchNormAgain is batch normalization with the batch's statistics known:
//
//	in  0 x [N, C, …]   1 scale [C]   2 bias [C]   3 batch mean [C]   4 1/√(batch variance + ε) [C]
//	out 0 y, bit for bit that of the node that computed the statistics
type batchNormAgain struct{}

func (batchNormAgain) Kind() string { return "BatchNormAgain" }

func (batchNormAgain) Infer(in []*ir.Value) ([]ir.Type, error) {
	if len(in) != 5 {
		return nil, fmt.Errorf("got %d inputs, want 5", len(in))
	}
	return []ir.Type{in[0].Type}, nil
}

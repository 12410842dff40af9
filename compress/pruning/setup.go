package pruning

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-nncf/nncf/channel"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// Algorithm is filter pruning with its options.
type Algorithm struct{ Options Options }

var _ compress.Algorithm = Algorithm{}

// New returns the algorithm with the given options.
func New(o Options) compress.Algorithm { return Algorithm{o} }

// Name implements [compress.Algorithm].
func (Algorithm) Name() string { return Name }

// Priority implements [compress.Algorithm]: other algorithms see weights that
// are pruned.
func (Algorithm) Priority() compress.Priority { return compress.PriorityPruning }

// Setup is which filters may go, in clusters, and which may not, and why. It is
// plain data, which marshals to JSON and back.
type Setup struct {
	Options  Options    `json:"options"`
	Clusters []*Cluster `json:"clusters"`
	Kept     []Kept     `json:"kept,omitempty"`
	// Coefficients of learned ranking, per cluster, once they are known.
	Coefficients []Coefficient `json:"coefficients,omitempty"`
}

var _ compress.Setup = (*Setup)(nil)

// Cluster is filters that go together: channel i is the i-th filter of every
// member.
type Cluster struct {
	ID       int      `json:"id"`
	Channels int      `json:"channels"`
	Members  []Member `json:"members"`
	Rule     string   `json:"rule"`
}

// Member is a weight of which a cluster has filters.
type Member struct {
	Weight string `json:"weight"`
	Axis   int    `json:"axis"` // of its filters
	Node   string `json:"node"`
	// Entries are the filters, Width for each channel, if they are not all of
	// them in order.
	Entries []int `json:"entries,omitempty"`
	Width   int   `json:"width"`
}

// Kept is filters that are not pruned.
type Kept struct {
	Weights []string `json:"weights"`
	Filters int      `json:"filters"`
	Why     string   `json:"why"`
}

// Algorithm implements [compress.Setup].
func (*Setup) Algorithm() string { return Name }

// Restore decodes a setup that was marshalled.
func Restore(raw json.RawMessage) (compress.Setup, error) {
	s := &Setup{}
	if err := json.Unmarshal(raw, s); err != nil {
		return nil, fmt.Errorf("pruning setup: %w", err)
	}
	if err := s.Options.Validate(); err != nil {
		return nil, fmt.Errorf("pruning setup: %w", err)
	}
	for i, c := range s.Clusters {
		if c == nil || len(c.Members) == 0 {
			return nil, fmt.Errorf("pruning setup: cluster %d has no members", i)
		}
	}
	if n := len(s.Coefficients); n > 0 && n != len(s.Clusters) {
		return nil, fmt.Errorf("pruning setup: got ranking coefficients of %d clusters, want %d", n, len(s.Clusters))
	}
	return s, nil
}

// Setup implements [compress.Algorithm]; the result is a *Setup. The graph must
// be canonical (see package pass).
func (a Algorithm) Setup(g *ir.Graph) (compress.Setup, error) {
	if err := errors.Join(a.Options.Validate(), a.Options.checkScopes(g)); err != nil {
		return nil, err
	}
	s := &Setup{Options: a.Options}
	layers := findLayers(g)
	for _, grp := range channel.Analyze(g).Groups {
		filters := grp.Filters()
		if why := a.excluded(grp, filters, layers); why != "" {
			k := Kept{Filters: grp.Channels * filters[0].Width, Why: why}
			for _, f := range filters {
				k.Weights = append(k.Weights, f.Value.Name)
			}
			s.Kept = append(s.Kept, k)
			continue
		}
		s.Clusters = append(s.Clusters, newCluster(len(s.Clusters), grp.Channels, filters))
	}
	if len(s.Clusters) == 0 {
		return nil, errors.New(s.nothing())
	}
	return s, s.coefficients()
}

// nothing says why there are no clusters.
func (s *Setup) nothing() string {
	var b strings.Builder
	b.WriteString("no filters can be pruned")
	if len(s.Kept) == 0 {
		b.WriteString(": the model has no convolutions or linear layers with weights of its own in float32")
	}
	for i, k := range s.Kept {
		if i == 5 {
			fmt.Fprintf(&b, "\nand %d more", len(s.Kept)-i)
			break
		}
		fmt.Fprintf(&b, "\n%s: %s", k.Weights[0], k.Why)
	}
	return b.String()
}

func newCluster(id, channels int, filters []channel.Span) *Cluster {
	c := &Cluster{ID: id, Channels: channels}
	var names []string
	for _, f := range filters {
		m := Member{Weight: f.Value.Name, Axis: f.Axis, Width: f.Width}
		if n := layer(f); n != nil {
			m.Node = n.Label()
			names = append(names, m.Node)
		}
		if !inOrder(f) {
			m.Entries = f.Entries
		}
		c.Members = append(c.Members, m)
	}
	c.Rule = "filters of " + strings.Join(names, ", ")
	if len(names) > 1 {
		c.Rule += ", which meet and go together"
	}
	return c
}

// inOrder reports whether a span is all filters of its axis, in order.
func inOrder(f channel.Span) bool {
	for i, e := range f.Entries {
		if i != e {
			return false
		}
	}
	n, _ := f.Value.Type.Dims[f.Axis].Known()
	return len(f.Entries) == n
}

// layer is the first node that has the span's filters.
func layer(f channel.Span) *ir.Node {
	for _, u := range f.Value.Uses() {
		if w, ok := u.Node.Op.(ir.Weighted); ok && w.Weights(u.Node).Weight == u.Port {
			return u.Node
		}
	}
	return nil
}

// excluded says why a group is not pruned, or nothing.
func (a Algorithm) excluded(grp *channel.Group, filters []channel.Span, l layers) string {
	p := a.Options.Params
	if len(grp.Fixed) > 0 {
		return strings.Join(grp.Fixed, "; ")
	}
	if grp.Channels < 2 {
		return "it has a single channel"
	}
	for _, f := range filters {
		if f.Value.Type.DType != tensor.Float32 {
			return fmt.Sprintf("weight %q is %v, not float32", f.Value.Name, f.Value.Type.DType)
		}
		for _, u := range f.Value.Uses() {
			n := u.Node
			name := n.Label()
			switch {
			case !a.Options.Considered(n):
				return name + " is in an ignored scope, or not in a target scope"
			case l.first[n] && !p.first():
				return name + " is a first layer, and prune_first_conv is false"
			case l.last[n] && !p.PruneLast:
				return name + " is a last layer"
			case downsamples(n) && !p.downsample():
				return name + " has a stride, and prune_downsample_convs is false"
			}
		}
	}
	for _, s := range grp.Spans {
		if s.Value.IsStored() && s.Value.Type.DType != tensor.Float32 {
			return fmt.Sprintf("%q belongs to it and is %v", s.Value.Name, s.Value.Type.DType)
		}
	}
	return ""
}

// layers are the first and the last layers of a graph.
type layers struct{ first, last map[*ir.Node]bool }

// findLayers: a first layer is reached from an input, a last one reaches an
// output, with no other layer between.
func findLayers(g *ir.Graph) layers {
	nodes := g.Nodes()
	l := layers{map[*ir.Node]bool{}, map[*ir.Node]bool{}}
	fresh := map[*ir.Value]bool{}
	for _, v := range g.Inputs {
		fresh[v] = true
	}
	for _, n := range nodes {
		reached := false
		for _, v := range n.In {
			reached = reached || v != nil && fresh[v]
		}
		if !reached || op.ReadsShape(n) {
			continue
		}
		if isLayer(n) {
			l.first[n] = true
			continue
		}
		for _, v := range n.Out {
			if v != nil {
				fresh[v] = true
			}
		}
	}
	open := map[*ir.Value]bool{}
	for _, v := range g.Outputs {
		open[v] = true
	}
	for i := len(nodes) - 1; i >= 0; i-- {
		reached := false
		for _, v := range nodes[i].Out {
			reached = reached || v != nil && open[v]
		}
		if !reached || op.ReadsShape(nodes[i]) {
			continue
		}
		if isLayer(nodes[i]) {
			l.last[nodes[i]] = true
			continue
		}
		for _, v := range nodes[i].In {
			if v != nil {
				open[v] = true
			}
		}
	}
	return l
}

// isLayer reports whether a node is a convolution or a product with a stored
// weight.
func isLayer(n *ir.Node) bool {
	w, ok := n.Op.(ir.Weighted)
	if !ok {
		return false
	}
	p := w.Weights(n)
	return p.Weight >= 0 && p.InAxis >= 0 && p.OutAxis >= 0 && n.Op.Kind() != "Gather"
}

// downsamples reports whether a convolution has a stride.
func downsamples(n *ir.Node) bool {
	c, ok := n.Op.(op.Conv)
	return ok && slices.ContainsFunc(c.Strides, func(s int) bool { return s != 1 })
}

package pruning

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-nncf/nncf/channel"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/schedule"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// Controller is the handle to the pruned channels of a graph.
type Controller struct {
	setup *Setup
	g     *ir.Graph
	plain *ir.Graph // g without what later algorithms put in, with the same tensors
	costs *costs

	clusters []*pruned
	dense    *dense // nil unless the options ask for it
	state    state
	err      error // of a mask that could not be chosen
}

var (
	_ compress.Leveled      = (*Controller)(nil)
	_ compress.AfterStepper = (*Controller)(nil)
	_ compress.Remover      = (*Controller)(nil)
	_ compress.Cutter       = (*Controller)(nil)
)

// pruned is a cluster in a graph.
type pruned struct {
	*Cluster
	group   *channel.Group
	members []channel.Span // the filters
	gone    []bool
	zero    []channel.Span // slices of parameters that are zero where channels are gone
}

// state is what parameters and setup do not hold.
type state struct {
	Clock       schedule.Clock `json:"clock"`
	Initialized bool           `json:"initialized"`
	Level       float64        `json:"level"`
	Frozen      bool           `json:"frozen"`
	// Shrunk: the pruned channels are cut out of the graph under training.
	Shrunk bool `json:"shrunk"`
	// Pruned lists the pruned channels of every cluster.
	Pruned [][]int `json:"pruned"`
	// Coefficients of learned ranking.
	Coefficients []Coefficient `json:"coefficients,omitempty"`
	// Dense are the weights under masks, if they are kept.
	Dense []byte `json:"dense,omitempty"`
}

// Apply implements [compress.Setup]. It changes nothing: masks are zeros in the
// parameters.
func (s *Setup) Apply(g *ir.Graph, t *rewrite.Trace) (compress.Controller, error) {
	c := &Controller{setup: s, g: g, plain: g.Clone()}
	c.state.Coefficients = s.Coefficients
	groups := channel.Analyze(c.plain).Groups
	find := func(k *Cluster) *channel.Group {
		m := k.Members[0]
		for _, grp := range groups {
			for _, sp := range grp.Spans {
				if sp.Value.Name == m.Weight && sp.Axis == m.Axis && grp.Channels == k.Channels && (m.Entries == nil || slices.Equal(m.Entries, sp.Entries)) {
					return grp
				}
			}
		}
		return nil
	}
	var used []*channel.Group
	p := rewrite.New(g, Name, t)
	for _, k := range s.Clusters {
		grp := find(k)
		if grp == nil {
			return nil, fmt.Errorf("cluster %d: the graph has no such filters of %q", k.ID, k.Members[0].Weight)
		}
		used = append(used, grp)
		c.clusters = append(c.clusters, &pruned{Cluster: k, group: grp, members: grp.Filters(), gone: make([]bool, k.Channels), zero: zeros(grp)})
		p.Note("cluster %d: %d channels: %s", k.ID, k.Channels, k.Rule)
	}
	if s.Options.Params.KeepWeights {
		c.dense = newDense(c.clusters)
	}
	var err error
	if c.costs, err = newCosts(c.plain, used); err != nil {
		return nil, err
	}
	return c, p.Commit()
}

// zeros lists the parameters that are zero where channels are pruned: what reads
// them, which makes removal exact, and what computes them, if a zero there only
// makes the channel zero.
func zeros(grp *channel.Group) []channel.Span {
	var out []channel.Span
	for _, s := range grp.Spans {
		v := s.Value
		if v.Kind != ir.Parameter && !(v.Kind == ir.Constant && s.Reads()) || v.Type.DType != tensor.Float32 {
			continue
		}
		if !slices.ContainsFunc(v.Uses(), func(u ir.Use) bool { return !zeroable(u) }) {
			out = append(out, s)
		}
	}
	return out
}

// zeroable reports whether a zero at an input leaves a result finite: a weight, a
// bias, a term or a factor.
func zeroable(u ir.Use) bool {
	switch u.Node.Op.Kind() {
	case "Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum", "Add", "Sub", "Sum", "Mul", "Transpose", "Reshape", "Identity":
		return true
	case "PRelu":
		return u.Port == 1
	case "BatchNormalization", "InstanceNormalization", "GroupNormalization":
		return u.Port == 1 || u.Port == 2
	}
	return false
}

// Algorithm implements [compress.Controller].
func (*Controller) Algorithm() string { return Name }

// Setup returns what was applied.
func (c *Controller) Setup() *Setup { return c.setup }

// Initialize learns the ranking if asked to, sets the masks of the first epoch
// and adapts batch normalization to them. A controller whose state was loaded is
// initialised already.
func (c *Controller) Initialize(ctx context.Context, r compress.Runner, cal compress.Calibration) error {
	if c.state.Initialized {
		return nil
	}
	if c.setup.Options.Params.Ranking == learned && c.state.Coefficients == nil {
		if err := c.learn(ctx, r, cal); err != nil {
			return fmt.Errorf("learned ranking: %w", err)
		}
	}
	level, frozen := c.setup.Options.level(0)
	if err := c.Set(level); err != nil {
		return err
	}
	c.state.Frozen = frozen || level >= c.Target()
	if level > 0 {
		if err := c.setup.Options.Initializer.BatchNorm.Run(ctx, r, c.plain, cal); err != nil {
			return err
		}
	}
	c.state.Initialized = true
	return nil
}

// EpochStep implements [compress.Controller]: it sets the masks of the epoch. A
// level that cannot be reached is told by [Controller.Err].
func (c *Controller) EpochStep() {
	if err := c.state.Clock.EpochStep(); err != nil {
		c.err = errors.Join(c.err, err)
	}
	if c.state.Frozen || c.state.Shrunk {
		return
	}
	level, frozen := c.setup.Options.level(c.state.Clock.Epoch())
	if err := c.Set(level); err != nil {
		c.err = errors.Join(c.err, err)
		return
	}
	c.state.Frozen = frozen || level >= c.Target() // pruned channels stay, and no more go
}

// Err returns what went wrong in an EpochStep, which can return nothing.
func (c *Controller) Err() error { return c.err }

// Step implements [compress.Controller].
func (c *Controller) Step() {}

// AfterStep makes pruned channels zero again after parameters were updated;
// training calls it after each optimizer step.
func (c *Controller) AfterStep() { c.mask() }

// Set prunes at a level of the schedule's quantity. Pruned channels stay pruned,
// so a level below the present one changes nothing, unless KeepWeights is set:
// then importances are those of the weights without masks, and channels that are
// no longer among the least important come back as they were.
func (c *Controller) Set(level float64) error {
	lower := level < c.state.Level && c.dense != nil
	if level <= c.state.Level && !lower {
		c.mask()
		return nil
	}
	if c.dense != nil {
		c.dense.unmask()
	}
	list := c.rank(c.importances(), lower)
	kept, err := c.setup.Options.choose(list, level, c.costs)
	if err != nil {
		c.mask()
		return err
	}
	for i, k := range c.clusters {
		if lower {
			clear(k.gone)
		}
		for _, ch := range list[i].order[:k.Channels-kept[i]] {
			k.gone[ch] = true
		}
	}
	c.state.Level = level
	c.mask()
	return nil
}

// Level implements [compress.Leveled].
func (c *Controller) Level() float64 { return c.state.Level }

// Target implements [compress.Leveled].
func (c *Controller) Target() float64 { return c.setup.Options.target() }

// Reached implements [compress.Leveled]: the share of filters of the clusters, of
// FLOPs or of weights that is gone.
func (c *Controller) Reached() float64 {
	left := make([]int, len(c.clusters))
	all, gone := 0, 0
	for i, k := range c.clusters {
		left[i] = len(k.channels(false))
		all += k.Channels
		gone += k.Channels - left[i]
	}
	full, now := c.costs.of(nil), c.costs.of(left)
	p := c.setup.Options.Params
	switch {
	case p.FLOPsTarget != nil && full.FLOPs > 0:
		return 1 - float64(now.FLOPs)/float64(full.FLOPs)
	case p.ParamsTarget != nil && full.Params > 0:
		return 1 - float64(now.Params)/float64(full.Params)
	}
	return float64(gone) / float64(all)
}

// SetLevel implements [compress.Leveled]. A level below the present one is an
// error unless KeepWeights is set: pruned channels would have to come back.
func (c *Controller) SetLevel(level float64) error {
	if c.state.Shrunk {
		return errors.New(`the pruned channels are cut out of the model already, and its level stays; set "removal" to "export" to change it`)
	}
	if level < c.state.Level && c.dense == nil {
		return fmt.Errorf(`level %.4g is below the present one, %.4g, and the weights of pruned filters are gone: set "keep_weights" to true`, level, c.state.Level)
	}
	if !(level >= 0 && level < 1) {
		return fmt.Errorf("got level %g, want 0 to below 1", level)
	}
	c.state.Frozen = true
	return c.Set(level)
}

// rank orders the channels of all clusters by importance, behind those that are
// pruned already unless all may stay.
func (c *Controller) rank(scores [][]float64, anew bool) []ranked {
	p := c.setup.Options.Params
	list := make([]ranked, len(c.clusters))
	for i, score := range scores {
		if len(c.state.Coefficients) > 0 {
			score = slices.Clone(score)
			for j := range score {
				score[j] = c.state.Coefficients[i].apply(score[j])
			}
		}
		gone := c.clusters[i].gone
		if anew {
			gone = nil
		}
		list[i] = newRanked(score, gone, p.multiple(), c.clusters[i].Members[0].Width)
	}
	return list
}

// importances returns the importance of every channel of every cluster: the sum
// over its filters.
func (c *Controller) importances() [][]float64 {
	p := c.setup.Options.Params
	type key struct {
		v *ir.Value
		a int
	}
	cache := map[key][]float64{}
	out := make([][]float64, len(c.clusters))
	for i, k := range c.clusters {
		out[i] = make([]float64, k.Channels)
		for _, m := range k.members {
			all := cache[key{m.Value, m.Axis}]
			if all == nil {
				scale := 1.0
				if p.global() && p.Ranking != learned {
					if n := norm(m.Value.Data); n > 0 {
						scale = 1 / n
					}
				}
				all = p.importance().Of(m.Value.Data, m.Axis, scale)
				cache[key{m.Value, m.Axis}] = all
			}
			for ch := range k.Channels {
				for _, e := range m.Of(ch) {
					out[i][ch] += all[e]
				}
			}
		}
	}
	return out
}

// mask writes zeros where channels are pruned.
func (c *Controller) mask() {
	if c.state.Shrunk {
		return
	}
	for _, k := range c.clusters {
		for _, s := range k.zero {
			for ch, gone := range k.gone {
				if gone {
					clearEntries(s.Value.Data, s.Axis, s.Of(ch))
				}
			}
		}
	}
}

// clearEntries zeroes slices along an axis.
func clearEntries(t *tensor.Tensor, axis int, entries []int) {
	x := t.F32()
	eachSlice(t.Shape(), axis, entries, func(at, n int) { clear(x[at:][:n]) })
}

// eachSlice calls f for the runs of elements, n from at on, that the entries of an
// axis are in a tensor of the given shape.
func eachSlice(s tensor.Shape, axis int, entries []int, f func(at, n int)) {
	outer, inner := s[:axis].Numel(), s[axis+1:].Numel()
	for o := range outer {
		for _, e := range entries {
			f((o*s[axis]+e)*inner, inner)
		}
	}
}

// Loss implements [compress.Controller]: pruning has no loss of its own.
func (c *Controller) Loss(*ir.Builder) (*ir.Value, error) { return nil, nil }

// Stage implements [compress.Controller].
func (c *Controller) Stage() compress.Stage {
	switch {
	case c.state.Level == 0 && c.setup.Options.target() > 0:
		return compress.Uncompressed
	case c.state.Level < c.setup.Options.target():
		return compress.PartiallyCompressed
	}
	return compress.FullyCompressed
}

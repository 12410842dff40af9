package pruning

import (
	"context"
	"encoding/json"
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

// State implements [compress.Controller].
func (c *Controller) State() (json.RawMessage, error) {
	s := c.state
	s.Pruned = make([][]int, len(c.clusters))
	for i, k := range c.clusters {
		s.Pruned[i] = k.channels(true)
	}
	if c.dense != nil && !c.state.Shrunk {
		s.Dense = c.dense.save()
	}
	return json.Marshal(s)
}

// LoadState implements [compress.Controller]. If the state is that of a shrunk
// model it shrinks this one.
func (c *Controller) LoadState(raw json.RawMessage) error {
	var s state
	if err := json.Unmarshal(raw, &s); err != nil {
		return fmt.Errorf("pruning state: %w", err)
	}
	if len(s.Pruned) != len(c.clusters) {
		return fmt.Errorf("pruning state: got %d clusters, want %d", len(s.Pruned), len(c.clusters))
	}
	if n := len(s.Coefficients); n > 0 && n != len(c.clusters) {
		return fmt.Errorf("pruning state: got ranking coefficients of %d clusters, want %d", n, len(c.clusters))
	}
	for i, k := range c.clusters {
		for _, ch := range s.Pruned[i] {
			if ch < 0 || ch >= k.Channels {
				return fmt.Errorf("pruning state: cluster %d: got channel %d of %d", i, ch, k.Channels)
			}
		}
	}
	for i, k := range c.clusters {
		clear(k.gone)
		for _, ch := range s.Pruned[i] {
			k.gone[ch] = true
		}
	}
	if c.dense != nil {
		if err := c.dense.load(s.Dense); err != nil {
			return err
		}
	}
	shrunk := s.Shrunk
	s.Pruned, s.Dense, s.Shrunk = nil, nil, false
	c.state = s
	if shrunk {
		_, err := c.Shrink(nil)
		return err
	}
	return nil
}

// channels lists the channels that are pruned, or those that are not.
func (k *pruned) channels(gone bool) []int {
	out := []int{}
	for ch, g := range k.gone {
		if g == gone {
			out = append(out, ch)
		}
	}
	return out
}

// Removed implements [compress.Remover].
func (c *Controller) Removed(value string) [][]bool {
	if c.state.Shrunk || c.setup.Options.Params.Removal == Never {
		return nil
	}
	return c.gone(value)
}

// CutOut implements [compress.Cutter].
func (c *Controller) CutOut(value string) [][]bool {
	if !c.state.Shrunk {
		return nil
	}
	return c.gone(value)
}

// gone returns which entries of each axis of a value belong to pruned channels.
func (c *Controller) gone(value string) [][]bool {
	var axes [][]bool
	for _, k := range c.clusters {
		for _, s := range k.group.Spans {
			if s.Value.Name != value {
				continue
			}
			for ch, gone := range k.gone {
				if !gone {
					continue
				}
				if axes == nil {
					axes = make([][]bool, s.Value.Type.Rank())
				}
				if axes[s.Axis] == nil {
					n, _ := s.Value.Type.Dims[s.Axis].Known()
					axes[s.Axis] = make([]bool, n)
				}
				for _, e := range s.Of(ch) {
					axes[s.Axis][e] = true
				}
			}
		}
	}
	return axes
}

// choices are the pruned channels for package channel.
func (c *Controller) choices() []channel.Choice {
	var list []channel.Choice
	for _, k := range c.clusters {
		m := k.members[0]
		ch := channel.Choice{Value: m.Value.Name, Axis: m.Axis}
		for _, i := range k.channels(true) {
			ch.Entries = append(ch.Entries, m.Of(i)...)
		}
		if len(ch.Entries) > 0 {
			list = append(list, ch)
		}
	}
	return list
}

// Strip implements [compress.Controller]: it cuts the pruned channels out.
func (c *Controller) Strip(g *ir.Graph, t *rewrite.Trace) error {
	if c.state.Shrunk || c.setup.Options.Params.Removal == Never {
		return nil
	}
	_, err := channel.Remove(g, c.choices(), t)
	return err
}

// ShrinkNow reports whether the options ask for a smaller model under training,
// and its masks are final.
func (c *Controller) ShrinkNow() bool {
	return c.setup.Options.Params.Removal == AtTraining && c.state.Frozen && !c.state.Shrunk && len(c.choices()) > 0
}

// Shrink cuts the pruned channels out of the graph under training, whose
// parameters get other tensors: whoever holds the old ones must cut what belongs
// to them, such as the moments of an optimizer, in the same way.
func (c *Controller) Shrink(t *rewrite.Trace) ([]channel.Cut, error) {
	cuts, err := channel.Remove(c.g, c.choices(), t)
	if err != nil {
		return nil, err
	}
	c.state.Shrunk = true
	return cuts, nil
}

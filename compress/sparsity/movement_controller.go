package sparsity

import (
	"context"
	"encoding/json"
	"fmt"
	"math"

	"github.com/go-nncf/nncf/channel"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/schedule"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// MovementController is the handle to the masks of movement sparsity.
type MovementController struct {
	base
	setup     *MovementSetup
	before    *ir.Graph      // the model without masks, whose tensors it shares
	threshold *tensor.Tensor // of the scores; -Inf masks nothing
	factor    *tensor.Tensor // of the regularization, now
	state     movementState
}

type movementState struct {
	Clock schedule.Clock `json:"clock"`
	// First is the threshold at which the warm-up began; nil before.
	First  *float64 `json:"first_threshold,omitempty"`
	Frozen bool     `json:"frozen,omitempty"`
}

var (
	_ compress.Controller     = (*MovementController)(nil)
	_ compress.StepCounter    = (*MovementController)(nil)
	_ compress.ParameterRuler = (*MovementController)(nil)
)

// Algorithm implements [compress.Controller].
func (*MovementController) Algorithm() string { return Movement }

// Initialize implements [compress.Controller]: the model is dense at first.
func (*MovementController) Initialize(context.Context, compress.Runner, compress.Calibration) error {
	return nil
}

// EpochStep implements [compress.Controller].
func (c *MovementController) EpochStep() {
	_ = c.state.Clock.EpochStep() // see leveler.epoch
	if !c.state.Frozen && c.state.Clock.Epoch() >= c.setup.End {
		c.freeze()
	}
	c.aim(float64(c.state.Clock.Epoch()))
}

// Step implements [compress.Controller]: threshold and regularization rise.
func (c *MovementController) Step() {
	c.state.Clock.Step()
	if t, ok := c.state.Clock.Fraction(); ok {
		c.aim(t)
	}
}

// progress is how far the warm-up has come, on its curve.
func (c *MovementController) progress(t float64) float64 {
	s := c.setup
	return schedule.Polynomial{Final: 1, Epochs: float64(s.End - s.Start), Power: s.Power}.Level(t - float64(s.Start))
}

// aim sets what masks and loss read for a time in epochs.
func (c *MovementController) aim(t float64) {
	c.factor.F32()[0] = 0
	if c.state.Frozen || t < float64(c.setup.Start) {
		c.threshold.F32()[0] = float32(math.Inf(-1))
		return
	}
	if c.state.First == nil {
		first := c.firstThreshold()
		c.state.First = &first
	}
	p := c.progress(t)
	c.factor.F32()[0] = float32(c.setup.Regularization * p)
	c.threshold.F32()[0] = float32(*c.state.First + (c.setup.FinalThreshold-*c.state.First)*p)
}

// firstShare is the share of scores that the first threshold masks.
const firstShare = 0.001

func (c *MovementController) firstThreshold() float64 {
	if t := c.setup.InitThreshold; t != nil {
		return *t
	}
	var all []float32
	lowest := float32(math.Inf(1))
	for _, m := range c.layers {
		for _, s := range m.scores() {
			all = append(all, s)
			lowest = min(lowest, s)
		}
	}
	// threshold ranks numbers that are not negative
	at := float64(lowest) + float64(threshold(rank(len(all), firstShare), func(yield func(float32)) {
		for _, s := range all {
			yield(s - lowest)
		}
	}))
	return min(at, c.setup.FinalThreshold)
}

// blocks returns the mask of a layer as it is: 1 for kept blocks.
func (m *masked) blockMask(threshold float32) []uint8 {
	keep := tensor.Data[uint8](m.node.In[2].Data)
	out := make([]uint8, len(keep))
	for i, s := range m.scores() {
		if keep[i] != 0 && s > threshold {
			out[i] = 1
		}
	}
	return out
}

// freeze fixes the masks: those that the last threshold makes, resolved.
func (c *MovementController) freeze() {
	t := float32(c.setup.FinalThreshold)
	masks := map[string][]uint8{}
	for _, m := range c.layers {
		masks[m.Weight] = m.blockMask(t)
	}
	if c.setup.Structured {
		c.resolve(masks)
	}
	for _, m := range c.layers {
		copy(tensor.Data[uint8](m.node.In[2].Data), masks[m.Weight])
	}
	c.state.Frozen = true
}

// resolve makes the masks of whole neurons and heads agree: in every group of
// channels that belong together a channel is dropped if all of its masked weights
// are; otherwise all of them are kept. Layers whose blocks are smaller than the
// channel take part as they are: their blocks inside a kept channel come back only
// if the whole channel is made of them.
func (c *MovementController) resolve(masks map[string][]uint8) {
	layer := map[string]*masked{}
	for _, m := range c.layers {
		layer[m.Weight] = m
	}
	for _, g := range channel.Analyze(c.before).Groups {
		var spans []channel.Span
		for _, s := range g.Spans {
			if s.Value.IsStored() && layer[s.Value.Name] != nil && (s.Filters() || s.Reads()) {
				spans = append(spans, s)
			}
		}
		if len(spans) < 2 {
			continue
		}
		for ch := range g.Channels {
			kept := false
			for _, s := range spans {
				layer[s.Value.Name].each(s, ch, func(b int, _ bool) { kept = kept || masks[s.Value.Name][b] != 0 })
			}
			for _, s := range spans {
				layer[s.Value.Name].each(s, ch, func(b int, whole bool) {
					if kept && whole {
						masks[s.Value.Name][b] = 1
					}
				})
			}
		}
	}
}

// each calls f for the blocks of a matrix that touch a channel; whole says that
// the block spans the matrix across the channel's axis.
func (m *masked) each(s channel.Span, ch int, f func(block int, whole bool)) {
	o := m.node.Op.(op.MovementMask)
	shape := m.node.In[0].Type.MustShape()
	rows, cols := o.Blocks(shape[0], shape[1])
	last := -1
	for _, i := range s.Of(ch) {
		if s.Axis == 0 {
			if r := i / o.Rows; r != last {
				last = r
				for k := range cols {
					f(r*cols+k, cols == 1)
				}
			}
			continue
		}
		if k := i / o.Cols; k != last {
			last = k
			for r := range rows {
				f(r*cols+k, rows == 1)
			}
		}
	}
}

// SetStepsPerEpoch implements [compress.StepCounter].
func (c *MovementController) SetStepsPerEpoch(n int) {
	if c.state.Clock.PerEpoch == 0 {
		c.state.Clock.PerEpoch = n
	}
}

// ParameterRule implements [compress.ParameterRuler].
func (c *MovementController) ParameterRule(name string) compress.ParameterRule {
	for _, m := range c.layers {
		if m.node.In[1].Name == name {
			return compress.ParameterRule{NoDecay: true, Optimizer: "adam", LR: c.setup.MaskLR, Frozen: c.state.Frozen}
		}
	}
	return compress.ParameterRule{}
}

// Loss implements [compress.Controller]: λ·Σ over layers mean σ(score).
func (c *MovementController) Loss(b *ir.Builder) (*ir.Value, error) {
	var total *ir.Value
	for _, m := range c.layers {
		v := b.G.Value(m.node.In[1].Name)
		if v == nil {
			return nil, fmt.Errorf("the graph has no %q", m.node.In[1].Name)
		}
		mean := b.Op(op.ReduceMean{}, Movement+"/mean", b.Op(op.Sigmoid{}, Movement+"/sigmoid", v))
		if total == nil {
			total = mean
		} else {
			total = b.Op(op.Add{}, Movement+"/sum", total, mean)
		}
	}
	factor := b.G.AddStored(ir.State, b.G.UniqueName(Movement+"/factor"), c.factor)
	return b.Op(op.Mul{}, Movement+"/loss", total, factor), b.Err()
}

// Report lists the layers.
func (c *MovementController) Report() []LayerReport {
	list := make([]LayerReport, len(c.layers))
	for i, m := range c.layers {
		o := m.node.Op.(op.MovementMask)
		shape := m.node.In[0].Type.MustShape()
		_, cols := o.Blocks(shape[0], shape[1])
		mask := m.blockMask(c.threshold.F32()[0])
		list[i] = m.describe(c.count(m, func(i int) bool {
			return mask[i/shape[1]/o.Rows*cols+i%shape[1]/o.Cols] == 0
		}))
		if o.Rows*o.Cols > 1 {
			list[i].Pattern = fmt.Sprintf("%dx%d", o.Rows, o.Cols)
		}
	}
	return list
}

// Reached returns the share of zeros.
func (c *MovementController) Reached() float64 { return zeroShare(c.Report()) }

// Statistics implements [compress.Controller].
func (c *MovementController) Statistics() compress.Statistics {
	s := c.statistics(c.Report(), -1)
	s.Numbers = append(s.Numbers, compress.Number{Name: "importance threshold", Value: math.Max(float64(c.threshold.F32()[0]), -math.MaxFloat32)},
		compress.Number{Name: "importance regularization factor", Value: float64(c.factor.F32()[0])})
	return s
}

// Stage implements [compress.Controller]: full when masks are fixed.
func (c *MovementController) Stage() compress.Stage {
	switch {
	case c.state.Frozen:
		return compress.FullyCompressed
	case c.state.First != nil:
		return compress.PartiallyCompressed
	}
	return compress.Uncompressed
}

// State implements [compress.Controller]; threshold and masks are states of the
// graph.
func (c *MovementController) State() (json.RawMessage, error) { return json.Marshal(c.state) }

// LoadState implements [compress.Controller].
func (c *MovementController) LoadState(raw json.RawMessage) error {
	c.state = movementState{}
	if err := compress.DecodeStrict(raw, &c.state); err != nil {
		return fmt.Errorf("%s state: %w", Movement, err)
	}
	return nil
}

// Strip implements [compress.Controller]. Channels whose weights are all zero
// are then cut out, as far as nothing that is computed changes.
func (c *MovementController) Strip(g *ir.Graph, t *rewrite.Trace) error {
	if err := strip(g, Movement, t, c.layers); err != nil || !c.setup.Structured || !c.state.Frozen {
		return err
	}
	var choices []channel.Choice
	for _, grp := range channel.Analyze(g).Groups {
		filters := grp.Filters()
		if len(grp.Fixed) > 0 || len(filters) == 0 {
			continue
		}
		ch := channel.Choice{Value: filters[0].Value.Name, Axis: filters[0].Axis}
		for k := range grp.Channels {
			if unread(grp, k) {
				ch.Entries = append(ch.Entries, filters[0].Of(k)...)
			}
		}
		if len(ch.Entries) == filters[0].Width*grp.Channels { // one has to stay
			ch.Entries = ch.Entries[filters[0].Width:]
		}
		if len(ch.Entries) > 0 {
			choices = append(choices, ch)
		}
	}
	_, err := channel.Remove(g, choices, t)
	return err
}

// unread reports whether every weight that reads a channel is zero, and one does.
func unread(g *channel.Group, ch int) bool {
	reads := false
	for _, s := range g.Spans {
		if !s.Value.IsStored() || !s.Reads() {
			continue
		}
		reads = true
		part, err := channel.Select(s.Value.Data, s.Axis, s.Of(ch))
		if err != nil || part.DType() != tensor.Float32 {
			return false
		}
		for _, v := range part.F32() {
			if v != 0 {
				return false
			}
		}
	}
	return reads
}

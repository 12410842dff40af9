package quantization

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
)

var _ compress.Staged = (*Controller)(nil)

// stage is where a training in stages is. Quantizers that are off pass their
// values on and learn nothing.
type stage struct {
	Epoch       int  `json:"epoch"` // the one under way, -1 before the first
	Activations bool `json:"activations"`
	Weights     bool `json:"weights"`
	// switched: what Epoch begins with has not been initialised yet.
	switched bool
	// fresh are the kinds that were just switched on.
	fresh map[Kind]bool
}

// on reports whether quantizers of a kind are in effect.
func (c *Controller) on(k Kind) bool {
	return c.stage == nil || k == Weight && c.stage.Weights || k == Activation && c.stage.Activations
}

// begin enters the stage before the first epoch: what is on from epoch 0 on is
// on.
func (c *Controller) begin() {
	if c.setup.Stages == nil {
		return
	}
	c.stage = &stage{Epoch: -1}
	c.stage.Activations, c.stage.Weights = c.setup.Stages.Enabled(0)
}

// EpochStep implements [compress.Controller]. In a training in stages it
// enters the next epoch and switches what begins with it; BeginEpoch must follow.
func (c *Controller) EpochStep() {
	s := c.stage
	if s == nil {
		return
	}
	s.Epoch++
	a, w := c.setup.Stages.Enabled(s.Epoch)
	if a == s.Activations && w == s.Weights {
		return
	}
	s.switched = true
	s.fresh = map[Kind]bool{Activation: a && !s.Activations, Weight: w && !s.Weights}
	s.Activations, s.Weights = a, w
}

// BeginEpoch implements [compress.Staged]: quantizers that begin with the epoch
// get the ranges of the model as it is now, and batch normalization is adapted
// again. Ranges that are trained already stay.
func (c *Controller) BeginEpoch(ctx context.Context, r compress.Runner, cal compress.Calibration) (bool, error) {
	s := c.stage
	if s == nil || !s.switched {
		return false, nil
	}
	fail := func(err error) (bool, error) { return true, fmt.Errorf("epoch %d: %w", s.Epoch+1, err) }
	if cal.Batches == nil {
		return fail(errors.New("switching quantizers on needs data for their ranges and for batch normalization: got no calibration data"))
	}
	if err := c.initKinds(ctx, r, cal, func(x *placed) bool { return s.fresh[x.Kind] }); err != nil {
		return fail(err)
	}
	if err := c.setup.BatchNorm.Run(ctx, r, c.g, cal); err != nil {
		return fail(err)
	}
	s.switched, s.fresh = false, nil
	return true, nil
}

// initKinds initialises the ranges of some quantizers, weights first.
func (c *Controller) initKinds(ctx context.Context, r compress.Runner, cal compress.Calibration, which func(*placed) bool) error {
	kept := c.quantizers
	defer func() { c.quantizers = kept }()
	c.quantizers = nil
	for _, x := range kept {
		if which(x) {
			c.quantizers = append(c.quantizers, x)
		}
	}
	if err := c.initWeights(); err != nil {
		return err
	}
	if err := c.initRanges(ctx, r, cal); err != nil {
		return err
	}
	c.quantizers = kept
	return c.setOps()
}

// nodeOp is the operator of a quantizer's node at the present stage.
func (c *Controller) nodeOp(x *placed) ir.Op {
	if !c.on(x.Kind) {
		return op.FakeQuantizeOff{}
	}
	return x.operator(c.setup)
}

// enabled is the share of quantizers that are on, in percent.
func (c *Controller) enabled() float64 {
	n := 0
	for _, x := range c.quantizers {
		if c.on(x.Kind) {
			n++
		}
	}
	return 100 * float64(n) / float64(max(1, len(c.quantizers)))
}

// ParameterRule implements [compress.ParameterRuler]: ranges of quantizers that
// are off are frozen.
func (c *Controller) ParameterRule(name string) compress.ParameterRule {
	if c.stage == nil {
		return compress.ParameterRule{}
	}
	for _, x := range c.quantizers {
		for _, p := range x.params {
			if p.Name == name {
				return compress.ParameterRule{Frozen: !c.on(x.Kind), NoDecay: true}
			}
		}
	}
	return compress.ParameterRule{}
}

package binarization

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// layer is a binarized layer in a graph.
type layer struct {
	Layer
	activation, weight, factors *ir.Node
	logScale                    *ir.Value
}

// Controller is the handle to the binarizers of a graph.
type Controller struct {
	setup  *Setup
	g      *ir.Graph
	layers []*layer

	epoch                int // under way; -1 before the first
	activations, weights bool
	scaled               bool // scales come from data
	switched             bool // since the last BeginEpoch
}

var (
	_ compress.Controller = (*Controller)(nil)
	_ compress.Staged     = (*Controller)(nil)
)

// Algorithm implements [compress.Controller].
func (*Controller) Algorithm() string { return Name }

// Setup returns what was applied.
func (c *Controller) Setup() *Setup { return c.setup }

// Initialize initialises what is binarized from the start.
func (c *Controller) Initialize(ctx context.Context, r compress.Runner, cal compress.Calibration) error {
	c.switched = false
	if !c.activations && !c.weights {
		return nil
	}
	return c.adapt(ctx, r, cal)
}

// adapt initialises scales that are new, and the statistics of batch
// normalization.
func (c *Controller) adapt(ctx context.Context, r compress.Runner, cal compress.Calibration) error {
	if cal.Batches == nil {
		return errors.New("switching binarizers on needs data for their scales and for batch normalization: got no calibration data")
	}
	if c.activations && !c.scaled {
		if err := c.initScales(ctx, r, cal); err != nil {
			return fmt.Errorf("scales: %w", err)
		}
		c.scaled = true
	}
	return c.setup.BatchNorm.Run(ctx, r, c.g, cal)
}

// initScales takes the scale of each layer from its inputs over the first batch,
// see [Scale]. Layers are initialised one after the other, on inputs that the layers before have binarized; batch
// normalization takes the statistics of the batch, as in training.
func (c *Controller) initScales(ctx context.Context, r compress.Runner, cal compress.Calibration) error {
	g := c.g.Clone()
	if err := pass.TrainingMode(g, pass.TrainingOptions{}, nil); err != nil {
		return err
	}
	g.Assigns = nil // statistics are adapted later
	inputs := map[string]int{}
	for i, v := range g.Inputs {
		inputs[v.Name] = i
	}
	want := make([]*ir.Value, 0, len(c.layers))
	at := make([]int, len(c.layers))
	for i, l := range c.layers {
		name := l.activation.In[0].Name
		if _, ok := inputs[name]; ok {
			at[i] = -1
			continue
		}
		at[i] = len(want)
		want = append(want, g.Value(name))
	}
	var batch []*tensor.Tensor
	again := func(yield func([]*tensor.Tensor, error) bool) {
		for b, err := range cal.Take(0, 1) {
			batch = b
			for range c.layers {
				if !yield(b, err) || err != nil {
					return
				}
			}
			return
		}
	}
	i := 0
	err := r.Run(ctx, g, want, again, func(got []*tensor.Tensor) error {
		l := c.layers[i]
		x := batch[max(0, inputs[l.activation.In[0].Name])]
		if at[i] >= 0 {
			x = got[at[i]]
		}
		i++
		s := c.scaleOf(x.F32())
		if math.IsInf(s, 0) || math.IsNaN(s) {
			return fmt.Errorf("inputs of %s are not finite; check the data, or ignore the layer", l.Node)
		}
		l.logScale.Data.F32()[0] = float32(math.Log(s))
		return nil
	})
	if err == nil && i < len(c.layers) {
		err = errors.New("there were no data")
	}
	return err
}

// EpochStep implements [compress.Controller]: it enters the next epoch and
// switches what begins with it. BeginEpoch must follow.
func (c *Controller) EpochStep() {
	c.epoch++
	if a, w := c.setup.Stages.Enabled(c.epoch); a != c.activations || w != c.weights {
		c.activations, c.weights, c.switched = a, w, true
		c.setOps()
	}
}

// BeginEpoch implements [compress.Staged].
func (c *Controller) BeginEpoch(ctx context.Context, r compress.Runner, cal compress.Calibration) (bool, error) {
	if !c.switched {
		return false, nil
	}
	if err := c.adapt(ctx, r, cal); err != nil {
		return true, fmt.Errorf("epoch %d: %w", c.epoch+1, err)
	}
	c.switched = false
	return true, nil
}

func (c *Controller) weightOp() op.BinarizeWeight {
	return op.BinarizeWeight{Global: c.setup.Mode == DoReFa, Off: !c.weights}
}

// setOps gives the nodes the operators of the present stage.
func (c *Controller) setOps() {
	p := rewrite.New(c.g, Name+"-stage", nil)
	for _, l := range c.layers {
		p.SetOp(l.activation, op.BinarizeActivation{Off: !c.activations})
		p.SetOp(l.weight, c.weightOp())
		p.SetOp(l.factors, op.BinaryScale{NoScale: !c.activations})
	}
	if err := p.Commit(); err != nil {
		panic("binarization: switching a stage: " + err.Error()) // types do not depend on it
	}
}

// Step implements [compress.Controller].
func (c *Controller) Step() {}

// Loss implements [compress.Controller]: binarization has no loss of its own.
func (c *Controller) Loss(*ir.Builder) (*ir.Value, error) { return nil, nil }

// Stage implements [compress.Controller].
func (c *Controller) Stage() compress.Stage { return compress.StageOf(c.activations, c.weights) }

// state is what parameters and setup do not hold.
type state struct {
	Epoch  int  `json:"epoch"`
	Scaled bool `json:"scaled"`
	// Activations and Weights are binarized.
	Activations bool `json:"activations"`
	Weights     bool `json:"weights"`
}

// State implements [compress.Controller].
func (c *Controller) State() (json.RawMessage, error) {
	return json.Marshal(state{c.epoch, c.scaled, c.activations, c.weights})
}

// LoadState implements [compress.Controller].
func (c *Controller) LoadState(raw json.RawMessage) error {
	var s state
	if err := compress.DecodeStrict(raw, &s); err != nil {
		return fmt.Errorf("binarization state: %w", err)
	}
	if s.Epoch < -1 {
		return fmt.Errorf("binarization state: got epoch %d", s.Epoch)
	}
	c.epoch, c.scaled, c.activations, c.weights = s.Epoch, s.Scaled, s.Activations, s.Weights
	c.switched = false
	c.setOps()
	return nil
}

// Strip implements [compress.Controller]. Binarizers stay: package pass writes
// them in the form that files contain.
func (c *Controller) Strip(*ir.Graph, *rewrite.Trace) error { return nil }

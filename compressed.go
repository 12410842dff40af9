package nncf

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/rewrite"
)

// CompressOptions say how to set up compression. The zero value initialises
// nothing, which leaves ranges at their defaults.
type CompressOptions struct {
	// Calibration is where ranges and statistics come from.
	Calibration compress.Calibration
	Threads     int
	Logger      *slog.Logger
}

// Compressed is a model under compression, and the handle to all its
// algorithms: a training loop calls EpochStep and BeginEpoch before each epoch,
// Step before each optimizer step and AfterStep after it, adds Loss to its loss,
// and calls Export at the end.
type Compressed struct {
	compress.Controller
	// Graph is the compressed model: its parameters are trained.
	Graph *ir.Graph
	// Trace says what compression changed, and by which rule.
	Trace *rewrite.Trace
	// Calibration is where algorithms that train in stages get their data when a
	// stage begins: at first that of the options, none after Restore.
	Calibration compress.Calibration

	setups []compress.Setup
	runner runner
}

// BeginEpoch begins the epoch that EpochStep has entered. Models that are
// trained in stages change then; changed says that the graph has, so that
// programs compiled from it are out of date. Other models do nothing.
func (c *Compressed) BeginEpoch(ctx context.Context) (changed bool, err error) {
	return compress.BeginEpoch(ctx, c.Controller, c.runner, c.Calibration)
}

// Compress applies algorithms to a copy of m and initialises them from data. m
// stays as it is.
func Compress(ctx context.Context, m *Model, algorithms []compress.Algorithm, opt CompressOptions) (*Compressed, error) {
	r := runner{engine.Options{Threads: opt.Threads, Logger: opt.Logger}}
	c := &Compressed{Graph: deepClone(m.Graph), Trace: &rewrite.Trace{}, Calibration: opt.Calibration, runner: r}
	err := checkRemoval(algorithms)
	if err != nil {
		return nil, err
	}
	if c.setups, c.Controller, err = compress.SetupAll(c.Graph, algorithms, c.Trace); err != nil {
		return nil, err
	}
	if opt.Calibration.Batches == nil {
		return c, nil
	}
	if err := c.Initialize(ctx, r, opt.Calibration); err != nil {
		return nil, err
	}
	return c, nil
}

// TrainingForm implements [compress.TrainingFormer] for all algorithms.
func (c *Compressed) TrainingForm(g *ir.Graph) error { return compress.TrainingForm(c.Controller, g) }

// ParameterRule implements [compress.ParameterRuler] for all algorithms.
func (c *Compressed) ParameterRule(name string) compress.ParameterRule {
	return compress.RuleOf(c.Controller, name)
}

// AfterStep implements [compress.AfterStepper] for all algorithms.
func (c *Compressed) AfterStep() { compress.AfterStep(c.Controller) }

// RoundBiases moves the biases of quantized layers to the integers that Export
// writes, by at most half a step of the accumulator: the model then computes
// what the exported file computes. Call it when training is done, before the
// final evaluation; see [pass.RoundBiases].
func (c *Compressed) RoundBiases() error { return pass.RoundBiases(c.Graph, c.Trace) }

// deepClone is a clone with stored data of its own.
func deepClone(g *ir.Graph) *ir.Graph {
	c := g.Clone()
	for _, v := range c.Stored() {
		v.Data = v.Data.Clone()
	}
	return c
}

// CompressionState is what rebuilds a compressed model from its float graph,
// without its configuration.
type CompressionState struct {
	Setups     []SetupState    `json:"setups"`
	Controller json.RawMessage `json:"controller"`
}

// SetupState is one algorithm's decision.
type SetupState struct {
	Algorithm string          `json:"algorithm"`
	Setup     json.RawMessage `json:"setup"`
}

// SaveState returns the state; parameters are not part of it.
func (c *Compressed) SaveState() (CompressionState, error) {
	var s CompressionState
	for _, x := range c.setups {
		raw, err := json.Marshal(x)
		if err != nil {
			return s, fmt.Errorf("%s: %w", x.Algorithm(), err)
		}
		s.Setups = append(s.Setups, SetupState{x.Algorithm(), raw})
	}
	var err error
	s.Controller, err = c.State()
	return s, err
}

// Restore applies a saved state to a copy of m. restore turns an algorithm's
// saved setup back into one; package config has it for all algorithms.
// Parameters keep the values of m and the defaults of the algorithms.
func Restore(m *Model, s CompressionState, restore func(algorithm string, setup json.RawMessage) (compress.Setup, error)) (*Compressed, error) {
	c := &Compressed{Graph: deepClone(m.Graph), Trace: &rewrite.Trace{}}
	var ctrls []compress.Controller
	for _, x := range s.Setups {
		setup, err := restore(x.Algorithm, x.Setup)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", x.Algorithm, err)
		}
		ctrl, err := setup.Apply(c.Graph, c.Trace)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", x.Algorithm, err)
		}
		c.setups, ctrls = append(c.setups, setup), append(ctrls, ctrl)
	}
	c.Controller = compress.Compose(ctrls...)
	return c, c.LoadState(s.Controller)
}

// Setups returns the decisions, in the order in which they were applied.
func (c *Compressed) Setups() []compress.Setup { return c.setups }

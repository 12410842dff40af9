package compress

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
)

// SetupAll decides for all algorithms and applies them to g in the order of
// their priorities; those of equal priority keep their order. Every algorithm
// sees the graph as the ones before it left it. The returned setups and the
// composed controller are in that order.
func SetupAll(g *ir.Graph, algorithms []Algorithm, t *rewrite.Trace) ([]Setup, Controller, error) {
	order := slices.Clone(algorithms)
	slices.SortStableFunc(order, func(a, b Algorithm) int { return cmp.Compare(a.Priority(), b.Priority()) })
	var setups []Setup
	var ctrls []Controller
	for _, a := range order {
		s, err := a.Setup(g)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", a.Name(), err)
		}
		c, err := s.Apply(g, t)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", a.Name(), err)
		}
		setups, ctrls = append(setups, s), append(ctrls, c)
	}
	return setups, Compose(ctrls...), nil
}

// Compose makes any number of controllers look like one, and introduces those
// that depend on each other (see [RemovalReader]). With none it is the controller
// of an uncompressed model.
func Compose(ctrls ...Controller) Controller {
	if len(ctrls) == 1 {
		return ctrls[0]
	}
	c := composite(ctrls)
	linkRemovals(All(c))
	return c
}

type composite []Controller

func (c composite) Algorithm() string {
	if len(c) == 0 {
		return "none"
	}
	var s strings.Builder
	for i, x := range c {
		if i > 0 {
			s.WriteString("+")
		}
		s.WriteString(x.Algorithm())
	}
	return s.String()
}

func (c composite) Initialize(ctx context.Context, r Runner, cal Calibration) error {
	for _, x := range c {
		if err := x.Initialize(ctx, r, cal); err != nil {
			return fmt.Errorf("%s: %w", x.Algorithm(), err)
		}
	}
	return nil
}

func (c composite) EpochStep() {
	for _, x := range c {
		x.EpochStep()
	}
}

func (c composite) Step() {
	for _, x := range c {
		x.Step()
	}
}

func (c composite) Loss(b *ir.Builder) (*ir.Value, error) {
	var total *ir.Value
	for _, x := range c {
		v, err := x.Loss(b)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", x.Algorithm(), err)
		case v == nil:
		case total == nil:
			total = v
		default:
			total = b.Op(op.Add{}, "compression_loss", total, v)
		}
	}
	return total, b.Err()
}

func (c composite) Statistics() Statistics {
	var s Statistics
	for _, x := range c {
		s.Add(x.Statistics())
	}
	return s
}

func (c composite) Stage() Stage {
	if len(c) == 0 {
		return Uncompressed
	}
	s, counts := FullyCompressed, false
	for _, x := range c {
		switch _, none := x.(interface{ Stageless() }); {
		case none: // compresses nothing: distillation
		case counts:
			s = s.And(x.Stage())
		default:
			s, counts = x.Stage(), true
		}
	}
	return s
}

func (c composite) State() (json.RawMessage, error) {
	states := make([]json.RawMessage, len(c))
	for i, x := range c {
		var err error
		if states[i], err = x.State(); err != nil {
			return nil, fmt.Errorf("%s: %w", x.Algorithm(), err)
		}
	}
	return json.Marshal(states)
}

func (c composite) LoadState(raw json.RawMessage) error {
	var states []json.RawMessage
	if err := json.Unmarshal(raw, &states); err != nil {
		return fmt.Errorf("compression state: %w", err)
	}
	if len(states) != len(c) {
		return fmt.Errorf("compression state: got %d algorithms, want %d", len(states), len(c))
	}
	var errs []error
	for i, x := range c {
		if err := x.LoadState(states[i]); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", x.Algorithm(), err))
		}
	}
	return errors.Join(errs...)
}

// Strip runs in reverse: what was put in last comes off first.
func (c composite) Strip(g *ir.Graph, t *rewrite.Trace) error {
	for _, x := range slices.Backward(c) {
		if err := x.Strip(g, t); err != nil {
			return fmt.Errorf("%s: %w", x.Algorithm(), err)
		}
	}
	return nil
}

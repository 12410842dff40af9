package job

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/ptq"
	"github.com/go-nncf/nncf/compress/sensitivity"
	"github.com/go-nncf/nncf/onnx"
	"github.com/go-nncf/nncf/pass"
)

// OutputErrors are the errors of all outputs against the float model.
type OutputErrors struct {
	Samples int                       `json:"samples"`
	Before  []sensitivity.OutputError `json:"before"` // nothing given back
	After   []sensitivity.OutputError `json:"after"`  // the file, read back
}

// IntegerShare is which share of the multiplications runs on integers of at most 8
// bits, from 0 to 1.
type IntegerShare struct {
	Before float64 `json:"before"`
	After  float64 `json:"after"`
}

// errorGoal is a budget of the relative error of outputs.
type errorGoal struct {
	o    QuantizeOptions
	m    *nncf.Model
	ref  *sensitivity.Reference
	last []sensitivity.OutputError // of the model measured last
}

func (g *errorGoal) begin(ctx context.Context, _ *searchFile, _ bool) (err error) {
	g.o.note("running the float model on %d held-out samples", g.o.Held.Dataset.Len())
	g.ref, err = newReference(ctx, g.m.Graph, g.o.Held, g.o.Threads)
	return err
}

func (g *errorGoal) objective(*searchFile) ptq.Objective {
	return ptq.OutputError{Budget: g.o.Control.MaxError}
}

func (g *errorGoal) bisect() bool { return true }

func (g *errorGoal) measure(ctx context.Context, s *state, f *searchFile) (t ptq.Trial, err error) {
	if g.last, err = g.ref.Errors(ctx, s.compressed.Graph); err != nil {
		return t, err
	}
	if len(f.Steps) == 0 {
		f.Plain = g.last
	}
	worst := sensitivity.WorstOutput(g.last)
	t.Integer = g.integer(s)
	t.Outputs = bounds(g.last)
	t.Measure = slices.Max(t.Outputs)
	g.o.note("output %s is off by %.2f %%, %.0f %% of the multiplications on integers", worst.Output, 100*t.Measure, 100*t.Integer)
	return t, nil
}

// byGain orders operators by the square of the error that each causes alone, for a
// multiplication that leaves integers and has not left them with an operator
// before it in the order.
func byGain(units []sensitivity.Unit) (order []sensitivity.Unit) {
	total := int64(1)
	for _, u := range units {
		total += u.MACs
	}
	left := map[string]bool{}
	gain := func(u sensitivity.Unit) float64 {
		macs := 1e-4 * float64(total) // what costs nothing still changes how others are fed
		for _, l := range u.Layers {
			if !left[l.Result] {
				macs += float64(l.MACs)
			}
		}
		return float64(u.Worst.Bound) * float64(u.Worst.Bound) / macs
	}
	units = slices.Clone(units)
	for len(units) > 0 {
		best := 0
		for i := range units {
			if gain(units[i]) > gain(units[best]) {
				best = i
			}
		}
		for _, l := range units[best].Layers {
			left[l.Result] = true
		}
		order = append(order, units[best])
		units = slices.Delete(units, best, best+1)
	}
	return order
}

// bounds are the errors as numbers that a file may have.
func bounds(list []sensitivity.OutputError) (out []float64) {
	for _, e := range list {
		out = append(out, min(float64(e.Bound), math.MaxFloat32))
	}
	return out
}

// integer is the share of multiplications on integers.
func (g *errorGoal) integer(s *state) float64 {
	n, all := g.ref.IntegerMACs(s.compressed.Graph)
	return float64(n) / float64(max(1, all))
}

// rank orders operators by what they save for what they cost.
func (g *errorGoal) rank(ctx context.Context, plain *state) (list []ptq.Candidate, bits []int, err error) {
	probe := orDefault(g.o.Control.Probe, defaultErrorProbe)
	cal := nncf.Calibration(ctx, g.o.Data)
	ref, err := nncf.NewReference(ctx, plain.float.Graph, func() compress.Batches { return cal.Batches(probe) }, g.o.Threads)
	if err != nil {
		return nil, nil, err
	}
	units, err := sensitivity.Units(ctx, ref, plain.float.Graph, plain.compressed.Graph, func(done, all int, scope string) {
		if done%20 == 0 {
			g.o.note("layer %d of %d: %s", done+1, all, scope)
		}
	})
	if err != nil {
		return nil, nil, err
	}
	for _, u := range byGain(units) {
		e := bounds(u.Errors)
		list = append(list, ptq.Candidate{Revert: ptq.Revert{Scope: u.Scope}, Error: slices.Max(e), Output: u.Worst.Output, Errors: e, MACs: u.MACs})
		bits = append(bits, u.Bits)
	}
	return list, bits, nil
}

func (*errorGoal) keep(*searchFile) {}

func (g *errorGoal) report(r *Result, f *searchFile) {
	r.Search.MaxError = &g.o.Control.MaxError
	r.Search.Outputs = &OutputErrors{Samples: g.ref.Samples, Before: f.Plain}
	r.Search.Integer = &IntegerShare{Before: f.Steps[0].Integer, After: f.Best().Integer}
	r.Samples = g.ref.Samples
}

// measureFile completes the report of output errors by those of the file: where
// float32 rounding moves values to a neighbouring point of their grids, it is
// another model than the one that was measured before.
func (o QuantizeOptions) measureFile(ctx context.Context, m *nncf.Model, r *SearchReport) error {
	file, err := onnx.Load(o.Output)
	if err == nil {
		err = pass.Canonicalize(file, nil)
	}
	if err != nil {
		return fmt.Errorf("reading the exported model back: %w", err)
	}
	g := &errorGoal{o: o, m: m}
	g.o.Note = nil
	if err := serve(file, g.o.note, o.Held); err != nil { // it may have its fixed batch again
		return err
	}
	if err := g.begin(ctx, nil, false); err != nil {
		return err
	}
	if r.Outputs.After, err = g.ref.Errors(ctx, file); err != nil {
		return err
	}
	if worst := sensitivity.WorstOutput(r.Outputs.After); r.Reached && float64(worst.Bound) > *r.MaxError {
		r.Reached = false
		o.note("the file is off by %.3g %% at output %s, more than the simulated model: float32 rounding, see the report", 100*float64(worst.Bound), worst.Output)
	}
	return nil
}

var errNoHeld = errors.New("a budget of output errors needs data to measure them on, beside those of calibration")

// writeRows writes the report for people.
func (s *SearchReport) writeRows(row func(format string, args ...any), reached string) {
	if s.MaxError == nil {
		row("budget of %g points\t%s, %d models tried", *s.MaxDrop, reached, len(s.Steps))
	} else {
		row("budget of %g %% output error\t%s, %d models tried", 100**s.MaxError, reached, len(s.Steps))
		row("multiplications on integers\t%.1f %% (%.1f %% with nothing given back)", 100*s.Integer.After, 100*s.Integer.Before)
		row("")
		row("relative error of %d samples\tmedian\tat most\tSQNR\tworst\tmedian before", s.Outputs.Samples)
		for i, e := range s.Outputs.After {
			row("output %s\t%.3g %%\t%.3g %%\t%s dB\t%.3g %% (sample %d)\t%.3g %%", e.Output, 100*e.Median, 100*e.Bound, e.SQNR.Text(), 100*e.Worst, e.WorstSample, 100*s.Outputs.Before[i].Median)
		}
		row("")
	}
	for _, x := range s.Reverts {
		row("%s\t%s\t%s", destination(x.Revert), x.Scope, x.Why)
	}
}

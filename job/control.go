package job

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress/ptq"
	"github.com/go-nncf/nncf/compress/quantization"
	"github.com/go-nncf/nncf/compress/sensitivity"
	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/internal/atomicfile"
	"github.com/go-nncf/nncf/train"
)

// AccuracyControl returns layers to more bits or to float, the most harmful ones
// first, until a budget is met: of top-1 accuracy, for which one layer is returned
// at a time, or of the relative error of the outputs, which needs no labels and
// falls with every layer, so that many are returned at once.
//
// The best model so far is always in the output file; what was tried is in
// NAME.search.json beside it, from which the same command goes on after an
// interruption, and with another budget.
type AccuracyControl struct {
	MaxDrop float64 // in points of top-1
	// MaxError, unless 0, is the budget instead: the relative error ‖y−x‖₂/‖x‖₂ of an
	// output y against the float model's x, the median over images, of the output for
	// which it is largest. The samples of [QuantizeOptions].Held keep it with a
	// confidence of 95 %: a median that just fits would fail on every other set.
	MaxError float64
	// Return is where layers go: [ptq.ReturnToFloat], the default, or
	// [ptq.ReturnTo16].
	Return   string
	MaxSteps int // models tried; 0: as many as it takes
	Probe    int // samples that layers are ranked on; 0: 50, for output errors 16
}

// SearchReport is what accuracy control did.
type SearchReport struct {
	MaxDrop  *float64 `json:"max_drop,omitempty"`
	MaxError *float64 `json:"max_error,omitempty"`
	Reached  bool     `json:"reached"` // the result is within the budget
	// Reverts are the layers that were given back, each with the rule and why.
	Reverts []Returned `json:"reverts"`
	// IgnoredScopes are the layers that were returned to float, for the
	// quantization section of a configuration.
	IgnoredScopes []string         `json:"ignored_scopes"`
	Steps         []ptq.SearchStep `json:"steps"`

	// With MaxError: the outputs of the plain model, of the file, read back, and the
	// shares of multiplications on integers of at most 8 bits in both.
	Outputs *OutputErrors `json:"output_errors,omitempty"`
	Integer *IntegerShare `json:"integer_macs,omitempty"`
}

// Returned is a layer that was given back.
type Returned struct {
	ptq.Revert
	Rule string `json:"rule"`
	Why  string `json:"why,omitempty"`
}

// searchFile is NAME.search.json.
type searchFile struct {
	*ptq.SearchState
	FloatMetrics *train.Metrics `json:"float_metrics,omitempty"`
	BestMetrics  *train.Metrics `json:"best_metrics,omitempty"`
	// Plain are the errors of the model before anything is given back.
	Plain []sensitivity.OutputError `json:"plain_errors,omitempty"`
}

// goal is what a search is after.
type goal interface {
	// begin prepares measuring; resumed says that f was read from a file.
	begin(ctx context.Context, f *searchFile, resumed bool) error
	objective(f *searchFile) ptq.Objective
	bisect() bool
	measure(ctx context.Context, s *state, f *searchFile) (ptq.Trial, error)
	// rank lists what can be given back, first things first, and the bits it has.
	rank(ctx context.Context, plain *state) ([]ptq.Candidate, []int, error)
	// keep is called when the model measured last is the best so far.
	keep(f *searchFile)
	// report completes the result with what is known of the best model.
	report(r *Result, f *searchFile)
}

const (
	defaultProbe      = 50
	defaultErrorProbe = 16
)

// control runs the search on m and returns the best model, which is in the
// output file.
func (o QuantizeOptions) control(ctx context.Context, m *nncf.Model, r *Result) (*state, error) {
	c := o.Control
	path := strings.TrimSuffix(o.Output, filepath.Ext(o.Output)) + ".search.json"
	print, err := o.fingerprint()
	if err != nil {
		return nil, err
	}
	var g goal = &dropGoal{o: o, m: m}
	if c.MaxError > 0 {
		g = &errorGoal{o: o, m: m}
	}
	f := &searchFile{SearchState: &ptq.SearchState{}}
	resumed := readSearch(path, print, f)
	if resumed {
		o.note("going on with the search in %s: %d models tried", path, len(f.Steps))
	} else {
		f = &searchFile{SearchState: &ptq.SearchState{Fingerprint: print}}
	}
	if err := g.begin(ctx, f, resumed); err != nil {
		return nil, err
	}
	build := func(ctx context.Context, reverts []ptq.Revert) (*state, error) {
		x := o
		if x.Algorithms, err = ptq.Apply(o.Algorithms, reverts); err != nil {
			return nil, err
		}
		return x.quantize(ctx, m)
	}
	var plain, last, best *state
	search := ptq.Searcher{Objective: g.objective(f), Bisect: g.bisect(), MaxSteps: c.MaxSteps,
		Try: func(ctx context.Context, reverts []ptq.Revert) (ptq.Trial, error) {
			switch n := len(reverts); {
			case n == 0:
				o.note("quantizing on %d samples", o.Samples)
			case g.bisect():
				o.note("%d layers given back", n)
			default:
				o.note("%s returns to %s", reverts[n-1].Scope, destination(reverts[n-1]))
			}
			if last, err = build(ctx, reverts); err != nil {
				return ptq.Trial{}, err
			}
			if len(reverts) == 0 {
				plain = last
			}
			return g.measure(ctx, last, f)
		},
		Rank: func(ctx context.Context) ([]ptq.Candidate, error) {
			if plain == nil {
				if plain, err = build(ctx, nil); err != nil {
					return nil, err
				}
			}
			o.note("ranking layers")
			list, bits, err := g.rank(ctx, plain)
			if err != nil {
				return nil, err
			}
			return ptq.Candidates(list, bits, c.Return), nil
		},
		Save: func(_ *ptq.SearchState, keep bool) error {
			if keep {
				best = last
				g.keep(f)
				if _, err := o.keep(ctx, best, r, false); err != nil {
					return err
				}
			}
			return writeJSON(path, f)
		}}
	if err := search.Search(ctx, f.SearchState); err != nil {
		return nil, err
	}
	step := f.Best()
	if best == nil { // of the file: not in memory
		if best, err = build(ctx, step.Reverts); err != nil {
			return nil, err
		}
	}
	r.Search = &SearchReport{Reached: f.Reached, Reverts: []Returned{}, IgnoredScopes: []string{}, Steps: f.Steps}
	for _, x := range step.Reverts {
		back := Returned{Revert: x, Rule: x.Rule()}
		if i := slices.IndexFunc(f.known(), func(c ptq.Candidate) bool { return c.Revert == x }); i >= 0 {
			back.Why = why(f.known()[i])
		}
		r.Search.Reverts = append(r.Search.Reverts, back)
		if x.Bits == 0 {
			r.Search.IgnoredScopes = append(r.Search.IgnoredScopes, x.Scope)
		}
	}
	g.report(r, f)
	return best, nil
}

// known lists the candidates with what ranking found.
func (f *searchFile) known() []ptq.Candidate {
	return slices.Concat(f.Ranking, f.Candidates, f.Postponed)
}

func why(c ptq.Candidate) string {
	if c.Error == 0 {
		return ""
	}
	on := "the outputs"
	if c.Output != "" {
		on = "output " + c.Output
	}
	return fmt.Sprintf("alone it puts an error of %.2g %% on %s", 100*c.Error, on)
}

// destination is where a revert leads.
func destination(x ptq.Revert) string {
	switch {
	case x.Bits == 0:
		return "float"
	case x.Activations:
		return fmt.Sprintf("activations of %d bits", x.Bits)
	}
	return fmt.Sprintf("%d bits", x.Bits)
}

// dropGoal is a budget of top-1 accuracy.
type dropGoal struct {
	o       QuantizeOptions
	m       *nncf.Model
	metrics train.Metrics // of the model measured last
}

func (g *dropGoal) options() train.Options {
	return train.Options{Threads: g.o.Threads, Logger: g.o.Logger, Progress: g.o.Progress}
}

func (g *dropGoal) begin(ctx context.Context, f *searchFile, resumed bool) error {
	if resumed && f.FloatMetrics != nil && f.BestMetrics != nil {
		return nil
	}
	g.o.note("evaluating the float model")
	m, err := nncf.Evaluate(ctx, g.m.Graph, g.o.Eval, g.options())
	m.Confusion = nil
	f.FloatMetrics, f.Float = &m, m.Top1
	return err
}

func (g *dropGoal) objective(f *searchFile) ptq.Objective {
	return ptq.AccuracyDrop{Float: f.Float, Budget: g.o.Control.MaxDrop}
}

func (g *dropGoal) bisect() bool { return false }

func (g *dropGoal) measure(ctx context.Context, s *state, f *searchFile) (t ptq.Trial, err error) {
	if g.metrics, err = nncf.Evaluate(ctx, s.compressed.Graph, g.o.Eval, g.options()); err != nil {
		return t, err
	}
	g.o.note("top-1 %.2f %%, %+.2f to float", g.metrics.Top1, g.metrics.Top1-f.Float)
	return ptq.Trial{Measure: g.metrics.Top1}, nil
}

func (g *dropGoal) rank(ctx context.Context, plain *state) (list []ptq.Candidate, bits []int, err error) {
	s := SensitivityOptions{Data: g.o.Data, Probe: orDefault(g.o.Control.Probe, defaultProbe), Threads: g.o.Threads, Options: g.o.Options}
	a, err := s.analyze(ctx, plain)
	if err != nil {
		return nil, nil, err
	}
	var scopes []string
	for _, l := range a.Layers {
		width := l.WeightBits
		if l.InputBits > 0 {
			width = min(width, l.InputBits)
		}
		scopes, bits = append(scopes, l.Scope), append(bits, width)
		list = append(list, ptq.Candidate{Revert: ptq.Revert{Scope: l.Scope}, Error: l.OutputError})
	}
	more, widths := otherReaders(plain, scopes)
	for _, s := range more {
		list = append(list, ptq.Candidate{Revert: ptq.Revert{Scope: s}})
	}
	return list, append(bits, widths...), nil
}

func (g *dropGoal) keep(f *searchFile) {
	m := g.metrics
	m.Confusion = nil
	f.BestMetrics = &m
}

func (g *dropGoal) report(r *Result, f *searchFile) {
	r.Float, r.Compressed = f.FloatMetrics, f.BestMetrics
	r.Metrics, r.Samples = *f.BestMetrics, f.BestMetrics.Samples
	r.Search.MaxDrop = &g.o.Control.MaxDrop
}

// otherReaders lists what reads quantized values besides layers, sums above all,
// in the order of the graph. Without them a model whose layers are all in float
// would not be the float one.
func otherReaders(s *state, layers []string) (scopes []string, bits []int) {
	g := s.float.Graph
	width := map[string]int{}
	for _, x := range s.compressed.Setups() {
		q, ok := x.(*quantization.Setup)
		if !ok {
			continue
		}
		for _, y := range q.Quantizers {
			for _, u := range y.Consumers {
				if b, ok := width[u.Node]; !ok || y.Bits < b {
					width[u.Node] = y.Bits
				}
			}
		}
	}
	for _, n := range g.Nodes() {
		if len(n.Out) == 0 || n.Out[0] == nil {
			continue
		}
		b, ok := width[n.Out[0].Name]
		name := first(n.Name, n.Out[0].Name)
		if !ok || slices.Contains(layers, name) {
			continue
		}
		scopes, bits = append(scopes, name), append(bits, b)
	}
	return scopes, bits
}

// fingerprint stands for everything that a search depends on but its budget.
func (o QuantizeOptions) fingerprint() (string, error) {
	b, err := os.ReadFile(o.Model)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	parts := map[string]any{
		"model": hex.EncodeToString(sum[:]), "algorithms": o.Algorithms, "recovery": o.Recovery, "samples": o.Samples,
		"calibration": of(o.Data, o.Data.Seed, o.Data.Shuffle), "return": o.Control.Return,
	}
	if o.Control.MaxError > 0 {
		parts["errors"] = of(o.Held)
	} else {
		parts["evaluation"] = of(o.Eval)
	}
	all, err := json.Marshal(parts)
	if err != nil {
		return "", fmt.Errorf("accuracy control: %w", err)
	}
	sum = sha256.Sum256(all)
	return hex.EncodeToString(sum[:8]), nil
}

// of is what a search depends on of a data set.
func of(l *data.Loader, more ...any) []any {
	return append([]any{l.Dataset.Len(), l.Normalize, fmt.Sprintf("%#v", l.Transforms)}, more...)
}

// readSearch reads a saved search and reports whether it is the one wanted.
func readSearch(path, fingerprint string, f *searchFile) bool {
	b, err := os.ReadFile(path)
	return err == nil && json.Unmarshal(b, f) == nil && f.SearchState != nil && f.Fingerprint == fingerprint && len(f.Steps) > 0
}

// writeJSON writes a file that appears at once, whole.
func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.WriteBytes(path, append(b, '\n'))
}

// Validate reports all problems.
func (c *AccuracyControl) Validate() error {
	var errs []error
	if !(c.MaxDrop >= 0) {
		errs = append(errs, fmt.Errorf("max_drop: got %g, want 0 or more", c.MaxDrop))
	}
	if !(c.MaxError >= 0) {
		errs = append(errs, fmt.Errorf("max_error: got %g, want more than 0", c.MaxError))
	}
	if c.MaxError > 0 && c.MaxDrop > 0 {
		errs = append(errs, fmt.Errorf("got max_drop %g and max_error %g, want one budget", c.MaxDrop, c.MaxError))
	}
	if c.Return != "" && c.Return != ptq.ReturnToFloat && c.Return != ptq.ReturnTo16 {
		errs = append(errs, fmt.Errorf("return_to: got %q, want %s or %s", c.Return, ptq.ReturnToFloat, ptq.ReturnTo16))
	}
	if c.MaxSteps < 0 || c.Probe < 0 {
		errs = append(errs, fmt.Errorf("max_steps, probe: got %d and %d, want 0 or more", c.MaxSteps, c.Probe))
	}
	return errors.Join(errs...)
}

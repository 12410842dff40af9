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
	"github.com/go-nncf/nncf/internal/atomicfile"
	"github.com/go-nncf/nncf/train"
)

// AccuracyControl returns layers to more bits or to float, the most sensitive
// ones first, until the top-1 accuracy is within a budget.
//
// The best model so far is always in the output file; what was tried is in
// NAME.search.json beside it, from which the same command goes on after an
// interruption, and with another budget.
type AccuracyControl struct {
	MaxDrop  float64 // in points of top-1
	MaxSteps int     // models tried; 0: as many as there are layers
	Probe    int     // samples that layers are ranked on; 0: 50
}

// SearchReport is what accuracy control did.
type SearchReport struct {
	MaxDrop float64      `json:"max_drop"`
	Reached bool         `json:"reached"` // the result is within the budget
	Reverts []ptq.Revert `json:"reverts"`
	// IgnoredScopes are the layers that were returned to float, for the
	// quantization section of a configuration.
	IgnoredScopes []string         `json:"ignored_scopes"`
	Steps         []ptq.SearchStep `json:"steps"`
}

// searchFile is NAME.search.json.
type searchFile struct {
	*ptq.SearchState
	FloatMetrics train.Metrics `json:"float_metrics"`
	BestMetrics  train.Metrics `json:"best_metrics"`
}

const defaultProbe = 50

// control runs the search on m and returns the best model, which is in the
// output file.
func (o QuantizeOptions) control(ctx context.Context, m *nncf.Model, r *Result) (*state, error) {
	c := o.Control
	topt := train.Options{Threads: o.Threads, Logger: o.Logger, Progress: o.Progress}
	path := strings.TrimSuffix(o.Output, filepath.Ext(o.Output)) + ".search.json"
	print, err := o.fingerprint()
	if err != nil {
		return nil, err
	}
	f := &searchFile{SearchState: &ptq.SearchState{}}
	resumed := readSearch(path, print, f)
	if resumed {
		o.note("going on with the search in %s: %d models tried", path, len(f.Steps))
	} else {
		f = &searchFile{SearchState: &ptq.SearchState{Fingerprint: print}}
		o.note("evaluating the float model")
		if f.FloatMetrics, err = nncf.Evaluate(ctx, m.Graph, o.Eval, topt); err != nil {
			return nil, err
		}
		f.FloatMetrics.Confusion = nil
		f.Float = f.FloatMetrics.Top1
	}
	build := func(ctx context.Context, reverts []ptq.Revert) (*state, error) {
		x := o
		if x.Algorithms, err = ptq.Apply(o.Algorithms, reverts); err != nil {
			return nil, err
		}
		return x.quantize(ctx, m)
	}
	var plain, last, best *state
	var metrics train.Metrics
	search := ptq.Searcher{Budget: c.MaxDrop, MaxSteps: c.MaxSteps,
		Try: func(ctx context.Context, reverts []ptq.Revert) (float64, error) {
			if len(reverts) == 0 {
				o.note("quantizing on %d samples", o.Samples)
			} else {
				x := reverts[len(reverts)-1]
				to := "float"
				if x.Bits > 0 {
					to = fmt.Sprintf("%d bits", x.Bits)
				}
				o.note("%s returns to %s", x.Scope, to)
			}
			if last, err = build(ctx, reverts); err != nil {
				return 0, err
			}
			if len(reverts) == 0 {
				plain = last
			}
			if metrics, err = nncf.Evaluate(ctx, last.compressed.Graph, o.Eval, topt); err != nil {
				return 0, err
			}
			o.note("top-1 %.2f %%, %+.2f to float", metrics.Top1, metrics.Top1-f.Float)
			return metrics.Top1, nil
		},
		Rank: func(ctx context.Context) ([]ptq.Revert, error) {
			if plain == nil {
				if plain, err = build(ctx, nil); err != nil {
					return nil, err
				}
			}
			o.note("ranking layers")
			s := SensitivityOptions{Data: o.Data, Probe: orDefault(c.Probe, defaultProbe), Threads: o.Threads, Options: o.Options}
			a, err := s.analyze(ctx, plain)
			if err != nil {
				return nil, err
			}
			var scopes []string
			var bits []int
			for _, l := range a.Layers {
				width := l.WeightBits
				if l.InputBits > 0 {
					width = min(width, l.InputBits)
				}
				scopes, bits = append(scopes, l.Scope), append(bits, width)
			}
			more, widths := otherReaders(plain, scopes)
			return ptq.Candidates(append(scopes, more...), append(bits, widths...)), nil
		},
		Save: func(_ *ptq.SearchState, keep bool) error {
			if keep {
				best = last
				f.BestMetrics = metrics
				f.BestMetrics.Confusion = nil
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
	if best == nil {
		if best, err = build(ctx, step.Reverts); err != nil {
			return nil, err
		}
	}
	r.Float, r.Compressed = &f.FloatMetrics, &f.BestMetrics
	r.Metrics, r.Samples = f.BestMetrics, f.BestMetrics.Samples
	r.Search = &SearchReport{MaxDrop: c.MaxDrop, Reached: f.Reached, Reverts: step.Reverts, IgnoredScopes: []string{}, Steps: f.Steps}
	for _, x := range step.Reverts {
		if x.Bits == 0 {
			r.Search.IgnoredScopes = append(r.Search.IgnoredScopes, x.Scope)
		}
	}
	return best, nil
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
	all, err := json.Marshal(map[string]any{
		"model": hex.EncodeToString(sum[:]), "algorithms": o.Algorithms, "recovery": o.Recovery, "samples": o.Samples,
		"calibration": []any{o.Data.Dataset.Len(), o.Data.Seed, o.Data.Shuffle, o.Data.Normalize, fmt.Sprintf("%#v", o.Data.Transforms)},
		"evaluation":  []any{o.Eval.Dataset.Len(), o.Eval.Normalize, fmt.Sprintf("%#v", o.Eval.Transforms)},
	})
	if err != nil {
		return "", fmt.Errorf("accuracy control: %w", err)
	}
	sum = sha256.Sum256(all)
	return hex.EncodeToString(sum[:8]), nil
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
	if c.MaxSteps < 0 || c.Probe < 0 {
		errs = append(errs, fmt.Errorf("max_steps, probe: got %d and %d, want 0 or more", c.MaxSteps, c.Probe))
	}
	return errors.Join(errs...)
}

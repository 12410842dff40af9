package pruning

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"

	"github.com/go-nncf/nncf/channel"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/internal/atomicfile"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// LeGR are the parameters of learned global ranking (Chin et al. 2020): every
// cluster gets a scale and a shift that make the importances of its filters
// comparable to those of others. They are found by evolution: a candidate prunes
// to MaxPruning, and the less the outputs of the pruned model, with its batch
// normalization adapted, differ from those of the float model, the better it is.
//
// The original trains every candidate for 200 steps instead and measures its
// validation loss, which needs labels and some hours; train_steps is accepted
// and has no effect.
type LeGR struct {
	Generations int     `json:"generations,omitempty"` // default 400
	TrainSteps  int     `json:"train_steps,omitempty"`
	MaxPruning  float64 `json:"max_pruning,omitempty"` // default: the target
	Seed        *uint64 `json:"random_seed,omitempty"` // default 42
	Samples     int     `json:"num_samples,omitempty"` // that candidates are compared on, default 256
}

// Coefficient turns an importance x into Scale·x + Shift.
type Coefficient struct {
	Scale float64 `json:"scale"`
	Shift float64 `json:"shift"`
}

func (k Coefficient) apply(x float64) float64 { return k.Scale*x + k.Shift }

// Sizes of the evolution, those of the original at its 400 generations; shorter
// searches have a smaller population, so that most of them is evolution too.
const (
	maxPopulation = 64
	perParent     = 6   // generations for each member of the population
	perTournament = 4   // members for each that competes to be a parent
	mutated       = 0.1 // share of the clusters
)

// Validate reports all problems.
func (l LeGR) Validate() error {
	var errs []error
	for _, n := range []struct {
		key string
		v   int
	}{{"generations", l.Generations}, {"train_steps", l.TrainSteps}, {"num_samples", l.Samples}} {
		if n.v < 0 {
			errs = append(errs, fmt.Errorf("params.legr_params.%s: got %d, want 0 or more", n.key, n.v))
		}
	}
	if !(l.MaxPruning >= 0 && l.MaxPruning < 1) {
		errs = append(errs, fmt.Errorf("params.legr_params.max_pruning: got %g, want 0 to below 1", l.MaxPruning))
	}
	return errors.Join(errs...)
}

// coefficients reads those of load_ranking_coeffs_path.
func (s *Setup) coefficients() error {
	path := s.Options.Params.LoadCoeffs
	if path == "" {
		return nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("load_ranking_coeffs_path: %w", err)
	}
	if err := json.Unmarshal(b, &s.Coefficients); err != nil {
		return fmt.Errorf("load_ranking_coeffs_path %s: %w", path, err)
	}
	if len(s.Coefficients) != len(s.Clusters) {
		return fmt.Errorf("load_ranking_coeffs_path %s: got coefficients of %d clusters, want %d", path, len(s.Coefficients), len(s.Clusters))
	}
	return nil
}

// candidate is a member of the population.
type candidate struct {
	k    []Coefficient
	loss float64
}

// learn finds the coefficients.
func (c *Controller) learn(ctx context.Context, r compress.Runner, cal compress.Calibration) error {
	o := c.setup.Options
	l := o.Params.LeGR
	generations, level, seed, samples := 400, o.target(), uint64(42), 256
	if l.Generations > 0 {
		generations = l.Generations
	}
	if l.MaxPruning > 0 {
		level = l.MaxPruning
	}
	if l.Seed != nil {
		seed = *l.Seed
	}
	if l.Samples > 0 {
		samples = l.Samples
	}
	rng := rand.New(rand.NewPCG(seed, 0x6c656772)) // "legr"
	scores := c.importances()
	spread := make([]float64, len(scores))
	for i, s := range scores {
		spread[i] = deviation(s)
	}
	want, err := c.outputs(ctx, r, c.plain, cal, samples)
	if err != nil {
		return err
	}
	identity := make([]Coefficient, len(scores))
	for i := range identity {
		identity[i].Scale = 1
	}
	population := min(maxPopulation, max(2, generations/perParent))
	tournament := max(1, population/perTournament)
	var all []candidate
	best := candidate{loss: math.Inf(1)}
	for gen := range generations {
		next := slices.Clone(identity)
		switch {
		case gen < population-1 && gen < generations-1:
			for i := range next {
				next[i] = Coefficient{math.Exp(rng.NormFloat64()), spread[i] * rng.NormFloat64()}
			}
		case gen >= population:
			parent := all[rng.IntN(len(all))]
			for range tournament - 1 {
				if x := all[rng.IntN(len(all))]; x.loss < parent.loss {
					parent = x
				}
			}
			next = slices.Clone(parent.k)
			s := 1 - float64(gen)/(1.25*float64(generations))
			for range max(1, int(mutated*float64(len(next)))) {
				i := rng.IntN(len(next))
				next[i].Scale *= math.Exp(s * rng.NormFloat64())
				next[i].Shift += spread[i] * rng.NormFloat64()
			}
		}
		x := candidate{k: next}
		if x.loss, err = c.judge(ctx, r, cal, scores, next, level, samples, want); err != nil {
			return err
		}
		if x.loss < best.loss {
			best = x
		}
		if all = append(all, x); len(all) > population {
			all = all[1:] // the oldest dies
		}
	}
	if best.k == nil {
		return errors.New("no candidate computes finite outputs; check the data, or a smaller max_pruning")
	}
	c.state.Coefficients = best.k
	c.setup.Coefficients = best.k
	if path := o.Params.SaveCoeffs; path != "" {
		b, err := json.MarshalIndent(best.k, "", "  ")
		if err != nil {
			return err
		}
		if err := atomicfile.WriteBytes(path, append(b, '\n')); err != nil {
			return fmt.Errorf("save_ranking_coeffs_path: %w", err)
		}
	}
	return nil
}

// judge prunes a copy by the coefficients and returns the mean squared
// difference of its outputs.
func (c *Controller) judge(ctx context.Context, r compress.Runner, cal compress.Calibration, scores [][]float64, k []Coefficient, level float64, samples int, want []*tensor.Tensor) (float64, error) {
	list := make([]ranked, len(scores))
	for i, s := range scores {
		mine := make([]float64, len(s))
		for j, x := range s {
			mine[j] = k[i].apply(x)
		}
		list[i] = newRanked(mine, nil, c.setup.Options.Params.multiple(), c.clusters[i].Members[0].Width)
	}
	kept, err := c.setup.Options.choose(list, level, c.costs)
	if err != nil {
		return 0, err
	}
	g := c.plain.Clone()
	for _, v := range g.Stored() {
		v.Data = v.Data.Clone()
	}
	var choices []channel.Choice
	for i, x := range c.clusters {
		for _, ch := range list[i].order[:x.Channels-kept[i]] {
			choices = append(choices, channel.Choice{Value: x.members[0].Value.Name, Axis: x.members[0].Axis, Entries: x.members[0].Of(ch)})
		}
	}
	if _, err := channel.Remove(g, choices, nil); err != nil {
		return 0, err
	}
	if err := compress.AdaptBatchNorm(ctx, r, g, cal, samples, 0, 0); err != nil {
		return 0, err
	}
	got, err := c.outputs(ctx, r, g, cal, samples)
	if err != nil {
		return 0, err
	}
	sum, n := 0.0, 0
	for i, t := range got {
		for j, x := range t.F32() {
			d := float64(x) - float64(want[i].F32()[j])
			sum += d * d
		}
		n += t.Len()
	}
	if math.IsNaN(sum) {
		return math.Inf(1), nil
	}
	return sum / float64(max(1, n)), nil
}

// outputs runs a graph and returns copies of its first output.
func (c *Controller) outputs(ctx context.Context, r compress.Runner, g *ir.Graph, cal compress.Calibration, samples int) ([]*tensor.Tensor, error) {
	var out []*tensor.Tensor
	err := r.Run(ctx, g, g.Outputs[:1], cal.Batches(samples), func(got []*tensor.Tensor) error {
		out = append(out, got[0].Clone())
		return nil
	})
	return out, err
}

func deviation(x []float64) float64 {
	mean, v := 0.0, 0.0
	for _, e := range x {
		mean += e / float64(len(x))
	}
	for _, e := range x {
		v += (e - mean) * (e - mean) / float64(len(x))
	}
	return math.Sqrt(v)
}

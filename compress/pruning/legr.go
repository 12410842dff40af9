package pruning

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"time"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/internal/atomicfile"
)

// LeGR are the parameters of learned global ranking (Chin et al. 2020): every
// cluster gets a scale and a shift that make the importances of its filters
// comparable to those of others. They are found by evolution: a candidate prunes
// to MaxPruning, and the less the outputs of the pruned model differ from those
// of the float model, the better it is. Both normalize by the statistics of the
// batch, unless batches are tiny.
//
// The original trains every candidate for 200 steps instead and measures its
// validation loss, which needs labels and some hours; train_steps is accepted
// and has no effect.
type LeGR struct {
	Generations int     `json:"generations,omitempty"` // default 400
	TrainSteps  int     `json:"train_steps,omitempty"`
	MaxPruning  float64 `json:"max_pruning,omitempty"` // default: the target
	Seed        *uint64 `json:"random_seed,omitempty"` // default 42
	Samples     int     `json:"num_samples,omitempty"` // that candidates are compared on, default 64
}

// Coefficient turns an importance x into Scale·x + Shift.
type Coefficient struct {
	Scale float64 `json:"scale"`
	Shift float64 `json:"shift"`
}

func (k Coefficient) apply(x float64) float64 { return k.Scale*x + k.Shift }

// Defaults of [LeGR].
const (
	defaultGenerations = 400
	defaultLeGRSeed    = 42
	defaultLeGRSamples = 64
)

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

// evolution proposes candidates, one in each generation, and remembers how good
// they were.
type evolution struct {
	rng         *rand.Rand
	spread      []float64 // standard deviation of the importances of each cluster
	generations int
	population  int

	alive []candidate // the oldest first
	best  candidate
}

func newEvolution(l LeGR, scores [][]float64) *evolution {
	e := &evolution{generations: cmp.Or(l.Generations, defaultGenerations), best: candidate{loss: math.Inf(1)}}
	e.rng = rand.New(rand.NewPCG(compress.ValueOr(l.Seed, defaultLeGRSeed), 0x6c656772)) // "legr"
	e.population = min(maxPopulation, max(2, e.generations/perParent))
	for _, s := range scores {
		e.spread = append(e.spread, deviation(s))
	}
	return e
}

// propose returns the candidate of a generation: random ones at first, the
// identity among them, then mutations of good ones.
func (e *evolution) propose(generation int) []Coefficient {
	k := make([]Coefficient, len(e.spread))
	switch {
	case generation < e.population-1 && generation < e.generations-1:
		for i := range k {
			k[i] = Coefficient{math.Exp(e.rng.NormFloat64()), e.spread[i] * e.rng.NormFloat64()}
		}
	case generation < e.population:
		for i := range k {
			k[i].Scale = 1
		}
	default:
		parent := e.alive[e.rng.IntN(len(e.alive))]
		for range max(1, e.population/perTournament) - 1 {
			if x := e.alive[e.rng.IntN(len(e.alive))]; x.loss < parent.loss {
				parent = x
			}
		}
		copy(k, parent.k)
		s := 1 - float64(generation)/(1.25*float64(e.generations))
		for range max(1, int(mutated*float64(len(k)))) {
			i := e.rng.IntN(len(k))
			k[i].Scale *= math.Exp(s * e.rng.NormFloat64())
			k[i].Shift += e.spread[i] * e.rng.NormFloat64()
		}
	}
	return k
}

func (e *evolution) add(x candidate) {
	if x.loss < e.best.loss {
		e.best = x
	}
	if e.alive = append(e.alive, x); len(e.alive) > e.population {
		e.alive = e.alive[1:]
	}
}

// learn finds the coefficients.
func (c *Controller) learn(ctx context.Context, r compress.Runner, cal compress.Calibration) error {
	p := c.setup.Options.Params
	scores := c.importances()
	e := newEvolution(p.LeGR, scores)
	j, err := c.newJudge(ctx, cal, scores)
	if err != nil {
		return err
	}
	begin := time.Now()
	report := func(i int) {
		if cal.Progress == nil {
			return
		}
		at := compress.InitProgress{Phase: "ranking", Step: i, Steps: e.generations, Status: fmt.Sprintf("%d models tried", j.tried)}
		if !math.IsInf(e.best.loss, 1) {
			at.Status = fmt.Sprintf("best %.2f %% off the float model, %s", 100*math.Sqrt(e.best.loss), at.Status)
		}
		if i > 0 {
			at.Remaining = time.Since(begin) / time.Duration(i) * time.Duration(e.generations-i)
		}
		cal.Progress(at)
	}
	err = j.run(ctx, r, func(loss func([]Coefficient) (float64, error)) error {
		for i := range e.generations {
			k := e.propose(i)
			l, err := loss(k)
			if err != nil {
				return err
			}
			e.add(candidate{k, l})
			report(i + 1)
		}
		return nil
	})
	if failed := j.save(); failed != nil && cal.Note != nil {
		cal.Note("%v", failed)
	}
	if err != nil {
		return err
	}
	if e.best.k == nil {
		return errors.New("no candidate computes finite outputs; check the data, or a smaller max_pruning")
	}
	c.state.Coefficients = e.best.k
	c.setup.Coefficients = e.best.k
	if path := p.SaveCoeffs; path != "" {
		b, err := json.MarshalIndent(e.best.k, "", "  ")
		if err != nil {
			return err
		}
		if err := atomicfile.WriteBytes(path, append(b, '\n')); err != nil {
			return fmt.Errorf("save_ranking_coeffs_path: %w", err)
		}
	}
	return nil
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

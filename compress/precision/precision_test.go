package precision

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// random makes a problem with costs proportional to bits.
func random(seed uint64, layers int, widths ...int) *Problem {
	rng := rand.New(rand.NewPCG(seed, 1))
	p := &Problem{}
	for i := range layers {
		l := Layer{Name: string(rune('a' + i)), Trace: rng.ExpFloat64()}
		flops := float64(1 + rng.IntN(1000))
		size := 10 * rng.ExpFloat64()
		for _, b := range widths {
			l.Choices = append(l.Choices, Choice{b, flops * float64(b), l.Trace * size * math.Exp2(-2*float64(b))})
		}
		p.Base += flops * 8
		p.Layers = append(p.Layers, l)
	}
	return p
}

func TestOrdered_Counts(t *testing.T) {
	// Counts of the original, docs of its searches: Σ_j C(m,j)·C(L-1,j-1).
	for _, c := range []struct {
		layers, want int
		widths       []int
	}{{53, 54, []int{4, 8}}, {53, 1485, []int{2, 4, 8}}, {4, 5, []int{4, 8}}, {4, 15, []int{2, 4, 8}}} {
		list := Ordered(random(1, c.layers, c.widths...))
		if len(list) != c.want {
			t.Errorf("%d layers with %v: got %d configurations, want %d", c.layers, c.widths, len(list), c.want)
		}
		p := random(1, c.layers, c.widths...)
		for _, x := range list {
			for i := range x.Bits {
				for j := range x.Bits {
					if p.Layers[i].Trace < p.Layers[j].Trace && x.Bits[i] > x.Bits[j] {
						t.Fatalf("%v: the layer of smaller trace has more bits", x.Bits)
					}
				}
			}
		}
	}
}

// all enumerates every configuration.
func all(p *Problem) []Config {
	var out []Config
	bits := make([]int, len(p.Layers))
	var fill func(i int)
	fill = func(i int) {
		if i == len(bits) {
			if p.keepsTied(bits) {
				out = append(out, p.Evaluate(bits))
			}
			return
		}
		for _, c := range p.Layers[i].Choices {
			bits[i] = c.Bits
			fill(i + 1)
		}
	}
	fill(0)
	return out
}

func TestSearch_IsOptimal(t *testing.T) {
	for seed := range uint64(20) {
		p := random(seed, 8, 2, 4, 8)
		if seed%2 == 1 {
			p.Tied = [][]int{{0, 3}, {5, 6, 7}}
			p.Layers[6].Choices = p.Layers[6].Choices[1:]
		}
		list := all(p)
		for _, ratio := range []float64{1, 1.2, 1.5, 1.9} {
			want, ok := Best(list, ratio)
			if !ok {
				continue
			}
			r, err := Search(t.Context(), p, ratio, Auto)
			if err != nil {
				t.Fatal(err)
			}
			if r.Search != OverAll || r.Chosen.Metric != want.Metric || r.Chosen.Ratio < ratio*(1-slack) {
				t.Errorf("seed %d, ratio %g: got %s %v, want %v", seed, ratio, r.Search, r.Chosen, want)
			}
			o, ok := Best(Ordered(p), ratio)
			if ok && o.Metric < r.Chosen.Metric {
				t.Errorf("seed %d, ratio %g: ordered %g beats exact %g", seed, ratio, o.Metric, r.Chosen.Metric)
			}
			b, ok := ExactFor(t.Context(), p, ratio, o, boundStates)
			if !ok || math.Abs(b.Metric-want.Metric) > 1e-12*want.Metric {
				t.Errorf("seed %d, ratio %g: bounded search found %g, want %g", seed, ratio, b.Metric, want.Metric)
			}
			if !slices.IsSortedFunc(r.ExactFront, func(a, b Config) int { return int(math.Copysign(1, a.Ratio-b.Ratio)) }) {
				t.Errorf("seed %d: the front is not in the order of ratios", seed)
			}
		}
	}
}

// A network with 60 layers of different costs and three widths, whose whole
// front is long, is still solved exactly for one ratio.
func TestExactFor_Large(t *testing.T) {
	p := random(7, 60, 2, 4, 8)
	r, err := Search(t.Context(), p, 1.6, Auto)
	if err != nil {
		t.Fatal(err)
	}
	if r.Search != OverAll {
		t.Errorf("got search %s, want exact", r.Search)
	}
	if o, _ := Best(r.Ordered, 1.6); o.Metric < r.Chosen.Metric {
		t.Errorf("ordered %g beats exact %g", o.Metric, r.Chosen.Metric)
	}
}

func TestSearch_RatioOutOfRange(t *testing.T) {
	p := random(3, 5, 4, 8)
	for _, ratio := range []float64{0.5, 2.5, math.NaN()} {
		_, err := Search(t.Context(), p, ratio, Auto)
		var e *RatioError
		if !errors.As(err, &e) || e.Low != 1 || e.High != 2 {
			t.Errorf("ratio %g: got error %v, want one that says 1 to 2", ratio, err)
		}
	}
	narrow := random(3, 5, 2, 4) // every configuration is at least twice as cheap
	if r, err := Search(t.Context(), narrow, 1.5, Auto); err != nil || r.Chosen.Ratio != 2 {
		t.Errorf("widths 2 and 4, ratio 1.5: got %+v, error %v, want 4 bits everywhere", r, err)
	}
	for _, ratio := range []float64{1, 2} {
		if _, err := Search(t.Context(), p, ratio, Auto); err != nil {
			t.Errorf("ratio %g: %v", ratio, err)
		}
	}
}

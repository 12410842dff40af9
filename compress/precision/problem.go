package precision

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Choice is one bit width of a layer.
type Choice struct {
	Bits   int
	Cost   float64 // of the layer at this width, 0 or more
	Metric float64 // expected harm, 0 or more
}

// Layer is one weight and what may be done with it.
type Layer struct {
	Name  string
	Trace float64 // by which Ordered sorts
	// Choices have ascending, different bits.
	Choices []Choice
}

// Problem is a network to choose for.
type Problem struct {
	Layers []Layer
	// Base is the cost at 8 bits everywhere: the ratio is Base over the cost.
	Base float64
	// Tied lists groups of layers, by index, that must have the same bits.
	Tied [][]int
}

// Config is a choice for every layer.
type Config struct {
	Bits   []int   `json:"bits"`
	Metric float64 `json:"metric"`
	Cost   float64 `json:"cost"`
	Ratio  float64 `json:"ratio"`
}

// Check reports what makes the problem unsolvable.
func (p *Problem) Check() error {
	var errs []error
	if len(p.Layers) == 0 {
		return errors.New("there is no layer to choose bits for")
	}
	for _, l := range p.Layers {
		if len(l.Choices) == 0 {
			errs = append(errs, fmt.Errorf("%s: no bit width is allowed", l.Name))
		}
		for i, c := range l.Choices {
			if i > 0 && c.Bits <= l.Choices[i-1].Bits {
				errs = append(errs, fmt.Errorf("%s: got bits out of order", l.Name))
			}
			if !(c.Cost >= 0) || !(c.Metric >= 0) || math.IsInf(c.Cost, 0) || math.IsInf(c.Metric, 0) {
				errs = append(errs, fmt.Errorf("%s at %d bits: got cost %g and metric %g, want finite numbers of 0 or more", l.Name, c.Bits, c.Cost, c.Metric))
			}
		}
	}
	for _, g := range p.Tied {
		if len(p.shared(g)) == 0 {
			errs = append(errs, fmt.Errorf("%s must have the same bits, and no width is allowed for all of them", p.names(g)))
		}
	}
	return errors.Join(errs...)
}

func (p *Problem) names(group []int) string {
	var s strings.Builder
	for i, k := range group {
		if i > 0 {
			s.WriteString(", ")
		}
		s.WriteString(p.Layers[k].Name)
	}
	return s.String()
}

// at returns the choice of a layer with the given bits.
func (l *Layer) at(bits int) (Choice, bool) {
	for _, c := range l.Choices {
		if c.Bits == bits {
			return c, true
		}
	}
	return Choice{}, false
}

// shared returns the bits that all layers of a group have.
func (p *Problem) shared(group []int) []int {
	var list []int
	for _, c := range p.Layers[group[0]].Choices {
		ok := true
		for _, k := range group[1:] {
			_, has := p.Layers[k].at(c.Bits)
			ok = ok && has
		}
		if ok {
			list = append(list, c.Bits)
		}
	}
	return list
}

// Evaluate returns the configuration with the given bits, summed in the order of
// the layers. Bits that a layer does not have are a bug.
func (p *Problem) Evaluate(bits []int) Config {
	c := Config{Bits: slices.Clone(bits)}
	for i := range p.Layers {
		x, ok := p.Layers[i].at(bits[i])
		if !ok {
			panic(fmt.Sprintf("precision: layer %d has no choice of %d bits", i, bits[i]))
		}
		c.Metric += x.Metric
		c.Cost += x.Cost
	}
	c.Ratio = p.ratio(c.Cost)
	return c
}

func (p *Problem) ratio(cost float64) float64 {
	if cost == 0 {
		return 1
	}
	return p.Base / cost
}

// Bounds returns the least and the largest ratio there is.
func (p *Problem) Bounds() (low, high float64) {
	most, least := 0.0, 0.0
	done := make([]bool, len(p.Layers))
	for _, g := range p.groups() {
		hi, lo := 0.0, math.Inf(1)
		for _, b := range p.shared(g) {
			sum := 0.0
			for _, k := range g {
				c, _ := p.Layers[k].at(b)
				sum += c.Cost
			}
			hi, lo = max(hi, sum), min(lo, sum)
		}
		for _, k := range g {
			done[k] = true
		}
		most, least = most+hi, least+lo
	}
	return p.ratio(most), p.ratio(least)
}

// groups returns the tied groups and every other layer as a group of its own, by
// first layer.
func (p *Problem) groups() [][]int {
	of := make([]int, len(p.Layers))
	for i := range of {
		of[i] = -1
	}
	for i, g := range p.Tied {
		for _, k := range g {
			of[k] = i
		}
	}
	var list [][]int
	seen := make([]bool, len(p.Tied))
	for k, g := range of {
		switch {
		case g < 0:
			list = append(list, []int{k})
		case !seen[g]:
			seen[g] = true
			list = append(list, p.Tied[g])
		}
	}
	return list
}

// RatioError says that no configuration has the wanted ratio.
type RatioError struct{ Got, Low, High float64 }

func (e *RatioError) Error() string {
	if e.High <= 1 {
		return fmt.Sprintf("compression_ratio: got %.4g, the allowed bits leave no choice: the ratio is %.4g to %.4g; allow fewer bits", e.Got, e.Low, e.High)
	}
	return fmt.Sprintf("compression_ratio: got %.4g, want %.4g to %.4g, which is what the allowed bits can reach", e.Got, e.Low, e.High)
}

// slack keeps rounding from refusing a ratio that is just reached.
const slack = 1e-9

// CheckRatio reports a ratio above what can be reached, or below both 1 and the
// least there is.
func (p *Problem) CheckRatio(ratio float64) error {
	low, high := p.Bounds()
	low = min(low, 1)
	if !(ratio >= low*(1-slack) && ratio <= high*(1+slack)) {
		return &RatioError{ratio, low, high}
	}
	return nil
}

// Best returns the first configuration of least metric that has the ratio.
func Best(list []Config, ratio float64) (best Config, ok bool) {
	for _, c := range list {
		if c.Ratio >= ratio*(1-slack) && (!ok || c.Metric < best.Metric) {
			best, ok = c, true
		}
	}
	return best, ok
}

// Front returns the configurations that no other one beats in both ratio and
// metric, by ascending ratio.
func Front(list []Config) []Config {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b Config) int {
		switch {
		case a.Ratio > b.Ratio:
			return -1
		case a.Ratio < b.Ratio:
			return 1
		case a.Metric < b.Metric:
			return -1
		case a.Metric > b.Metric:
			return 1
		}
		return 0
	})
	var out []Config
	for _, c := range list {
		if len(out) == 0 || c.Metric < out[len(out)-1].Metric {
			out = append(out, c)
		}
	}
	slices.Reverse(out)
	return out
}

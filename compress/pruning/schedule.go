package pruning

import (
	"math"

	"github.com/go-nncf/nncf/compress/schedule"
)

// level is the rate of an epoch; frozen reports that masks do not change from
// this epoch on. With n0 = num_init_steps, E = pruning_steps, P0 and P the first
// and the last level, t = epoch - n0:
//
//	baseline                0 before n0, then P
//	exponential             1 - (1-P0)·((1-P)/(1-P0))^(t/(E-1))
//	exponential_with_bias   a·exp(-k·t) + b: P0 at 0, ¾P at (E-1)/8, P at E-1
//
// and never above P. Formulas and the end E-1 are those of the original, 1.7.
func (o Options) level(epoch int) (rate float64, frozen bool) {
	p := o.Params
	t := epoch - p.NumInitSteps
	if t < 0 {
		return 0, false
	}
	target, steps := o.target(), p.steps()
	switch p.Schedule {
	case "baseline":
		return target, true
	case "exponential_with_bias":
		return biased(o.first(), target, steps-1, t), t >= steps
	}
	s := schedule.Exponential{Init: o.first(), Final: target, Epochs: float64(steps - 1)}
	return s.Level(float64(t)), t >= steps
}

// biased is the exponential with bias after t of n epochs.
func biased(first, target float64, n, t int) float64 {
	if t >= n || target <= first {
		return target
	}
	a, b, k := biasedCoefficients(first, target, float64(n))
	return min(target, a*math.Exp(-k*float64(t))+b)
}

// biasedCoefficients solves a + b = P0, a·e^(-kn) + b = P, a·e^(-kn/8) + b = ¾P.
// With y = e^(-kn/8) and c = (¾P-P0)/(P-P0) that is (1-y)/(1-y⁸) = c, which falls
// from 1 at y = 0 to 1/8 at y = 1. Where ¾P lies below the straight line from P0
// to P, at c ≤ 1/8, the curve is that line, as near as an exponential comes.
func biasedCoefficients(first, target, n float64) (a, b, k float64) {
	c := (0.75*target - first) / (target - first)
	lo, hi := 0.0, 1-1e-9
	if c > 1.0/8 {
		for range 200 {
			y := (lo + hi) / 2
			if (1-y)/(1-math.Pow(y, 8)) > c {
				lo = y
			} else {
				hi = y
			}
		}
	}
	y := (lo + hi) / 2
	if c <= 1.0/8 {
		y = 1 - 1e-6
	}
	k = -8 * math.Log(y) / n
	a = (target - first) / (math.Pow(y, 8) - 1)
	return a, first - a, k
}

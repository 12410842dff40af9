package norm

import (
	"fmt"
	"math"
)

// BlockRows is the number of rows (pixels) of c channels one call of Stats or
// GradStats should cover: about 16 thousand elements, at least 32 rows, a whole
// number of periods of length p. It depends on shapes only.
func BlockRows(c, p int) int {
	per := max(1, p/c)
	rows := max(32, 16384/c)
	return (rows + per - 1) / per * per
}

// StatsLen is the length of the partial sums of one block.
func StatsLen(p int) int { return 2 * p }

// Stats writes the sums of a block to part: Σ(x−shift), then Σ(x−shift)², each
// of the length of shift.
func Stats(part, x, shift []float32) {
	checkPart(len(part), StatsLen(len(shift)), len(shift), len(x))
	clear(part)
	p := len(shift)
	for at := 0; at < len(x); {
		n, w := step(p, len(x)-at)
		active.stats(part[:w], part[p:p+w], x[at:at+n], shift[:w])
		at += n
	}
}

// Moments folds the partial sums of blocks, given one after the other, to the
// mean and the biased variance per channel. shift is the one Stats used, rows
// the number of rows of all blocks together.
func Moments(mean, variance, part, shift []float32, rows int) {
	c, p := len(mean), len(shift)
	checkFold(len(part), StatsLen(p), p, c)
	m := float64(rows)
	for ch := range mean {
		var s, q float64
		for b := 0; b < len(part); b += 2 * p {
			for i := b + ch; i < b+p; i += c {
				s += float64(part[i])
				q += float64(part[i+p])
			}
		}
		s /= m
		mean[ch] = float32(float64(shift[ch]) + s)
		variance[ch] = float32(max(0, q/m-s*s))
	}
}

// InvStd sets dst[c] = 1/√(variance[c]+eps).
func InvStd(dst, variance []float32, eps float32) {
	for i, v := range variance[:len(dst)] {
		dst[i] = float32(1 / math.Sqrt(float64(v)+float64(eps)))
	}
}

// UpdateRunning sets running += momentum·(factor·batch − running), momentum
// being the weight of the new batch. factor is 1, or rows/(rows−1) for an
// unbiased running variance.
func UpdateRunning(running, batch []float32, momentum, factor float64) {
	for i, v := range batch[:len(running)] {
		r := float64(running[i])
		running[i] = float32(r + momentum*(factor*float64(v)-r))
	}
}

// Affine fills scale and shift, of a period's length, with γ·invStd and
// β − mean·γ·invStd. A nil gamma counts as 1, a nil beta as 0.
func Affine(scale, shift, gamma, beta, mean, invStd []float32) {
	c := len(mean)
	checkFold(0, 1, len(scale), c)
	shift = shift[:len(scale)]
	for ch := range mean {
		s := float64(invStd[ch])
		if gamma != nil {
			s *= float64(gamma[ch])
		}
		t := -float64(mean[ch]) * s
		if beta != nil {
			t += float64(beta[ch])
		}
		scale[ch], shift[ch] = float32(s), float32(t)
	}
	for n := c; n < len(scale); n *= 2 {
		copy(scale[n:], scale[:n])
		copy(shift[n:], shift[:n])
	}
}

// Grid is a quantizer's grid per channel: the fields of quant.Grid, with the
// same meaning, of a period's length.
type Grid struct {
	Low, High, Scale, Zero []float32
}

func (g *Grid) check(p int) {
	if len(g.Low) != p || len(g.High) != p || len(g.Scale) != p || len(g.Zero) != p {
		panic(fmt.Sprintf("norm: grid of %d, %d, %d, %d entries, want %d", len(g.Low), len(g.High), len(g.Scale), len(g.Zero), p))
	}
}

// Tail is what follows the affine map of a normalization in the same pass. The
// zero value is nothing.
type Tail struct {
	// Residual is added; with ResScale it is first multiplied by ResScale and
	// ResShift is added, per channel: the other branch's own normalization.
	Residual           []float32
	ResScale, ResShift []float32
	// Act bounds the result to [Lo, Hi] afterwards.
	Act Act
	// Grid, if not nil, quantizes the result last.
	Grid *Grid
}

// Act is a clip to [Lo, Hi]; the zero value does nothing. Its gradient passes
// where Lo < v < Hi. To pass at the bounds too, as the gradient of ONNX Clip
// does, give the gradient functions the next float32 outside.
type Act struct {
	On     bool
	Lo, Hi float32
}

// Relu returns the rectifier: Lo 0, Hi +Inf.
func Relu() Act { return Act{On: true, Hi: float32(math.Inf(1))} }

// Relu6 returns the clip to [0, 6].
func Relu6() Act { return Act{On: true, Hi: 6} }

func (a Act) bounds() (lo, hi float32) {
	if a.On {
		return a.Lo, a.Hi
	}
	return float32(math.Inf(-1)), float32(math.Inf(1))
}

// Apply sets dst[i] = Q(clip(x[i]·scale[c] + shift[c] + residual)), without the
// parts that t leaves out. dst may be x or the residual.
func Apply(dst, x, scale, shift []float32, t Tail) {
	_ = x[:len(dst)]
	p := len(scale)
	checkPart(p, len(shift), p, len(dst))
	lo, hi := t.Act.bounds()
	q := t.Grid
	if q != nil {
		q.check(p)
	}
	switch {
	case t.Residual == nil:
		if q == nil {
			active.apply(dst, x, scale, shift, lo, hi)
		} else {
			active.applyQ(dst, x, scale, shift, lo, hi, q.Low, q.High, q.Scale, q.Zero)
		}
	case t.ResScale == nil:
		_ = t.Residual[:len(dst)]
		if q == nil {
			active.applyAdd(dst, x, t.Residual, scale, shift, lo, hi)
		} else {
			active.applyAddQ(dst, x, t.Residual, scale, shift, lo, hi, q.Low, q.High, q.Scale, q.Zero)
		}
	default:
		_ = t.Residual[:len(dst)]
		checkPart(len(t.ResScale), p, p, len(dst))
		checkPart(len(t.ResShift), p, p, len(dst))
		if q == nil {
			active.applyTwo(dst, x, t.Residual, scale, shift, t.ResScale, t.ResShift, lo, hi)
		} else {
			active.applyTwoQ(dst, x, t.Residual, scale, shift, t.ResScale, t.ResShift, lo, hi, q.Low, q.High, q.Scale, q.Zero)
		}
	}
}

func checkPart(got, want, p, n int) {
	if got != want {
		panic(fmt.Sprintf("norm: got a slice of %d, want %d", got, want))
	}
	if p == 0 && n > 0 {
		panic("norm: no channels")
	}
}

func checkFold(part, block, p, c int) {
	if c == 0 || p%c != 0 || part%block != 0 {
		panic(fmt.Sprintf("norm: cannot fold %d sums, period %d, into %d channels", part, p, c))
	}
}

// step returns how many of the elements left a kernel that sums per channel
// should take at once, and the width of its rows. The kernel walks a few
// columns down all rows of a call, then the next few: so the rows are whole
// periods that fit the first-level cache, or eight long ones, which are read as
// parallel streams. The order of summation is the same for any step.
func step(p, left int) (n, width int) {
	if left < p {
		return left, left
	}
	return min(left/p, max(8, 2048/p)) * p, p
}

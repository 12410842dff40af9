// Package axis describes which input positions an output position of a
// sliding window reads, along one axis, for windows and for their transposes.
// It holds no data and no loops over data; packages conv and depthwise do.
package axis

// A Tap is one position of the kernel: index K of the weights, and the input
// position it reads relative to Step·(index in the phase).
type Tap struct{ K, Off int }

// A Phase is the part of the output positions that share their taps: First,
// First+OutStep, …, N in all. Its taps are ordered by ascending Off, at equal
// distances.
type Phase struct {
	First, N int
	Taps     []Tap
}

// An Axis is the phases that make up the output positions.
type Axis struct {
	Step    int // input positions between neighbours of a phase
	OutStep int // output positions between them
	Phases  []Phase
}

// Forward describes out[q] = Σ_k in[stride·q + dilation·k - pad], q < out.
func Forward(out, k, stride, pad, dilation int) Axis {
	p := Phase{N: out}
	for i := range k {
		p.Taps = append(p.Taps, Tap{i, i*dilation - pad})
	}
	return Axis{stride, 1, []Phase{p}}
}

// Backward describes the transpose of Forward: out[i] is the sum of in[q] over
// the k and q with i = stride·q + dilation·k - pad, i < out. The positions i
// fall into one phase for each remainder by the stride; some have no taps.
func Backward(out, k, stride, pad, dilation int) Axis {
	a := Axis{Step: 1, OutStep: stride}
	for r := range min(stride, out) {
		p := Phase{First: r, N: (out - r + stride - 1) / stride}
		for i := k - 1; i >= 0; i-- {
			if d := r + pad - i*dilation; d%stride == 0 {
				p.Taps = append(p.Taps, Tap{i, d / stride})
			}
		}
		a.Phases = append(a.Phases, p)
	}
	return a
}

// Valid returns the taps first ≤ t < end of p that read inside an input of n
// positions, for the output of index q in the phase.
func (a Axis) Valid(p *Phase, q, n int) (first, end int) {
	at := q * a.Step
	end = len(p.Taps)
	for first < end && at+p.Taps[first].Off < 0 {
		first++
	}
	for first < end && at+p.Taps[end-1].Off >= n {
		end--
	}
	return first, end
}

// Inside returns the outputs lo ≤ q < hi of p all of whose taps read inside an
// input of n positions; lo = hi if there are none.
func (a Axis) Inside(p *Phase, n int) (lo, hi int) {
	if len(p.Taps) == 0 {
		return 0, 0
	}
	least, most := p.Taps[0].Off, p.Taps[len(p.Taps)-1].Off
	for lo < p.N && lo*a.Step+least < 0 {
		lo++
	}
	hi = p.N
	for hi > lo && (hi-1)*a.Step+most >= n {
		hi--
	}
	return lo, hi
}

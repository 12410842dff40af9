package ptq

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

const (
	// roundingRows is how many windows of a layer's input its errors are taken
	// from: several times the weights of one output for most layers.
	roundingRows = 2048
	// maxRoundingInputs bounds the weights of one output: the matrix of their
	// products has its square.
	maxRoundingInputs = 2304
	// roundingSweeps bounds the descent; it ends earlier, when no change helps.
	roundingSweeps = 20
)

// learnRounding rounds every weight of a layer up or down so that the layer's
// result is as close to the float one as can be: with d the rounding errors of
// one output's weights and x a window of the input, it makes
//
//	E[(d·x)²] = dᵀ·E[x·xᵀ]·d
//
// small, which is the objective of AdaRound (Nagel et al. 2020, equation 13). Where
// that relaxes the choices and trains them, here they are changed one at a time
// as long as one change helps: no learning rate, no randomness but the windows
// looked at, and the same objective falls with every step. It starts at rounding
// to nearest.
func learnRounding(ctx context.Context, r compress.Runner, float, quantized *ir.Graph, samples int, cal compress.Calibration, t *rewrite.Trace) error {
	note := rewrite.New(quantized, "learn-rounding", t)
	var list []*rounding
	var want []*ir.Value
	at := map[*ir.Value]int{}
	for i, l := range layers(float) {
		q, ok := findLayer(quantized, l.name())
		if !ok || !q.quantizedWeight() {
			continue
		}
		x, why := newRounding(l, q, uint64(i))
		if why != "" {
			note.Note("%s: rounds to nearest, %s", l.label(), why)
			continue
		}
		list = append(list, x)
		if v := l.input(); v.Kind != ir.Input {
			if _, ok := at[v]; !ok {
				at[v] = len(want)
				want = append(want, v)
			}
		}
	}
	var fed []*tensor.Tensor
	batches := func(yield func([]*tensor.Tensor, error) bool) {
		for b, err := range cal.Batches(samples) {
			fed = b
			if !yield(b, err) {
				return
			}
		}
	}
	err := r.Run(ctx, float, want, batches, func(got []*tensor.Tensor) error {
		for _, x := range list {
			if i, ok := at[x.float.input()]; ok {
				x.collect(got[i], samples)
				continue
			}
			for i, v := range float.Inputs {
				if v == x.float.input() {
					x.collect(fed[i], samples)
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("learned rounding: %w", err)
	}
	for _, x := range list {
		if err := ctx.Err(); err != nil {
			return err
		}
		changed, before, after := x.descend()
		if changed > 0 {
			note.Note("%s: %d weights round the other way, the error of the result falls from %.3g to %.3g", x.float.label(), changed, math.Sqrt(before), math.Sqrt(after))
		}
	}
	return note.Commit()
}

// rounding is the work on one layer.
type rounding struct {
	float, quantized layer
	groups           int
	inputs           int         // weights of one output
	gram             [][]float32 // by group: Σ x·xᵀ
	rows             int
	rng              *rand.Rand
	window           func(x *tensor.Tensor, sample, group int, rng *rand.Rand, row []float32)
	row              []float32
}

// newRounding prepares a layer, or says why it is left alone.
func newRounding(l, q layer, stream uint64) (*rounding, string) {
	x := &rounding{float: l, quantized: q, groups: l.groups, rng: rand.New(rand.NewPCG(0, stream))}
	if !q.weight().Def.In[0].IsStored() || len(q.weight().Def.In[0].Uses()) != 1 {
		return nil, "the weight is shared or computed"
	}
	s, ok := l.weight().Type.Shape()
	if !ok {
		return nil, "the weight has open axes"
	}
	switch o := l.node.Op.(type) {
	case op.Conv:
		x.inputs = tensor.Shape(s[1:]).Numel()
		x.window = convWindow(o, s)
	case op.Gemm, op.MatMul:
		x.inputs = s[l.inAxis]
		x.window = rowWindow
	default:
		return nil, "it is " + l.node.Op.Kind()
	}
	if x.inputs > maxRoundingInputs {
		return nil, fmt.Sprintf("an output has %d weights, more than %d", x.inputs, maxRoundingInputs)
	}
	x.gram = make([][]float32, x.groups)
	for g := range x.gram {
		x.gram[g] = make([]float32, x.inputs*x.inputs)
	}
	x.row = make([]float32, x.inputs)
	return x, ""
}

// rowWindow takes a row of the last axis.
func rowWindow(t *tensor.Tensor, sample, _ int, rng *rand.Rand, row []float32) {
	k := len(row)
	rows := t.Len() / t.Shape()[0] / k
	copy(row, t.F32()[(sample*rows+rng.IntN(max(1, rows)))*k:][:k])
}

// convWindow takes what one output position of a convolution sees.
func convWindow(c op.Conv, ws tensor.Shape) func(*tensor.Tensor, int, int, *rand.Rand, []float32) {
	kernel := ws[2:]
	return func(t *tensor.Tensor, sample, group int, rng *rand.Rand, row []float32) {
		s := t.Shape()
		dims := len(kernel)
		w := c.Resolved(s[2:], kernel)
		start := make([]int, dims)
		for d := range dims {
			span := (kernel[d]-1)*w.Dilations[d] + 1
			out := (s[2+d]+w.Pads[d]+w.Pads[dims+d]-span)/w.Strides[d] + 1
			start[d] = rng.IntN(max(1, out))*w.Strides[d] - w.Pads[d]
		}
		plane := tensor.Shape(s[2:]).Numel()
		taps := kernel.Numel()
		for ch := range ws[1] {
			base := (sample*s[1] + group*ws[1] + ch) * plane
			for k := range taps {
				offset, inside, rest, stride := 0, true, k, 1
				for d := dims - 1; d >= 0; d-- {
					p := start[d] + rest%kernel[d]*w.Dilations[d]
					rest /= kernel[d]
					inside = inside && p >= 0 && p < s[2+d]
					offset += p * stride
					stride *= s[2+d]
				}
				v := float32(0)
				if inside {
					v = t.F32()[base+offset]
				}
				row[ch*taps+k] = v
			}
		}
	}
}

// collect adds windows of a batch of the layer's input.
func (x *rounding) collect(t *tensor.Tensor, samples int) {
	n := t.Shape()[0]
	each := max(1, roundingRows/max(1, samples))
	for s := range n {
		for range each {
			if x.rows >= 2*roundingRows {
				return
			}
			x.rows++
			for g := range x.groups {
				x.window(t, s, g, x.rng, x.row)
				gram := x.gram[g]
				for i, v := range x.row {
					if v == 0 {
						continue
					}
					dst := gram[i*x.inputs:][:i+1]
					for j := range dst {
						dst[j] += v * x.row[j]
					}
				}
			}
		}
	}
}

// descend chooses the roundings and writes them to the quantized graph's
// weight. It returns how many differ from the nearest, and the mean square error
// of the results before and after.
func (x *rounding) descend() (changed int, before, after float64) {
	if x.rows == 0 {
		return 0, 0, 0
	}
	for _, gram := range x.gram { // the other triangle
		for i := range x.inputs {
			for j := range i {
				gram[j*x.inputs+i] = gram[i*x.inputs+j]
			}
		}
	}
	q := x.quantized.weight().Def
	stored := q.In[0].Data
	float, ok1 := pass.StoredTensor(x.float.weight())
	nearest, ok2 := pass.StoredTensor(x.quantized.weight())
	steps := gridSteps(q)
	if !ok1 || !ok2 || steps == nil {
		return 0, 0, 0
	}
	s := stored.Shape()
	index, outputs := x.layout(s)
	axis, step := quantizerAxis(q), func(i int) float64 { return steps[0] }
	if axis >= 0 {
		inner := tensor.Shape(s[axis+1:]).Numel()
		step = func(i int) float64 { return steps[i/inner%s[axis]] }
	}
	// Where the grid ends there is nothing beyond; the quantizer itself tells.
	probe := nearest.Clone()
	for i, w := range float.F32() {
		probe.F32()[i] += float32(math.Copysign(step(i), float64(w)-float64(nearest.F32()[i])))
	}
	other, ok := evalQuantizer(q, probe)
	if !ok {
		return 0, 0, 0
	}
	d, grad := make([]float64, x.inputs), make([]float64, x.inputs)
	for o := range outputs {
		gram := x.gram[o/(outputs/x.groups)]
		for k := range d {
			i := index(o, k)
			d[k] = float64(nearest.F32()[i]) - float64(float.F32()[i])
		}
		for k := range grad {
			sum := 0.0
			for j, v := range gram[k*x.inputs:][:x.inputs] {
				sum += float64(v) * d[j]
			}
			grad[k] = sum
			before += sum * d[k]
		}
		flipped := make([]bool, x.inputs)
		for range roundingSweeps {
			moved := false
			for k := range d {
				i := index(o, k)
				to := float64(other.F32()[i])
				if flipped[k] {
					to = float64(nearest.F32()[i])
				}
				delta := to - float64(float.F32()[i]) - d[k]
				if delta == 0 {
					continue
				}
				diag := float64(gram[k*x.inputs+k])
				if change := 2*delta*grad[k] + delta*delta*diag; change >= -1e-9*delta*delta*(diag+1e-30) {
					continue
				}
				moved = true
				flipped[k] = !flipped[k]
				d[k] += delta
				for j, v := range gram[k*x.inputs:][:x.inputs] {
					grad[j] += float64(v) * delta
				}
			}
			if !moved {
				break
			}
		}
		for k := range d {
			i := index(o, k)
			stored.F32()[i] = nearest.F32()[i]
			if flipped[k] {
				stored.F32()[i] = other.F32()[i]
				changed++
			}
			after += grad[k] * d[k]
		}
	}
	n := float64(x.rows * outputs)
	return changed, before / n, max(0, after) / n
}

// layout returns where weight k of output o is, and how many outputs there are.
func (x *rounding) layout(s tensor.Shape) (index func(o, k int) int, outputs int) {
	if _, conv := x.float.node.Op.(op.Conv); conv || x.float.outAxis == 0 {
		return func(o, k int) int { return o*x.inputs + k }, s[0]
	}
	return func(o, k int) int { return k*s[1] + o }, s[1]
}

func quantizerAxis(q *ir.Node) int {
	switch o := q.Op.(type) {
	case op.FakeQuantizeSymmetric:
		return o.Axis
	case op.FakeQuantizeAsymmetric:
		return o.Axis
	}
	return -1
}

// gridSteps returns the distance of a quantizer's points by channel, nil if
// parameters are computed.
func gridSteps(q *ir.Node) []float64 {
	for _, p := range q.In[1:] {
		if !p.IsStored() {
			return nil
		}
	}
	var out []float64
	switch o := q.Op.(type) {
	case op.FakeQuantizeSymmetric:
		for _, v := range q.In[1].Data.F32() {
			size := math.Abs(float64(v))
			if o.LogScale {
				size = math.Exp(float64(v))
			}
			n := o.Levels - 1
			if o.Levels == 0 {
				n = o.High - o.Low
			}
			out = append(out, size*(1-float64(o.Low)/float64(o.High))/float64(n))
		}
	case op.FakeQuantizeAsymmetric:
		low := q.In[1].Data.F32()
		for i, v := range q.In[2].Data.F32() {
			w := float32(math.Abs(float64(v)))
			if o.LogRange {
				w = float32(math.Exp(float64(v)))
			}
			_, w = op.TuneRange(low[i], w, o.Levels, o.Compatible)
			out = append(out, float64(w)/float64(o.Levels-1))
		}
	}
	return out
}

// evalQuantizer quantizes t with the parameters of q.
func evalQuantizer(q *ir.Node, t *tensor.Tensor) (*tensor.Tensor, bool) {
	e, ok := q.Op.(ir.Evaluator)
	if !ok {
		return nil, false
	}
	in := []*tensor.Tensor{t}
	for _, p := range q.In[1:] {
		in = append(in, p.Data)
	}
	out, err := e.Eval(in)
	if err != nil {
		return nil, false
	}
	return out[0], true
}

package op

import (
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// RNN is the simple recurrent cell, over a sequence: h' = f(W·x + R·h + b), with
// f = Tanh unless Activations says otherwise.
//
//	in  0 to 5 as [Recurrent]
//	out 0, 1 as Recurrent
//
// https://onnx.ai/onnx/operators/onnx__RNN.html
type RNN struct{ Recurrent }

var (
	_ ir.Evaluator      = RNN{}
	_ ir.Differentiable = RNN{}
	_ ir.Costed         = RNN{}
	_ ir.QuantTraited   = RNN{}
	_ ir.ManyWeighted   = RNN{}
	_ Cell              = RNN{}
)

var rnnCell = cell{gates: 1, funcs: []string{"Tanh"}, inputs: 6}

func (RNN) Kind() string { return "RNN" }

// With implements [Cell].
func (r RNN) With(part Recurrent) ir.Op {
	r.Recurrent = part
	return r
}

// Functions returns f of each direction.
func (r RNN) Functions() ([]CellFunction, error) { return r.functions(rnnCell) }

func (r RNN) Infer(in []*ir.Value) ([]ir.Type, error) {
	y, state, _, err := r.infer(in, rnnCell)
	if err != nil {
		return nil, err
	}
	return []ir.Type{y, state}, nil
}

func (r RNN) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	s, err := r.newSequence(in, rnnCell)
	if err != nil {
		return nil, err
	}
	y, last := make([]float64, s.stepCount()*s.h), s.newStates()
	a := make([]float64, s.h)
	for d := range s.d {
		for n := range s.n {
			h := s.state(last, d, n)
			copy(h, s.state(s.v[5], d, n))
			s.walk(d, n, func(t int) {
				s.input(a, d, t, n, 1)
				for j := range a {
					a[j] = s.act(d, 0, a[j]+s.recurrent(h, d, 0, j))
				}
				copy(h, a)
				copy(s.yRow(y, d, t, n), h)
			})
		}
	}
	return s.results(y, last)
}

func (r RNN) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	c, err := r.newBackward(b, n, dOut, rnnCell)
	if err != nil {
		return nil, err
	}
	r.BatchFirst, r.Training = false, true
	y := c.forward(r, 1)[0]
	g := b.Multi(RNNGrad{r}, c.name, 3, y, c.in[2], present(c.in, 4), present(c.in, 5), c.dOut[0], c.dOut[1])
	grads := c.weights(need, g[0], g[0], g[2], nil)
	c.state(grads, need, 5, g[1])
	return grads, nil
}

func (r RNN) Cost(n *ir.Node) ir.Cost { return r.cost(n, rnnCell) }

func (RNN) QuantTrait() ir.QuantTrait { return ir.QuantInputs }

func (RNN) Weights(*ir.Node) ir.WeightPorts { return recurrentPorts() }

func (RNN) MoreWeights(n *ir.Node) []ir.WeightPorts { return recurrentWeights(n) }

// RNNGrad goes back through the time of an [RNN]. Internal. Operands and results
// are those that all cells have, see recurrent_grad.go.
type RNNGrad struct{ RNN RNN }

var (
	_ ir.Evaluator         = RNNGrad{}
	_ ir.NonDifferentiable = RNNGrad{}
	_ ir.Costed            = RNNGrad{}
)

func (RNNGrad) Kind() string { return "RNNGrad" }

func (RNNGrad) NoGrad() string { return noSecondGradient }

func (g RNNGrad) Infer(in []*ir.Value) ([]ir.Type, error) {
	out, _, err := g.RNN.inferBack(in, rnnCell)
	return out, err
}

func (g RNNGrad) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if err := wantTensors(in, 2); err != nil {
		return nil, err
	}
	s, err := g.RNN.newBack(in, rnnCell)
	if err != nil {
		return nil, err
	}
	none := func(d, n int) {}
	return s.goBack(none, func(d, n, t, _ int, _, dh, da []float64) []float64 {
		for j, v := range s.yRow(s.v[0], d, t, n) {
			da[j] = dh[j] * s.slope(d, 0, v)
		}
		clear(dh)
		return da
	}, none), nil
}

// Cost counts the product with r.
func (RNNGrad) Cost(n *ir.Node) ir.Cost { return backCost(n) }

func decodeRNN(d *Decoder) ir.Op { return RNN{decodeRecurrent(d, rnnCell)} }

func encodeRNN(e *Encoder) { encodeRecurrent(e, e.Node.Op.(RNN).Recurrent, 2) }

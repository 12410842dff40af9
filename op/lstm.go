package op

import (
	"fmt"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// LSTM is the long short-term memory cell, over a sequence:
//
//	i = f(Wᵢx + Rᵢh + Pᵢ⊙c + b)    o = f(Wₒx + Rₒh + Pₒ⊙c' + b)
//	f = f(W_f x + R_f h + P_f⊙c + b), or 1-i with InputForget
//	g = g(W_c x + R_c h + b)       c' = f⊙c + i⊙g       h' = o⊙h(c')
//
// with gates in the order i, o, f, g in w, r and b, and i, o, f in p. Functions
// f, g and h are Sigmoid, Tanh and Tanh unless Activations says otherwise.
//
//	in  0 to 5 as [Recurrent]   6 initial c [D, N, H], optional: zero   7 p [D, 3·H], optional
//	out 0, 1 as Recurrent       2 last c [D, N, H]
//	    in training also 3 gates [D, T, N, 4·H]   4 c [D, T, N, H]
//
// Training outputs have no gradient.
// https://onnx.ai/onnx/operators/onnx__LSTM.html
type LSTM struct {
	Recurrent
	InputForget bool
}

var (
	_ ir.Evaluator      = LSTM{}
	_ ir.Differentiable = LSTM{}
	_ ir.Costed         = LSTM{}
	_ ir.QuantTraited   = LSTM{}
	_ ir.ManyWeighted   = LSTM{}
	_ Cell              = LSTM{}
)

var lstmCell = cell{gates: 4, funcs: []string{"Sigmoid", "Tanh", "Tanh"}, inputs: 8}

func (LSTM) Kind() string { return "LSTM" }

// With implements [Cell].
func (l LSTM) With(part Recurrent) ir.Op {
	l.Recurrent = part
	return l
}

// Functions returns f, g and h of one direction after the other.
func (l LSTM) Functions() ([]CellFunction, error) { return l.functions(lstmCell) }

func (l LSTM) Infer(in []*ir.Value) ([]ir.Type, error) {
	y, state, s, err := l.infer(in, lstmCell)
	if err != nil {
		return nil, err
	}
	out := []ir.Type{y, state, state}
	if l.Training {
		out = append(out, l.steps(y, 4*s.h), l.steps(y, s.h))
	}
	return out, nil
}

func (l LSTM) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	s, err := l.newSequence(in, lstmCell)
	if err != nil {
		return nil, err
	}
	h := s.h
	y, lastH, lastC := make([]float64, s.stepCount()*h), s.newStates(), s.newStates()
	gates, cells := make([]float64, s.stepCount()*4*h), make([]float64, s.stepCount()*h)
	for d := range s.d {
		var p []float64
		if s.v[7] != nil {
			p = s.v[7][d*3*h:][:3*h]
		}
		peep := func(gate, j int, c float64) float64 {
			if p == nil {
				return 0
			}
			return p[gate*h+j] * c
		}
		for n := range s.n {
			hs, c := s.state(lastH, d, n), s.state(lastC, d, n)
			copy(hs, s.state(s.v[5], d, n))
			copy(c, s.state(s.v[6], d, n))
			s.walk(d, n, func(t int) {
				a := s.row(gates, d, t, n, 4*h)
				s.input(a, d, t, n, 4)
				for gate := range 4 {
					for j := range h {
						a[gate*h+j] += s.recurrent(hs, d, gate, j)
					}
				}
				for j := range h {
					i := s.act(d, 0, a[j]+peep(0, j, c[j]))
					f := 1 - i
					if !l.InputForget {
						f = s.act(d, 0, a[2*h+j]+peep(2, j, c[j]))
					}
					g := s.act(d, 1, a[3*h+j])
					c[j] = f*c[j] + i*g
					o := s.act(d, 0, a[h+j]+peep(1, j, c[j]))
					hs[j] = o * s.f[3*d+2].Value(c[j])
					a[j], a[h+j], a[2*h+j], a[3*h+j] = i, o, f, g
				}
				copy(s.row(cells, d, t, n, h), c)
				copy(s.yRow(y, d, t, n), hs)
			})
		}
	}
	out, err := s.results(y, lastH, lastC)
	if err == nil && l.Training {
		out = append(out, s.perStep(gates, 4*h), s.perStep(cells, h))
	}
	return out, err
}

func (l LSTM) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	c, err := l.newBackward(b, n, dOut, lstmCell)
	if err != nil {
		return nil, err
	}
	l.BatchFirst, l.Training = false, true
	out := c.forward(l, 5)
	peepholes, outs := present(n.In, 7) != nil && need[7], 4
	if peepholes {
		outs = 5
	}
	g := b.Multi(LSTMGrad{l}, c.name, outs, out[0], c.in[2], present(c.in, 4), present(c.in, 5), c.dOut[0], c.dOut[1],
		out[3], out[4], present(c.in, 6), present(c.in, 7), c.dOut[2])
	grads := c.weights(need, g[0], g[0], g[2], nil)
	c.state(grads, need, 5, g[1])
	c.state(grads, need, 6, g[3])
	if peepholes {
		grads[7] = g[4]
	}
	return grads, nil
}

func (l LSTM) Cost(n *ir.Node) ir.Cost { return l.cost(n, lstmCell) }

func (LSTM) QuantTrait() ir.QuantTrait { return ir.QuantInputs }

func (LSTM) Weights(*ir.Node) ir.WeightPorts { return recurrentPorts() }

func (LSTM) MoreWeights(n *ir.Node) []ir.WeightPorts { return recurrentWeights(n) }

// LSTMGrad goes back through the time of an [LSTM]. Internal. Behind the
// operands and results that all cells have (see recurrent_grad.go):
//
//	in  6 gates [D, T, N, 4·H]   7 c [D, T, N, H]   8 initial c, optional   9 p, optional   10 dc of the last state, optional
//	out 3 dc of the initial state [D, N, H]   4 dp [D, 3·H]
type LSTMGrad struct{ LSTM LSTM }

var (
	_ ir.Evaluator         = LSTMGrad{}
	_ ir.NonDifferentiable = LSTMGrad{}
	_ ir.Costed            = LSTMGrad{}
)

func (LSTMGrad) Kind() string { return "LSTMGrad" }

func (LSTMGrad) NoGrad() string { return noSecondGradient }

func (g LSTMGrad) Infer(in []*ir.Value) ([]ir.Type, error) {
	out, s, err := g.LSTM.inferBack(in, lstmCell, 4, 1, 0, -3, 0)
	if err != nil {
		return nil, err
	}
	if present(in, 6) == nil || present(in, 7) == nil {
		return nil, fmt.Errorf("gates and c are missing")
	}
	return append(out, out[1], ir.MakeType(out[0].DType, s.d, 3*s.h)), nil
}

func (g LSTMGrad) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if err := wantTensors(in, 2); err != nil {
		return nil, err
	}
	s, err := g.LSTM.newBack(in, lstmCell, 4, 1, 0, -3, 0)
	if err != nil {
		return nil, err
	}
	if s.v[6] == nil || s.v[7] == nil {
		return nil, fmt.Errorf("gates and c are missing")
	}
	h := s.h
	dc0, dp := s.newStates(), make([]float64, s.d*3*h)
	dc := make([]float64, h)
	out := s.goBack(func(d, n int) { copy(dc, s.state(s.v[10], d, n)) },
		func(d, n, t, before int, _, dh, da []float64) []float64 {
			a, c, prev := s.row(s.v[6], d, t, n, 4*h), s.row(s.v[7], d, t, n, h), s.state(s.v[8], d, n)
			if before >= 0 {
				prev = s.row(s.v[7], d, before, n, h)
			}
			p, sum := make([]float64, 3*h), dp[d*3*h:][:3*h]
			if s.v[9] != nil {
				p = s.v[9][d*3*h:][:3*h]
			}
			for j := range h {
				i, o, f, gg := a[j], a[h+j], a[2*h+j], a[3*h+j]
				last := s.f[3*d+2]
				hc := last.Value(c[j])
				do := dh[j] * hc * s.slope(d, 0, o)
				dcj := dc[j] + dh[j]*o*last.Slope(hc) + p[h+j]*do
				di, df := dcj*gg, dcj*prev[j]*s.slope(d, 0, f)
				if g.LSTM.InputForget {
					di, df = di-dcj*prev[j], 0
				}
				di *= s.slope(d, 0, i)
				da[j], da[h+j], da[2*h+j], da[3*h+j] = di, do, df, dcj*i*s.slope(d, 1, gg)
				dc[j] = dcj*f + p[j]*di + p[2*h+j]*df
				sum[j] += di * prev[j]
				sum[h+j] += do * c[j]
				sum[2*h+j] += df * prev[j]
			}
			clear(dh)
			return da
		},
		func(d, n int) { copy(s.state(dc0, d, n), dc) })
	return append(out, fromFloats(s.dtype, dc0, s.d, s.n, h), fromFloats(s.dtype, dp, s.d, 3*h)), nil
}

// Cost counts the product with r.
func (LSTMGrad) Cost(n *ir.Node) ir.Cost { return backCost(n) }

func decodeLSTM(d *Decoder) ir.Op {
	return LSTM{Recurrent: decodeRecurrent(d, lstmCell), InputForget: d.Bool("input_forget", false)}
}

func encodeLSTM(e *Encoder) {
	l := e.Node.Op.(LSTM)
	encodeRecurrent(e, l.Recurrent, 3)
	if l.InputForget {
		e.Set("input_forget", 1)
	}
}

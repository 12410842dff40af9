package op

import (
	"fmt"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// GRU is the gated recurrent unit, over a sequence:
//
//	z = f(W_z x + R_z h + b)    r = f(W_r x + R_r h + b)    h' = (1-z)⊙g' + z⊙h
//	g' = g(W_h x + R_h(r⊙h) + b + b')
//	g' = g(W_h x + r⊙(R_h h + b') + b)                      with LinearBeforeReset
//
// with gates in the order z, r, g, and b' the part of b that belongs to R.
// Functions f and g are Sigmoid and Tanh unless Activations says otherwise.
//
//	in  0 to 5 as [Recurrent]
//	out 0, 1 as Recurrent
//	    in training also 2 gates [D, T, N, 3·H]   3 r⊙h, or R_h h + b' with LinearBeforeReset [D, T, N, H]
//
// Training outputs have no gradient.
// https://onnx.ai/onnx/operators/onnx__GRU.html
type GRU struct {
	Recurrent
	LinearBeforeReset bool
}

var (
	_ ir.Evaluator      = GRU{}
	_ ir.Differentiable = GRU{}
	_ ir.Costed         = GRU{}
	_ ir.QuantTraited   = GRU{}
	_ ir.ManyWeighted   = GRU{}
	_ Cell              = GRU{}
)

var gruCell = cell{gates: 3, funcs: []string{"Sigmoid", "Tanh"}, inputs: 6}

func (GRU) Kind() string { return "GRU" }

// With implements [Cell].
func (u GRU) With(part Recurrent) ir.Op {
	u.Recurrent = part
	return u
}

// Functions returns f and g of one direction after the other.
func (u GRU) Functions() ([]CellFunction, error) { return u.functions(gruCell) }

func (u GRU) Infer(in []*ir.Value) ([]ir.Type, error) {
	y, state, s, err := u.infer(in, gruCell)
	if err != nil {
		return nil, err
	}
	out := []ir.Type{y, state}
	if u.Training {
		out = append(out, u.steps(y, 3*s.h), u.steps(y, s.h))
	}
	return out, nil
}

func (u GRU) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	s, err := u.newSequence(in, gruCell)
	if err != nil {
		return nil, err
	}
	h := s.h
	y, last := make([]float64, s.stepCount()*h), s.newStates()
	gates, inner := make([]float64, s.stepCount()*3*h), make([]float64, s.stepCount()*h)
	biases := 3 // of r that add to those of w
	if u.LinearBeforeReset {
		biases = 2
	}
	for d := range s.d {
		for n := range s.n {
			hs := s.state(last, d, n)
			copy(hs, s.state(s.v[5], d, n))
			s.walk(d, n, func(t int) {
				a, k := s.row(gates, d, t, n, 3*h), s.row(inner, d, t, n, h)
				s.input(a, d, t, n, biases)
				for j := range 2 * h {
					a[j] = s.act(d, 0, a[j]+s.recurrent(hs, d, 0, j))
				}
				for j := range h {
					if !u.LinearBeforeReset {
						k[j] = a[h+j] * hs[j]
						continue
					}
					k[j] = s.recurrent(hs, d, 2, j)
					if s.v[3] != nil {
						k[j] += s.v[3][d*6*h+5*h+j]
					}
				}
				for j := range h {
					if u.LinearBeforeReset {
						a[2*h+j] = s.act(d, 1, a[2*h+j]+a[h+j]*k[j])
					} else {
						a[2*h+j] = s.act(d, 1, a[2*h+j]+s.recurrent(k, d, 2, j))
					}
				}
				for j := range h {
					hs[j] = (1-a[j])*a[2*h+j] + a[j]*hs[j]
				}
				copy(s.yRow(y, d, t, n), hs)
			})
		}
	}
	out, err := s.results(y, last)
	if err == nil && u.Training {
		out = append(out, s.perStep(gates, 3*h), s.perStep(inner, h))
	}
	return out, err
}

func (u GRU) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	c, err := u.newBackward(b, n, dOut, gruCell)
	if err != nil {
		return nil, err
	}
	u.BatchFirst, u.Training = false, true
	out := c.forward(u, 4)
	in := []*ir.Value{out[0], c.in[2], present(c.in, 4), present(c.in, 5), c.dOut[0], c.dOut[1], out[2], out[3]}
	var grads []*ir.Value
	var g []*ir.Value
	if u.LinearBeforeReset {
		g = b.Multi(GRUGrad{u}, c.name, 4, in...)
		grads = c.weights(need, g[0], g[3], g[2], nil)
	} else {
		g = b.Multi(GRUGrad{u}, c.name, 3, in...)
		grads = c.weights(need, g[0], g[0], g[2], out[3])
	}
	c.state(grads, need, 5, g[1])
	return grads, nil
}

func (u GRU) Cost(n *ir.Node) ir.Cost { return u.cost(n, gruCell) }

func (GRU) QuantTrait() ir.QuantTrait { return ir.QuantInputs }

func (GRU) Weights(*ir.Node) ir.WeightPorts { return recurrentPorts() }

func (GRU) MoreWeights(n *ir.Node) []ir.WeightPorts { return recurrentWeights(n) }

// GRUGrad goes back through the time of a [GRU]. Internal. Behind the operands
// and results that all cells have (see recurrent_grad.go):
//
//	in  6 gates [D, T, N, 3·H]   7 what the cell keeps besides [D, T, N, H]
//	out 3 with LinearBeforeReset the gradients of what R adds to the arguments [D, T, N, 3·H]
type GRUGrad struct{ GRU GRU }

var (
	_ ir.Evaluator         = GRUGrad{}
	_ ir.NonDifferentiable = GRUGrad{}
	_ ir.Costed            = GRUGrad{}
)

func (GRUGrad) Kind() string { return "GRUGrad" }

func (GRUGrad) NoGrad() string { return noSecondGradient }

func (g GRUGrad) Infer(in []*ir.Value) ([]ir.Type, error) {
	out, _, err := g.GRU.inferBack(in, gruCell, 3, 1)
	if err != nil {
		return nil, err
	}
	if present(in, 6) == nil || present(in, 7) == nil {
		return nil, fmt.Errorf("what the cell keeps is missing")
	}
	if g.GRU.LinearBeforeReset {
		out = append(out, out[0])
	}
	return out, nil
}

func (g GRUGrad) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if err := wantTensors(in, 2); err != nil {
		return nil, err
	}
	s, err := g.GRU.newBack(in, gruCell, 3, 1)
	if err != nil {
		return nil, err
	}
	if s.v[6] == nil || s.v[7] == nil {
		return nil, fmt.Errorf("what the cell keeps is missing")
	}
	h := s.h
	dr := make([]float64, s.stepCount()*3*h)
	none := func(d, n int) {}
	out := s.goBack(none, func(d, n, t, _ int, prev, dh, da []float64) []float64 {
		a, k, rec := s.row(s.v[6], d, t, n, 3*h), s.row(s.v[7], d, t, n, h), s.row(dr, d, t, n, 3*h)
		through := make([]float64, h) // the gradient of r⊙h, or of what R adds to g
		for j := range h {
			da[j] = dh[j] * (prev[j] - a[2*h+j]) * s.slope(d, 0, a[j])
			da[2*h+j] = dh[j] * (1 - a[j]) * s.slope(d, 1, a[2*h+j])
			dh[j] *= a[j]
		}
		if g.GRU.LinearBeforeReset {
			for j := range h {
				da[h+j] = da[2*h+j] * k[j] * s.slope(d, 0, a[h+j])
				through[j] = da[2*h+j] * a[h+j]
			}
			copy(rec, da[:2*h])
			copy(rec[2*h:], through)
			return rec
		}
		for i := range h {
			for j, w := range s.v[1][(d*3*h+2*h+i)*h:][:h] {
				through[j] += da[2*h+i] * w
			}
		}
		for j := range h {
			da[h+j] = through[j] * prev[j] * s.slope(d, 0, a[h+j])
			dh[j] += through[j] * a[h+j]
		}
		return da[:2*h]
	}, none)
	if g.GRU.LinearBeforeReset {
		out = append(out, s.perStep(dr, 3*h))
	}
	return out, nil
}

// Cost counts the product with r.
func (GRUGrad) Cost(n *ir.Node) ir.Cost { return backCost(n) }

func decodeGRU(d *Decoder) ir.Op {
	return GRU{Recurrent: decodeRecurrent(d, gruCell), LinearBeforeReset: d.Bool("linear_before_reset", false)}
}

func encodeGRU(e *Encoder) {
	u := e.Node.Op.(GRU)
	encodeRecurrent(e, u.Recurrent, 2)
	if u.LinearBeforeReset {
		e.Set("linear_before_reset", 1)
	}
}

package op_test

import (
	"strings"
	"testing"

	"github.com/go-nncf/nncf/internal/testkit/gradcheck"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// recurrentCases are cells of 3 or 4 times, 2 samples, 3 inputs and 2 states.
func recurrentCases() []gradcheck.Case {
	rnd := gradcheck.Rand
	lens := tensor.From([]int32{2, 4}, 2)
	both := op.Recurrent{Direction: "bidirectional"}
	in := func(d, gates int) ts { return ts{rnd(1, 4, 2, 3), rnd(2, d, gates*2, 3), rnd(3, d, gates*2, 2)} }
	more := func(list ts, extra ...*tensor.Tensor) ts { return append(append(ts(nil), list...), extra...) }
	first := ts{rnd(1, 2, 4, 3), rnd(2, 2, 8, 3), rnd(3, 2, 8, 2), rnd(4, 2, 16), nil, rnd(5, 2, 2, 2), rnd(6, 2, 2, 2)}
	odd := op.Recurrent{Activations: []string{"Softplus", "ScaledTanh", "Elu"}, Alpha: []float32{1.3, 0.7}, Beta: []float32{0.8}}
	return []gradcheck.Case{
		{Name: "LSTM", Op: op.LSTM{}, Outputs: 3, In: in(1, 4)},
		{Name: "LSTM/last", Op: op.LSTM{}, Outputs: 3, Used: []int{1}, In: more(in(1, 4), rnd(4, 1, 16))},
		{Name: "LSTM/all", Op: op.LSTM{Recurrent: both}, Outputs: 3, In: more(in(2, 4), rnd(4, 2, 16), lens, rnd(5, 2, 2, 2), rnd(6, 2, 2, 2), rnd(7, 2, 6))},
		{Name: "LSTM/training", Op: op.LSTM{Recurrent: op.Recurrent{Direction: "reverse", Training: true}}, Outputs: 5, Used: []int{0, 2},
			In: more(in(1, 4), rnd(4, 1, 16), lens, rnd(5, 1, 2, 2))},
		{Name: "LSTM/input forget", Op: op.LSTM{Recurrent: odd, InputForget: true}, Outputs: 3, In: more(in(1, 4), rnd(4, 1, 16), nil, nil, rnd(6, 1, 2, 2), rnd(7, 1, 6))},
		{Name: "LSTM/batch first", Op: op.LSTM{Recurrent: op.Recurrent{Direction: "bidirectional", BatchFirst: true}}, Outputs: 3, In: first},
		{Name: "LSTM/clip", Op: op.LSTM{Recurrent: op.Recurrent{Clip: 0.9}}, Outputs: 3, In: more(in(1, 4), rnd(4, 1, 16))},

		{Name: "GRU", Op: op.GRU{}, Outputs: 2, In: in(1, 3)},
		{Name: "GRU/all", Op: op.GRU{Recurrent: both}, Outputs: 2, In: more(in(2, 3), rnd(4, 2, 12), lens, rnd(5, 2, 2, 2))},
		{Name: "GRU/linear", Op: op.GRU{Recurrent: both, LinearBeforeReset: true}, Outputs: 2, In: more(in(2, 3), rnd(4, 2, 12), lens, rnd(5, 2, 2, 2))},
		{Name: "GRU/training", Op: op.GRU{Recurrent: op.Recurrent{Direction: "reverse", Training: true, Activations: []string{"Softsign", "Affine"}}, LinearBeforeReset: true},
			Outputs: 4, Used: []int{0, 1}, In: in(1, 3)},

		{Name: "RNN", Op: op.RNN{}, Outputs: 2, In: in(1, 1)},
		{Name: "RNN/all", Op: op.RNN{Recurrent: both}, Outputs: 2, In: more(in(2, 1), rnd(4, 2, 4), lens, rnd(5, 2, 2, 2))},
		{Name: "RNN/batch first", Op: op.RNN{Recurrent: op.Recurrent{BatchFirst: true}}, Outputs: 2, Used: []int{1},
			In: ts{rnd(1, 2, 4, 3), rnd(2, 1, 2, 3), rnd(3, 1, 2, 2), nil, nil, rnd(5, 2, 1, 2)}},
	}
}

// The gradients of recurrent cells against differences of their evaluators.
func TestGrad_Recurrent(t *testing.T) { gradcheck.Run(t, recurrentCases()) }

// The batch axis stays symbolic through a cell, and so does the time.
func TestRecurrent_Symbolic(t *testing.T) {
	g := ir.New("t")
	b := ir.NewBuilder(g, "")
	x := g.AddInput("x", ir.Type{DType: tensor.Float32, Dims: []ir.Dim{ir.Symbol("T"), ir.Symbol("N"), ir.Len(3)}})
	w, r := b.Const("w", gradcheck.Rand(2, 2, 8, 3)), b.Const("r", gradcheck.Rand(3, 2, 8, 2))
	l := op.LSTM{Recurrent: op.Recurrent{Direction: "bidirectional"}}
	out := b.Multi(l, "lstm", 3, x, w, r)
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	if got, want := out[0].Type.String(), "float32[T 2 N 2]"; got != want {
		t.Errorf("y: got %s, want %s", got, want)
	}
	if got, want := out[2].Type.String(), "float32[2 N 2]"; got != want {
		t.Errorf("c: got %s, want %s", got, want)
	}
}

// What a cell refuses, it refuses with the attribute's name and what is allowed.
func TestRecurrent_Refused(t *testing.T) {
	in := []*ir.Value{{Type: ir.MakeType(tensor.Float32, 4, 2, 3)}, {Type: ir.MakeType(tensor.Float32, 1, 6, 3)}, {Type: ir.MakeType(tensor.Float32, 1, 6, 2)}}
	for _, c := range []struct {
		r    op.Recurrent
		want string
	}{
		{op.Recurrent{Direction: "sideways"}, `direction: got "sideways", want forward, reverse or bidirectional`},
		{op.Recurrent{Activations: []string{"Tanh"}}, "activations: got 1 of them (Tanh), want 2"},
		{op.Recurrent{Activations: []string{"Tanh", "Gelu"}}, `activations: got "Gelu", want one of Relu, Tanh`},
		{op.Recurrent{Clip: -1}, "clip: got -1, want a positive bound"},
		{op.Recurrent{HiddenSize: 3}, "hidden_size: got 3"},
		{op.Recurrent{Direction: "bidirectional"}, "r: got float32[1 6 2], want known axes [2 3·H H]"},
	} {
		_, err := op.GRU{Recurrent: c.r}.Infer(in)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %s", c.r, err, c.want)
		}
	}
}

package enginetest

import "github.com/go-nncf/nncf/op"

// recurrentCases are cells and their ways back through time: batches of several
// blocks, both directions, sequences of different lengths, functions that have
// kernels and functions that have none.
func recurrentCases(n int) []testCase {
	n *= 7
	const t, i, h = 5, 6, 9
	lens := make([]int32, n)
	for k := range lens {
		lens[k] = int32((k*3 + 2) % (t + 1))
	}
	length := constant(lens...)
	var l []testCase
	add := func(o op.LSTM, u op.GRU, r op.RNN, lens, bias, state bool) {
		d := o.Directions()
		opt := func(on bool, x operand) operand {
			if on {
				return x
			}
			return omitted
		}
		in := func(g int) []operand {
			return []operand{x(t, n, i), between(-.5, .5, d, g*h, i), between(-.5, .5, d, g*h, h), opt(bias, x(d, 2*g*h)), opt(lens, length), opt(state, x(d, n, h))}
		}
		back := func(g int) []operand {
			return []operand{between(-1, 1, t, d, n, h), between(-.5, .5, d, g*h, h), opt(lens, length), opt(state, x(d, n, h)), opt(bias, x(t, d, n, h)), opt(!bias || state, x(d, n, h))}
		}
		keep := func(c float64, k int) operand { return between(c, 1, d, t, n, k*h) }
		l = append(l,
			testCase{o, append(in(4), opt(state, x(d, n, h)), opt(state && lens, x(d, 3*h))), 3},
			testCase{u, in(3), 2}, testCase{r, in(1), 2})
		o.Training, u.Training = true, true
		l = append(l,
			testCase{o, append(in(4), opt(state, x(d, n, h))), 5}, testCase{u, in(3), 4},
			testCase{op.LSTMGrad{LSTM: o}, append(back(4), keep(0, 4), keep(-1, 1), opt(state, x(d, n, h)), omitted, opt(state, x(d, n, h))), 4},
			testCase{op.GRUGrad{GRU: u}, append(back(3), keep(0, 3), keep(-1, 1)), 3 + map[bool]int{true: 1}[u.LinearBeforeReset]},
			testCase{op.RNNGrad{RNN: r}, back(1), 3})
	}
	add(op.LSTM{}, op.GRU{}, op.RNN{}, false, false, false)
	both := op.Recurrent{Direction: "bidirectional"}
	add(op.LSTM{Recurrent: both}, op.GRU{Recurrent: both}, op.RNN{Recurrent: both}, true, true, true)
	back := op.Recurrent{Direction: "reverse", Clip: 0.7}
	add(op.LSTM{Recurrent: back, InputForget: true}, op.GRU{Recurrent: back, LinearBeforeReset: true}, op.RNN{Recurrent: back}, true, true, false)
	odd := func(f ...string) op.Recurrent { return op.Recurrent{Activations: f, Alpha: []float32{0.3}} }
	add(op.LSTM{Recurrent: odd("HardSigmoid", "Softsign", "Relu")}, op.GRU{Recurrent: odd("HardSigmoid", "Softsign"), LinearBeforeReset: true},
		op.RNN{Recurrent: odd("Elu")}, false, true, true)
	batch := op.Recurrent{BatchFirst: true}
	l = append(l, testCase{op.LSTM{Recurrent: batch}, []operand{x(n, t, i), between(-.5, .5, 1, 4*h, i), between(-.5, .5, 1, 4*h, h)}, 3},
		testCase{op.LSTMGrad{LSTM: op.LSTM{}}, []operand{x(2, 1, n, h), x(1, 4*h, h), omitted, omitted, x(2, 1, n, h), omitted,
			between(0, 1, 1, 2, n, 4*h), x(1, 2, n, h), omitted, x(1, 3*h)}, 5})
	return l
}

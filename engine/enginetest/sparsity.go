package enginetest

import (
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// sparsityCases are masks on weights: small ones, and one of several tasks.
func sparsityCases() []testCase {
	var l []testCase
	for _, shape := range [][]int{{6, 3, 2, 2}, {64, 600}} {
		w, mask := x(shape...), ints(tensor.Uint8, 0, 2, shape...)
		l = append(l, node(op.Mask{}, w, mask))
		for _, o := range []op.RBMask{{}, {Seed: 7, Training: true}} {
			step := scalar[int64](5)
			l = append(l, node(o, w, w, step), testCase{op.RBMaskGrad(o), []operand{w, w, step, w}, 2})
		}
		frozen := scalar[int64](-1)
		l = append(l, node(op.RBMask{Training: true}, w, w, frozen), testCase{op.RBMaskGrad{Training: true}, []operand{w, w, frozen, w}, 2})
		for _, step := range []operand{scalar[int64](0), frozen} {
			l = append(l, node(op.RBLoss{P: 0.05}, between(0.2, 0.4, 1), step, w, x(7, 3)),
				testCase{op.RBLossGrad{P: 0.05}, []operand{x(), between(0.2, 0.4, 1), step, w, x(7, 3)}, 2},
				node(op.RBLoss{P: 0.05, Local: true}, between(0.2, 0.4, 2), step, w, x(7, 3)),
				testCase{op.RBLossGrad{P: 0.05, Local: true}, []operand{x(), between(0.2, 0.4, 2), step, w, x(7, 3)}, 2})
		}
	}
	for _, o := range []op.MovementMask{{Rows: 1, Cols: 1}, {Rows: 32, Cols: 8}, {Rows: 1, Cols: 130}, {Rows: 300, Cols: 1}} {
		r, c := o.Blocks(300, 130)
		w, s, keep, t := x(300, 130), x(r, c), ints(tensor.Uint8, 0, 2, r, c), x()
		l = append(l, node(o, w, s, keep, t), testCase{op.MovementMaskGrad(o), []operand{w, s, keep, t, w}, 2})
	}
	return l
}

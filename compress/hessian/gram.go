package hessian

import (
	"slices"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// This file has the second form of the estimator. Where the scores z are
// piecewise linear in each single weight, as in networks of convolutions,
// normalization by constants, rectifiers and pools, the blocks on the diagonal
// of the Hessian of the cross-entropy have no second derivatives of z in them:
//
//	H_ll = 1/N Σ_n J_nᵀ A_n J_n     J_n = ∂z_n/∂w_l,  A_n = diag(p_n) - p_n p_nᵀ
//	tr H_ll = 1/N E‖Σ_n J_nᵀ a_n‖²  a_n = √p_n∘ξ_n - p_n (√p_nᵀ ξ_n),  ξ of independent ±1
//
// This is Hutchinson's estimator for the product in the other order, which has
// the same trace. One probe takes a backward pass instead of the six that a
// Hessian-vector product takes, and the blocks beside the diagonal, which are
// most of the noise of the products, do not enter. Labels play no part.

// newGram builds the graph: inputs are those of the model and for each probe one
// ξ [N, classes].
func newGram(g *ir.Graph, names []string, batch []*tensor.Tensor, probes int) (*product, error) {
	return newGradients(g, names, batch, probes, func(b *ir.Builder) (list []probed) {
		z := flat(b, scores(b.G))
		prob := b.Op(op.Softmax{Axis: -1}, "hessian/p", z)
		root := b.Op(op.Sqrt{}, "hessian/root", prob)
		axis := b.ConstInts("hessian/axis", 1)
		return []probed{{z, func(xi *ir.Value) *ir.Value {
			r := b.Op(op.Mul{}, "hessian/r", root, xi)
			return b.Op(op.Sub{}, "hessian/a", r, b.Op(op.Mul{}, "hessian/pr", prob, b.Op(op.ReduceSum{KeepDims: true}, "hessian/sum", r, axis)))
		}}}
	})
}

// moving are the operators that are linear, or linear by pieces, in their first
// input, with all others constant.
var moving = map[string]bool{
	"AveragePool": true, "BatchNormalization": true, "Clip": true, "Concat": true, "DepthToSpace": true, "Dropout": true, "Expand": true,
	"Flatten": true, "GlobalAveragePool": true, "GlobalMaxPool": true, "Identity": true, "LeakyRelu": true, "MaxPool": true, "PRelu": true, "Pad": true,
	"ReduceMax": true, "ReduceMean": true, "ReduceSum": true, "Relu": true, "Reshape": true, "Resize": true, "Slice": true, "SpaceToDepth": true,
	"Split": true, "Squeeze": true, "Transpose": true, "Unsqueeze": true, "Neg": true, "Abs": true,
}

// adding are those that are linear in all inputs together.
var adding = map[string]bool{"Add": true, "Sub": true, "Sum": true, "Concat": true, "Max": true, "Min": true, "Mean": true}

// multiplying are those that are linear in each input.
var multiplying = map[string]bool{"Conv": true, "ConvTranspose": true, "Gemm": true, "MatMul": true, "Mul": true, "Div": true}

// piecewiseLinear reports whether the scores of g are piecewise linear in every
// single one of the weights.
func piecewiseLinear(g *ir.Graph, names []string) bool {
	stored := map[*ir.Value]bool{} // follows from stored values alone
	for _, v := range g.Stored() {
		stored[v] = true
	}
	weight := map[*ir.Value]bool{}
	for _, name := range names {
		v := g.Value(name)
		if v == nil || len(v.Uses()) != 1 || slices.Contains(g.Outputs, v) {
			return false
		}
		weight[v] = true
	}
	end := scores(g)
	depends := map[*ir.Value]bool{} // on a weight
	for w := range weight {
		depends[w] = true
	}
	for _, n := range g.Nodes() {
		fixed, on, moved := true, 0, false
		for i, v := range n.In {
			if v == nil {
				continue
			}
			fixed = fixed && stored[v]
			if depends[v] {
				on++
				moved = moved || i > 0
			}
		}
		for _, v := range n.Out {
			if v == nil {
				continue
			}
			stored[v] = fixed && !weight[v]
			if on > 0 && !weight[v] { // what makes a weight lies before it
				depends[v] = true
			}
		}
		if on == 0 || !leadsTo(n, end) {
			continue
		}
		kind := n.Op.Kind()
		switch {
		case adding[kind]:
		case moving[kind] && !moved:
		case multiplying[kind]:
			if !oneFactor(n, stored, weight) {
				return false
			}
			if kind == "Div" && depends[n.In[1]] {
				return false
			}
		default:
			return false
		}
		if bn, ok := n.Op.(op.BatchNormalization); ok && bn.Training {
			return false
		}
	}
	return true
}

// oneFactor reports whether the factors of a product cannot depend on one weight
// both: all but one are a weight, or known.
func oneFactor(n *ir.Node, stored, weight map[*ir.Value]bool) bool {
	open := 0
	for _, v := range n.In[:min(2, len(n.In))] {
		if !stored[v] && !weight[v] {
			open++
		}
	}
	return open <= 1
}

// leadsTo reports whether the scores, and not only a softmax behind them, may
// read the node.
func leadsTo(n *ir.Node, end *ir.Value) bool { return end.Def == nil || n.ID <= end.Def.ID }

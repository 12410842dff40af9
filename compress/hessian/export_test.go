package hessian

import (
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// For tests: graphs of products, and the check for the cheaper form.
var PiecewiseLinear = piecewiseLinear

// ProductGraph returns the graph of Hessian-vector products with one probe; its
// last inputs are the directions, its outputs vᵀ(H v).
func ProductGraph(g *ir.Graph, names []string, batch []*tensor.Tensor) (*ir.Graph, error) {
	p, err := newProduct(g, names, crossEntropy, batch, 1)
	if err != nil {
		return nil, err
	}
	return p.graph, nil
}

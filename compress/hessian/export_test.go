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

// CrossEntropy is a loss as a caller would give it.
var CrossEntropy Loss = crossEntropy

// CacheKey is the key of a model without data.
func CacheKey(g *ir.Graph) (string, error) { return cacheKey(g, nil, &points{}, Options{}) }

package hessian

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-nncf/nncf/autodiff"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// product is the graph of Hessian-vector products for one batch size. Its inputs
// are those of the model, the target, and for each probe one direction per
// weight; its outputs are vᵀ(H v), probe by probe, for each weight in turn.
type product struct {
	graph   *ir.Graph
	outputs []*ir.Value
	weights []ir.Type
	probes  int
	inputs  int // how many tensors of a chunk it reads; the others are directions
}

// newProduct builds the graph for inputs and target like those given, with so
// many probes at once: they share the first-order passes.
func newProduct(g *ir.Graph, names []string, loss Loss, batch []*tensor.Tensor, probes int) (*product, error) {
	s, err := g.Specialize(shapesOf(g, batch))
	if err != nil {
		return nil, err
	}
	p := &product{graph: s, probes: probes, inputs: len(batch)}
	b := ir.NewBuilder(s, "hessian")
	t := s.AddInput(s.UniqueName("target"), ir.TypeOf(batch[len(batch)-1]))
	l, err := loss(b, slices.Clone(s.Outputs), t)
	if err != nil {
		return nil, fmt.Errorf("loss: %w", err)
	}
	weights, err := p.find(names)
	if err != nil {
		return nil, err
	}
	grads, err := autodiff.Grad(s, l, weights)
	if err != nil {
		return nil, fmt.Errorf("gradient: %w", err)
	}
	for k := range probes {
		if err := p.probe(b, weights, grads, k); err != nil {
			return nil, err
		}
	}
	s.Outputs = p.outputs
	s.Prune()
	return p, b.Err()
}

func shapesOf(g *ir.Graph, batch []*tensor.Tensor) map[string][]int {
	shapes := map[string][]int{}
	for i, v := range g.Inputs {
		shapes[v.Name] = batch[i].Shape()
	}
	return shapes
}

// find looks the weights up and keeps their types.
func (p *product) find(names []string) ([]*ir.Value, error) {
	weights := make([]*ir.Value, len(names))
	for i, name := range names {
		if weights[i] = p.graph.Value(name); weights[i] == nil {
			return nil, fmt.Errorf("the graph has no weight %q", name)
		}
		p.weights = append(p.weights, weights[i].Type)
	}
	return weights, nil
}

// probe adds the products of one probe.
func (p *product) probe(b *ir.Builder, weights, grads []*ir.Value, k int) error {
	var along *ir.Value // Σ gradient·v
	dirs := make([]*ir.Value, len(weights))
	for i, w := range weights {
		dirs[i] = p.graph.AddInput(p.graph.UniqueName(fmt.Sprintf("%s/probe%d", w.Name, k)), w.Type)
		if grads[i] == nil {
			continue
		}
		d := b.Op(op.ReduceSum{}, "hessian/dot", b.Op(op.Mul{}, "hessian/product", grads[i], dirs[i]))
		if along != nil {
			d = b.Op(op.Add{}, "hessian/along", along, d)
		}
		along = d
	}
	if err := b.Err(); err != nil {
		return err
	}
	if along == nil {
		return errors.New("the loss depends on none of the weights")
	}
	hv, err := autodiff.Grad(p.graph, along, weights)
	if err != nil {
		return fmt.Errorf("gradient of the gradient: %w", err)
	}
	for i, h := range hv {
		if h == nil { // the loss is linear in the weight, or does not depend on it
			h = b.Const("hessian/zero", tensor.New(tensor.Float32, weights[i].Type.MustShape()...))
		}
		p.outputs = append(p.outputs, b.Op(op.ReduceSum{}, fmt.Sprintf("%s/curvature%d", weights[i].Name, k), b.Op(op.Mul{}, "hessian/product", h, dirs[i])))
	}
	return b.Err()
}

package sparsity

import (
	"errors"
	"fmt"

	"github.com/go-nncf/nncf/ir"
)

// base is what the controllers have in common: masks in a graph.
type base struct {
	// g is the graph under compression, after a clone from when the masks had just
	// been put in: algorithms that come later do not change it.
	g, after *ir.Graph
	layers   []*masked
	// removed is what other algorithms take out of a value, by axis; nil if none does.
	removed func(value string) [][]bool
}

func newBase(g *ir.Graph, list []*masked) base {
	return base{g: g, after: g.Clone(), layers: list}
}

// ReadRemovals implements [compress.RemovalReader]: levels and patterns are those
// of the weights that the exported file has.
func (b *base) ReadRemovals(removed func(value string) [][]bool) { b.removed = removed }

// Loss implements compress.Controller: masks that are not trained have none.
func (*base) Loss(*ir.Builder) (*ir.Value, error) { return nil, nil }

// Reached returns the share of zeros of the masks.
func (b *base) Reached() float64 { return zeroShare(b.Report()) }

func zeroShare(list []LayerReport) float64 {
	zeros, all := 0, 0
	for _, r := range list {
		zeros, all = zeros+r.Zeros, all+r.Elements
	}
	return float64(zeros) / float64(max(1, all))
}

// checkLayers reports what a setup from a file must not have.
func checkLayers(layers []*Layer) error {
	var errs []error
	for i, l := range layers {
		switch {
		case l == nil:
			errs = append(errs, fmt.Errorf("layer %d is null", i))
		case l.Weight == "" || len(l.Consumers) == 0 || l.OutAxis < 0 || l.InAxis < 0:
			errs = append(errs, fmt.Errorf("layer %d is incomplete", i))
		case l.Target != nil && !(*l.Target >= 0 && *l.Target < 1):
			errs = append(errs, fmt.Errorf("layer %d: got target %g", i, *l.Target))
		}
	}
	return errors.Join(errs...)
}

package sparsity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// Constant is the name of the algorithm in configurations.
const Constant = "const_sparsity"

// ConstantOptions is the const_sparsity section of a configuration.
type ConstantOptions struct {
	Algorithm string `json:"algorithm,omitempty"` // "const_sparsity" or empty
	compress.Scopes
}

// Validate reports all problems.
func (o ConstantOptions) Validate() error {
	if o.Algorithm != "" && o.Algorithm != Constant {
		return fmt.Errorf("algorithm: got %q, want %s", o.Algorithm, Constant)
	}
	return nil
}

type constant struct{ o ConstantOptions }

// NewConstant returns constant sparsity: weights that are zero stay zero. The
// model is one that was made sparse before, by this project or another.
func NewConstant(o ConstantOptions) compress.Algorithm { return constant{o} }

// Name implements [compress.Algorithm].
func (constant) Name() string { return Constant }

// Priority implements [compress.Algorithm].
func (constant) Priority() compress.Priority { return compress.PrioritySparsity }

// Setup implements [compress.Algorithm]. Layers without zeros need no mask; a
// model without any is an error, as it is not the model that was meant.
func (a constant) Setup(g *ir.Graph) (compress.Setup, error) {
	if err := a.o.Validate(); err != nil {
		return nil, err
	}
	layers, err := findLayers(g, a.o.Scopes)
	if err != nil {
		return nil, err
	}
	layers = slices.DeleteFunc(layers, func(l *Layer) bool {
		t, ok := pass.StoredTensor(g.Value(l.Weight))
		return !ok || !slices.Contains(t.F32(), 0)
	})
	if len(layers) == 0 {
		return nil, errors.New("the model has no weight that is zero, so there is nothing to keep: load a sparse model, or make this one sparse with magnitude_sparsity")
	}
	return &ConstantSetup{layers}, nil
}

// ConstantSetup is what constant sparsity does to one graph.
type ConstantSetup struct {
	Layers []*Layer `json:"layers"`
}

// Algorithm implements [compress.Setup].
func (*ConstantSetup) Algorithm() string { return Constant }

// RestoreConstant decodes a setup that was marshalled.
func RestoreConstant(raw json.RawMessage) (compress.Setup, error) {
	s := &ConstantSetup{}
	if err := compress.DecodeStrict(raw, s); err != nil {
		return nil, fmt.Errorf("%s setup: %w", Constant, err)
	}
	return s, checkLayers(s.Layers)
}

// Apply implements [compress.Setup]. Names are those of magnitude sparsity.
func (s *ConstantSetup) Apply(g *ir.Graph, t *rewrite.Trace) (compress.Controller, error) {
	list, err := insertAll(g, Constant, s.Layers, t, newMask(false))
	if err != nil {
		return nil, err
	}
	for _, m := range list {
		for i, v := range m.weight().F32() {
			if v == 0 {
				tensor.Data[uint8](m.node.In[1].Data)[i] = 0
			}
		}
	}
	return &ConstantController{newBase(g, list)}, nil
}

// ConstantController is the handle to the masks of constant sparsity.
type ConstantController struct{ base }

var _ compress.Controller = (*ConstantController)(nil)

// Algorithm implements [compress.Controller].
func (*ConstantController) Algorithm() string { return Constant }

// Initialize implements [compress.Controller]: nothing to do.
func (*ConstantController) Initialize(context.Context, compress.Runner, compress.Calibration) error {
	return nil
}

// EpochStep implements [compress.Controller].
func (*ConstantController) EpochStep() {}

// Step implements [compress.Controller].
func (*ConstantController) Step() {}

// Stage implements [compress.Controller].
func (*ConstantController) Stage() compress.Stage { return compress.FullyCompressed }

// Statistics implements [compress.Controller].
func (c *ConstantController) Statistics() compress.Statistics { return c.statistics(c.Report(), -1) }

// State implements [compress.Controller]: masks are states of the graph.
func (*ConstantController) State() (json.RawMessage, error) { return json.RawMessage("{}"), nil }

// LoadState implements [compress.Controller].
func (*ConstantController) LoadState(json.RawMessage) error { return nil }

// Strip implements [compress.Controller].
func (c *ConstantController) Strip(g *ir.Graph, t *rewrite.Trace) error {
	return strip(g, Constant, t, c.layers)
}

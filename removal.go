package nncf

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/go-nncf/nncf/channel"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/binarization"
	"github.com/go-nncf/nncf/compress/pruning"
	"github.com/go-nncf/nncf/compress/sparsity"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/onnx"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/rewrite"
)

// ModelSize is what a model costs.
type ModelSize struct {
	// MACs are the multiply-accumulates of one sample, 0 if shapes are unknown.
	MACs int64 `json:"macs"`
	// Parameters are the elements of all stored floating-point tensors.
	Parameters int64 `json:"parameters"`
	Bytes      int64 `json:"bytes"` // as an ONNX file
	// Milliseconds of one batch on the engine, 0 if it was not run.
	Milliseconds float64 `json:"milliseconds,omitempty"`
}

// Removal is a pruned model with its channels as zeros, and without them: as
// exports write it but for the form of quantizers.
type Removal struct {
	Masked, Shrunk *ir.Graph
	Before, After  ModelSize
}

// Removal returns what cutting pruned channels out makes of the model, or nil if
// no algorithm prunes channels, or they are cut out of the model already.
func (c *Compressed) Removal() (*Removal, error) {
	if len(c.pruners()) == 0 {
		return nil, nil
	}
	var r Removal
	var err error
	if r.Masked, r.Before, err = c.sized(false); err != nil {
		return nil, err
	}
	if r.Shrunk, r.After, err = c.sized(true); err != nil {
		return nil, err
	}
	if r.Before.Parameters == r.After.Parameters {
		return nil, nil
	}
	return &r, nil
}

// checkRemoval refuses to cut filters out of binarized layers: the factor of each
// filter that is left is a mean over weights of which some would go, so the
// smaller model would compute something else. Nor does it cut channels under the
// masks of movement sparsity during training, whose blocks lie across them.
func checkRemoval(algorithms []compress.Algorithm) error {
	binary, cut, blocks, training := false, false, false, false
	for _, a := range algorithms {
		blocks = blocks || a.Name() == sparsity.Movement
		switch a := a.(type) {
		case binarization.Algorithm:
			binary = true
		case pruning.Algorithm:
			cut = a.Options.Params.Removal != pruning.Never
			training = a.Options.Params.Removal == pruning.AtTraining
		}
	}
	if blocks && training {
		return errors.New(`filter_pruning, movement_sparsity: channels cannot be cut out during training while blocks of their weights have scores: set "removal" to "export" in the params of filter_pruning`)
	}
	if binary && cut {
		return errors.New(`filter_pruning, binarization: filters cannot be cut out of binarized layers, whose factors are means over all weights: set "removal" to "never" in the params of filter_pruning, or leave one of the two out`)
	}
	return nil
}

// pruners are the controllers that prune channels.
func (c *Compressed) pruners() []*pruning.Controller {
	var list []*pruning.Controller
	for _, x := range compress.All(c.Controller) {
		if p, ok := x.(*pruning.Controller); ok {
			list = append(list, p)
		}
	}
	return list
}

// sized strips a copy, pruned channels only if cut, and measures it.
func (c *Compressed) sized(cut bool) (*ir.Graph, ModelSize, error) {
	g := deepClone(c.Graph)
	for _, x := range slices.Backward(compress.All(c.Controller)) {
		if _, prunes := x.(*pruning.Controller); prunes && !cut {
			continue
		}
		if err := x.Strip(g, nil); err != nil {
			return nil, ModelSize{}, fmt.Errorf("%s: %w", x.Algorithm(), err)
		}
	}
	if err := pass.FoldBatchNorm(g, nil); err != nil {
		return nil, ModelSize{}, err
	}
	var s ModelSize
	for _, v := range g.Stored() {
		if v.Type.DType.IsFloat() {
			s.Parameters += int64(v.Data.Len())
		}
	}
	shapes, _ := g.SampleShapes()
	if one, err := g.Specialize(shapes); err == nil {
		for _, n := range one.Nodes() {
			cost, _ := ir.CostOf(n)
			s.MACs += cost.MACs
		}
	}
	file := g.Clone()
	if err := pass.BinaryToONNX(file, nil); err != nil {
		return nil, s, err
	}
	if err := pass.ToQDQ(file, nil); err != nil {
		return nil, s, err
	}
	var buf bytes.Buffer
	if err := onnx.Write(&buf, file, onnx.Options{Producer: "nncf"}); err != nil {
		return nil, s, err
	}
	s.Bytes = int64(buf.Len())
	return g, s, nil
}

// ShrinkNow cuts pruned channels out of the model under training, if an
// algorithm is asked to do that and its masks are final. Parameters get other
// tensors then: trainers, compiled programs and optimizer states of before are
// of no use, but for what the returned cuts leave of them.
func (c *Compressed) ShrinkNow() ([]channel.Cut, error) {
	var all []channel.Cut
	for _, p := range c.pruners() {
		if !p.ShrinkNow() {
			continue
		}
		cuts, err := p.Shrink(&rewrite.Trace{})
		if err != nil {
			return nil, err
		}
		all = append(all, cuts...)
	}
	return all, nil
}

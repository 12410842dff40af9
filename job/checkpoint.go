package job

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/config"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/onnx"
	"github.com/go-nncf/nncf/tensor"
	"github.com/go-nncf/nncf/train"
)

// checkpointMeta is the JSON document of a checkpoint. It follows from the
// configuration and the data alone, so that equal runs leave equal files: there
// are no times in it, and no settings that only say how a run is executed.
type checkpointMeta struct {
	// At is where training goes on.
	At train.Position `json:"at"`

	OptimizerStep int             `json:"optimizer_step"`
	Schedule      json.RawMessage `json:"schedule,omitempty"`
	// Compression rebuilds the compressed graph from the float one; nil if the
	// model is not compressed.
	Compression *nncf.CompressionState `json:"compression,omitempty"`
	Best        *best                  `json:"best,omitempty"`
	Search      *search                `json:"search,omitempty"` // of accuracy-aware training
	Result      *Result                `json:"result,omitempty"` // so far
	Config      json.RawMessage        `json:"config,omitempty"`
	// ModelSum is the SHA-256 of the model file that the run began with.
	ModelSum string `json:"model_sum,omitempty"`
}

// best is the best model so far, by compression stage first and accuracy second.
type best struct {
	Stage  compress.Stage `json:"stage"`
	Metric float64        `json:"metric"`
	Epoch  int            `json:"epoch"` // after which it was; -1: before the first
	// Level is that which is searched, Enough that the accuracy was; of
	// adaptive_compression_level only.
	Level  float64 `json:"level,omitempty"`
	Enough bool    `json:"enough,omitempty"`
}

// beatenBy reports whether a model after an epoch replaces b, which may be nil.
// Training that is as good as none does: it had more data.
func (b *best) beatenBy(s compress.Stage, metric float64) bool {
	return b == nil || compress.Better(s, metric, b.Stage, b.Metric) || b.Epoch < 0 && s == b.Stage && metric == b.Metric
}

// modelTensor is the entry that holds the float graph as an ONNX file; weights
// in it are those of the start.
const modelTensor = "model.onnx"

// state is a model under training: what checkpoints save and restore.
type state struct {
	float      *nncf.Model
	floatBytes []byte // the float model as an ONNX file
	compressed *nncf.Compressed
}

// graph is what is trained.
func (s *state) graph() *ir.Graph {
	if s.compressed != nil {
		return s.compressed.Graph
	}
	return s.float.Graph
}

func newState(m *nncf.Model) (*state, error) {
	var buf bytes.Buffer
	if err := onnx.Write(&buf, m.Graph, onnx.Options{}); err != nil {
		return nil, err
	}
	return &state{float: m, floatBytes: buf.Bytes()}, nil
}

// checkpoint collects the state. With a trainer it can be resumed.
func (s *state) checkpoint(meta checkpointMeta, t *train.Trainer) (*train.Checkpoint, error) {
	c := &train.Checkpoint{}
	if s.compressed != nil {
		st, err := s.compressed.SaveState()
		if err != nil {
			return nil, err
		}
		meta.Compression = &st
	}
	if t != nil {
		var tensors []train.NamedTensor
		meta.OptimizerStep, tensors = t.OptimizerState()
		var err error
		if meta.Schedule, err = json.Marshal(t.Schedule()); err != nil {
			return nil, err
		}
		c.Tensors = append(c.Tensors, tensors...)
	}
	for _, v := range s.graph().Stored() {
		if v.Kind == ir.Parameter || v.Kind == ir.State {
			c.Tensors = append(c.Tensors, train.NamedTensor{Name: v.Name, Tensor: v.Data})
		}
	}
	c.Tensors = append(c.Tensors, train.NamedTensor{Name: modelTensor, Tensor: tensor.From(s.floatBytes, len(s.floatBytes))})
	var err error
	c.Meta, err = json.Marshal(meta)
	return c, err
}

// restore rebuilds the model of a checkpoint.
func restore(c *train.Checkpoint) (*state, checkpointMeta, error) {
	var meta checkpointMeta
	if err := json.Unmarshal(c.Meta, &meta); err != nil {
		return nil, meta, fmt.Errorf("checkpoint: %w", err)
	}
	t := c.Tensor(modelTensor)
	if t == nil || t.DType() != tensor.Uint8 {
		return nil, meta, errors.New("checkpoint holds no model")
	}
	s := &state{floatBytes: tensor.Data[uint8](t)}
	var err error
	if s.float, err = nncf.Read(s.floatBytes); err != nil {
		return nil, meta, err
	}
	if meta.Compression != nil {
		if s.compressed, err = nncf.Restore(s.float, *meta.Compression, config.RestoreSetup); err != nil {
			return nil, meta, err
		}
	}
	return s, meta, loadTensors(s.graph(), c)
}

// loadTensors copies parameters and states from a checkpoint, all of which must
// be there.
func loadTensors(g *ir.Graph, c *train.Checkpoint) error {
	var errs []error
	for _, v := range g.Stored() {
		if v.Kind != ir.Parameter && v.Kind != ir.State {
			continue
		}
		t := c.Tensor(v.Name)
		switch {
		case t == nil:
			errs = append(errs, fmt.Errorf("checkpoint lacks %q", v.Name))
		case t.DType() != v.Data.DType() || !t.Shape().Equal(v.Data.Shape()):
			errs = append(errs, fmt.Errorf("checkpoint has %v for %q, the model has %v", t, v.Name, v.Data))
		default:
			v.Data.CopyFrom(t)
		}
	}
	return errors.Join(errs...)
}

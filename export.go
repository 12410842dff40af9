package nncf

import (
	"fmt"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/onnx"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/rewrite"
)

// Forms of exported quantizers. Binarized layers are standard operators in the
// first (see [pass.BinaryToONNX]), which compute in any runtime what was trained;
// OpenVINO executes them on bits in the second.
const (
	QDQ          = "qdq"          // pairs of QuantizeLinear and DequantizeLinear
	FakeQuantize = "fakequantize" // OpenVINO's operator
)

// ExportOptions choose the form of an exported model. The zero value writes
// QDQ in the model's own opset.
type ExportOptions struct {
	// Format is [QDQ], the default, or [FakeQuantize]. Models without quantizers
	// are the same in both.
	Format string
	Opset  int // 0 keeps the model's, at least 13; 21 stores narrow weights of matrix products in 4 bits
}

// Validate reports an unknown format.
func (o ExportOptions) Validate() error {
	switch o.Format {
	case "", QDQ, FakeQuantize:
		return nil
	}
	return fmt.Errorf("export format: got %q, want %s or %s", o.Format, QDQ, FakeQuantize)
}

// Export writes the compressed model as ONNX, without what only training needs,
// with batch normalization folded into the quantized weights. Its metadata say
// how it was compressed, see [StateOf]. The file appears at once, whole. The model stays as it is and can be trained on.
func (c *Compressed) Export(path string, o ExportOptions) error {
	g, err := c.exported(o)
	if err == nil {
		err = c.describeState(g)
	}
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return save(path, g, o)
}

// exported returns the graph that Export writes.
func (c *Compressed) exported(o ExportOptions) (*ir.Graph, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	t := &rewrite.Trace{}
	g, err := pass.RestoreBatch(deepClone(c.Graph)) // how runtimes fuse depends on what they know of shapes
	if err != nil {
		return nil, err
	}
	if err := c.Strip(g, t); err != nil {
		return nil, err
	}
	if o.Format == FakeQuantize { // so that both forms compute the same
		if err := pass.RoundBiases(g, t); err != nil {
			return nil, err
		}
	}
	if err := pass.FoldBatchNorm(g, t); err != nil {
		return nil, err
	}
	if o.Format == FakeQuantize {
		if err := pass.BinaryToFakeQuantize(g, t); err != nil {
			return nil, err
		}
		return g, pass.ToFakeQuantize(g, t)
	}
	if err := pass.BinaryToONNX(g, t); err != nil {
		return nil, err
	}
	if err := pass.ToQDQ(g, t); err != nil {
		return nil, err
	}
	if o.Opset >= opsetInt4 {
		return g, pass.PackInt4(g, t)
	}
	return g, nil
}

// opsetInt4 is the first opset with 4-bit integers.
const opsetInt4 = 21

// ExportQuantized writes a graph with fake-quantizers as a compressed model is
// written. The graph stays as it is.
func ExportQuantized(path string, g *ir.Graph, o ExportOptions) error {
	c := &Compressed{Controller: compress.Compose(), Graph: g}
	return c.Export(path, o)
}

// Export writes the model as ONNX, as it is; the format plays no part.
func (m *Model) Export(path string, o ExportOptions) error {
	if err := o.Validate(); err != nil {
		return err
	}
	g, err := pass.RestoreBatch(m.Graph)
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return save(path, g, o)
}

func save(path string, g *ir.Graph, o ExportOptions) error {
	if o.Opset != 0 { // operators that the opset lacks are spelled out
		g = g.Clone()
		if err := pass.ForOpset(g, o.Opset, nil); err != nil {
			return err
		}
	}
	return onnx.Save(path, g, onnx.Options{Opset: o.Opset, Producer: "nncf"})
}

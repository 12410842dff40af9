package job

import (
	"context"
	"fmt"
	"math"
	"math/bits"
	"os"
	"slices"
	"strings"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/internal/kernel/reduce"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/onnx"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// ExportOptions choose the form of an exported model.
type ExportOptions struct {
	// Format of quantized models is "qdq" (default) or "fakequantize"
	// (OpenVINO's operator). Uncompressed models are written as they are.
	Format string
	Opset  int // 0 keeps the model's, at least 13
}

// ExportReport says what was written and how it compares with what was trained.
type ExportReport struct {
	Path       string `json:"path"`
	Format     string `json:"format"`
	Bits       string `json:"bits"`
	Bytes      int64  `json:"bytes"`
	FloatBytes int64  `json:"float_bytes"`
	// MaxRelativeDifference is the largest difference of an output between the
	// file, read back, and the simulated model, over the largest output.
	MaxRelativeDifference float64        `json:"max_relative_difference"`
	MeanDifference        float64        `json:"mean_difference"`
	Compared              int            `json:"compared"`      // samples
	Disagreements         int            `json:"disagreements"` // of their largest scores
	Trace                 *rewrite.Trace `json:"-"`
}

// verifySamples is how many samples the exported file is compared on.
const verifySamples = 512

// exportModel writes s to path, reads it back and compares it on samples.
func exportModel(ctx context.Context, s *state, path string, o ExportOptions, samples *data.Loader, threads int) (*ExportReport, error) {
	r := &ExportReport{Path: path, Format: o.Format, Bits: "32", FloatBytes: int64(len(s.floatBytes)), Trace: &rewrite.Trace{}}
	if r.Format == "" {
		r.Format = "qdq"
	}
	g, err := exportGraph(s, r)
	if err != nil {
		return nil, err
	}
	opts := onnx.Options{Opset: o.Opset, Producer: "nncf"}
	if err := onnx.Save(path, g, opts); err != nil {
		return nil, err
	}
	if info, err := os.Stat(path); err == nil {
		r.Bytes = info.Size()
	}
	if samples == nil {
		return r, nil
	}
	return r, r.verify(ctx, s, samples, threads)
}

// exportGraph returns the graph to write.
func exportGraph(s *state, r *ExportReport) (*ir.Graph, error) {
	g := s.graph().Clone()
	if s.compressed == nil {
		r.Format = "float"
		return g, nil
	}
	if err := s.compressed.Strip(g, r.Trace); err != nil {
		return nil, err
	}
	r.Bits = quantizerBits(g)
	to := pass.ToQDQ
	switch r.Format {
	case "qdq":
	case "fakequantize":
		to = pass.ToFakeQuantize
	default:
		return nil, fmt.Errorf("export format: got %q, want qdq or fakequantize", r.Format)
	}
	if err := pass.FoldBatchNorm(g, r.Trace); err != nil {
		return nil, err
	}
	return g, to(g, r.Trace)
}

// quantizerBits lists the widths of all quantizers, such as "8" or "4, 8".
func quantizerBits(g *ir.Graph) string {
	var widths []int
	for _, n := range g.Nodes() {
		levels := 0
		switch q := n.Op.(type) {
		case op.FakeQuantizeSymmetric:
			levels = q.High - q.Low + 1
		case op.FakeQuantizeAsymmetric:
			levels = q.Levels
		default:
			continue
		}
		if b := bits.Len(uint(levels - 1)); !slices.Contains(widths, b) {
			widths = append(widths, b)
		}
	}
	if widths == nil {
		return "32"
	}
	slices.Sort(widths)
	return strings.Trim(strings.Join(strings.Fields(fmt.Sprint(widths)), ", "), "[]")
}

// verify reads the written file and compares its outputs with those of the
// simulated model.
func (r *ExportReport) verify(ctx context.Context, s *state, samples *data.Loader, threads int) error {
	m, err := onnx.Load(r.Path)
	if err != nil {
		return fmt.Errorf("reading the exported model back: %w", err)
	}
	if err := pass.Canonicalize(m, nil); err != nil {
		return fmt.Errorf("reading the exported model back: %w", err)
	}
	var largest, worst, sum float64
	count := 0
	outs := func(g *ir.Graph, f func(int, *tensor.Tensor) error) error {
		i := 0
		cal := nncf.Calibration(ctx, samples)
		return nncf.Run(ctx, g, g.Outputs[:1], cal.Batches(verifySamples), engine.Options{Threads: threads}, func(got []*tensor.Tensor) error {
			i++
			return f(i-1, got[0])
		})
	}
	var want []*tensor.Tensor
	if err := outs(s.graph(), func(_ int, t *tensor.Tensor) error { want = append(want, t.Clone()); return nil }); err != nil {
		return err
	}
	err = outs(m, func(i int, got *tensor.Tensor) error {
		w, g := want[i].F32(), got.F32()
		for k, v := range w {
			d := math.Abs(float64(g[k]) - float64(v))
			largest, worst = max(largest, math.Abs(float64(v))), max(worst, d)
			sum += d
			count++
		}
		n := got.Shape()[0]
		row := len(w) / n
		for k := range n {
			if reduce.ArgMax(w[k*row:][:row]) != reduce.ArgMax(g[k*row:][:row]) {
				r.Disagreements++
			}
		}
		r.Compared += n
		return nil
	})
	if err != nil {
		return fmt.Errorf("running the exported model: %w", err)
	}
	if largest > 0 {
		r.MaxRelativeDifference = worst / largest
	}
	if count > 0 {
		r.MeanDifference = sum / float64(count)
	}
	return nil
}

package job

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress/quantization"
	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/internal/kernel/reduce"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/onnx"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/tensor"
	"github.com/go-nncf/nncf/train"
)

// ExportOptions choose the form of an exported model.
type ExportOptions = nncf.ExportOptions

// ExportReport says what was written and how it compares with what was trained.
type ExportReport struct {
	Path       string `json:"path"`
	Format     string `json:"format"` // qdq, fakequantize, or float
	Bits       string `json:"bits"`
	Bytes      int64  `json:"bytes"`
	FloatBytes int64  `json:"float_bytes"`
	// MaxRelativeDifference is the largest difference of an output between the
	// file, read back, and the simulated model, over the largest output.
	MaxRelativeDifference float64 `json:"max_relative_difference"`
	MeanDifference        float64 `json:"mean_difference"`
	Compared              int     `json:"compared"`      // samples
	Disagreements         int     `json:"disagreements"` // of their largest scores
	// Removal is there if pruned channels were cut out.
	Removal *RemovalReport `json:"removal,omitempty"`
}

// verifySamples is how many samples the exported file is compared on.
// After quantization on few samples it is on fewer: the comparison then takes
// less time than the quantization.
const (
	verifySamples     = 512
	verifyCalibration = 100
)

// Export writes the model of a checkpoint as ONNX. With samples the file is
// read back and compared.
func Export(ctx context.Context, checkpoint, output string, o ExportOptions, samples *data.Loader, threads int) (*ExportReport, error) {
	ck, err := train.LoadCheckpoint(checkpoint)
	if err != nil {
		return nil, err
	}
	s, _, err := restore(ck)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", checkpoint, err)
	}
	if output == "" {
		output = filepath.Join(filepath.Dir(checkpoint), onnxName)
	}
	if sameFile(output, checkpoint) {
		return nil, fmt.Errorf("output %s would replace the checkpoint: choose another name", output)
	}
	return exportModel(ctx, s, output, o, samples, verifySamples, threads)
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// exportModel writes s to path, whose folder it makes, reads it back and
// compares it on count samples.
func exportModel(ctx context.Context, s *state, path string, o ExportOptions, samples *data.Loader, count, threads int) (*ExportReport, error) {
	r := &ExportReport{Path: path, Format: first(o.Format, nncf.QDQ), Bits: quantizerBits(s.compressed), FloatBytes: int64(len(s.floatBytes))}
	export := s.float.Export
	if s.compressed != nil {
		export = s.compressed.Export
	} else {
		r.Format = "float"
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	if err := export(path, o); err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	r.Bytes = info.Size()
	if s.compressed != nil {
		if r.Removal, err = removal(ctx, s.compressed, samples, threads); err != nil {
			return nil, err
		}
	}
	if samples == nil {
		return r, nil
	}
	return r, r.verify(ctx, s, samples, count, threads)
}

// quantizerBits lists the widths of all quantizers, such as "8" or "4, 8", or 32
// if there are none.
func quantizerBits(c *nncf.Compressed) string {
	var widths []int
	if c != nil {
		for _, s := range c.Setups() {
			if q, ok := s.(*quantization.Setup); ok {
				for _, x := range q.Quantizers {
					widths = append(widths, x.Bits)
				}
			}
		}
	}
	if widths == nil {
		return "32"
	}
	slices.Sort(widths)
	return strings.Trim(strings.Join(strings.Fields(fmt.Sprint(slices.Compact(widths))), ", "), "[]")
}

// verify reads the written file and compares its outputs with those of the
// simulated model.
func (r *ExportReport) verify(ctx context.Context, s *state, samples *data.Loader, limit, threads int) error {
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
		return nncf.Run(ctx, g, g.Outputs[:1], cal.Batches(limit), engine.Options{Threads: threads}, func(got []*tensor.Tensor) error {
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
	if math.IsNaN(worst) || math.IsInf(worst, 0) || math.IsInf(largest, 0) {
		return errors.New("comparing the exported model: outputs are not finite; the weights have diverged")
	}
	if largest > 0 {
		r.MaxRelativeDifference = worst / largest
	}
	if count > 0 {
		r.MeanDifference = sum / float64(count)
	}
	return nil
}

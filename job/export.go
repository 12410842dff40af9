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
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/binarization"
	"github.com/go-nncf/nncf/compress/quantization"
	"github.com/go-nncf/nncf/compress/sensitivity"
	"github.com/go-nncf/nncf/data"
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
	// ComparedValues counts the values inside the model that were compared too,
	// Layers are those that differ by more than float32 rounding, in order.
	ComparedValues int                           `json:"compared_values,omitempty"`
	Layers         []sensitivity.ValueDifference `json:"layers,omitempty"`
	// Stepwise is there if Layers is: whether these come from rounding, which the
	// model amplifies, or from a fault.
	Stepwise *sensitivity.Stepwise `json:"stepwise,omitempty"`
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
			if _, ok := s.(*binarization.Setup); ok {
				widths = append(widths, 1)
			}
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

// verify reads the written file and compares it with the simulated model, its
// outputs and every value that both have under one name.
func (r *ExportReport) verify(ctx context.Context, s *state, samples *data.Loader, limit, threads int) error {
	m, err := onnx.Load(r.Path)
	if err != nil {
		return fmt.Errorf("reading the exported model back: %w", err)
	}
	if err := pass.Canonicalize(m, nil); err != nil {
		return fmt.Errorf("reading the exported model back: %w", err)
	}
	cal := nncf.Calibration(ctx, samples)
	c, err := nncf.Compare(ctx, s.graph(), m, func() compress.Batches { return inParts(cal.Batches(limit), s.graph(), m) }, threads)
	if err != nil {
		return fmt.Errorf("running the exported model: %w", err)
	}
	r.Compared, r.Disagreements, r.ComparedValues = c.Samples, c.Samples-c.Same, len(c.Values)
	for i, v := range c.Outputs() {
		if v.NotFinite > 0 || math.IsInf(v.Peak, 0) || math.IsNaN(v.Peak) {
			return errors.New("comparing the exported model: outputs are not finite; the weights have diverged")
		}
		if v.Peak > 0 {
			r.MaxRelativeDifference = max(r.MaxRelativeDifference, v.Largest/v.Peak)
		}
		if i == 0 {
			r.MeanDifference = v.Mean
		}
	}
	for _, v := range c.Values {
		if v.RelativeError > departs {
			r.Layers = append(r.Layers, v)
		}
	}
	if len(r.Layers) == 0 {
		return nil
	}
	x, err := nncf.CompareStepwise(ctx, s.graph(), m, inParts(cal.Batches(stepwiseSamples), s.graph(), m), threads)
	if err != nil {
		return fmt.Errorf("running the exported model: %w", err)
	}
	if x.Quantizers > 0 {
		r.Stepwise = x
	}
	return nil
}

// stepwiseSamples are enough to tell rounding from a fault.
const stepwiseSamples = 10

// departs is the relative error of a value above which a report names it:
// float32 rounding stays below it, a value that falls on another point of its
// grid now and then does not.
const departs = 1e-4

// inParts cuts batches into parts that two models take, of diffBatch samples
// unless one has a fixed batch. What does not fill a fixed batch is left out.
func inParts(batches compress.Batches, models ...*ir.Graph) compress.Batches {
	n, fixed := diffBatch, false
	for _, g := range models {
		if len(g.Inputs) == 0 || g.Inputs[0].Type.Rank() == 0 {
			return batches
		}
		if k, ok := g.FixedBatch(); ok && k > 0 {
			n, fixed = k, true
		}
	}
	return func(yield func([]*tensor.Tensor, error) bool) {
		for b, err := range batches {
			if err != nil {
				if !yield(b, err) {
					return
				}
				continue
			}
			all := b[0].Shape()[0]
			for i := 0; i < all && (!fixed || i+n <= all); i += n {
				var part []*tensor.Tensor
				for _, t := range b {
					part = append(part, t.Rows(i, min(i+n, all)))
				}
				if !yield(part, nil) {
					return
				}
			}
		}
	}
}

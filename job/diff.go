package job

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/sensitivity"
	"github.com/go-nncf/nncf/data"
)

// DiffResult is how two models differ on data.
type DiffResult struct {
	First  string `json:"first"`
	Second string `json:"second"`
	*sensitivity.Comparison
	// Agreement is the share of samples, in percent, for which the largest element
	// of the first output is the same.
	Agreement float64 `json:"agreement"`
	Seconds   float64 `json:"seconds"`
}

// diffBatch bounds the memory of a comparison: all values of a batch are kept.
const diffBatch = 10

// Diff compares two models layer by layer on samples: values of one name, so a
// float model with what was exported from it too.
func Diff(ctx context.Context, first, second string, l *data.Loader, samples, threads int, o Options) (_ *DiffResult, err error) {
	start := time.Now()
	defer func() { err = cancelled(ctx, err) }()
	a, err := nncf.Load(first)
	if err != nil {
		return nil, err
	}
	b, err := nncf.Load(second)
	if err != nil {
		return nil, err
	}
	l.Batch = min(l.BatchSize(), diffBatch)
	for _, m := range []*nncf.Model{a, b} {
		if err := Fit(ctx, m, &o, threads, l); err != nil {
			return nil, err
		}
	}
	o.note("comparing on %d samples", min(samples, l.Dataset.Len()))
	cal := nncf.Calibration(ctx, l)
	r := &DiffResult{First: first, Second: second}
	r.Comparison, err = nncf.Compare(ctx, a.Graph, b.Graph, func() compress.Batches { return cal.Batches(samples) }, threads)
	if err != nil {
		return nil, err
	}
	if r.Comparison.Samples > 0 {
		r.Agreement = 100 * float64(r.Comparison.Same) / float64(r.Comparison.Samples)
	}
	r.Seconds = time.Since(start).Seconds()
	return r, nil
}

// WriteTable writes the comparison for people; worst leaves out all but so many
// values with the lowest ratios, 0 writes all in order.
func (r *DiffResult) WriteTable(w io.Writer, worst int) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(format string, args ...any) { fmt.Fprintf(tw, format+"\n", args...) }
	row("value\toperator\tSQNR dB\trelative error\tmedian sample\tworst sample\tlargest difference\tlargest value")
	for _, v := range r.Worst(worst) {
		name := v.Value
		if v.Output {
			name += " (output)"
		}
		row("%s\t%s\t%s\t%.3g\t%.3g\t%.3g (%d)\t%.3g\t%.3g", name, v.Operator, v.SQNR.Text(), v.RelativeError, v.Median, v.Worst, v.WorstSample, v.Largest, v.Peak)
	}
	row("")
	row("compared\t%d values on %d samples", len(r.Values), r.Comparison.Samples)
	if r.OnlyFirst+r.OnlySecond > 0 {
		row("not in common\t%d values of the first model, %d of the second", r.OnlyFirst, r.OnlySecond)
	}
	for _, v := range r.Outputs() {
		row("output %s\t%s", v.Value, bySample(v.BySample))
	}
	row("largest output element agrees\t%.2f %% of samples", r.Agreement)
	row("time\t%.1f s", r.Seconds)
	return tw.Flush()
}

// bySample says how far the samples of an output are off one by one.
func bySample(b sensitivity.BySample) string {
	return fmt.Sprintf("off by %.3g %% (%s dB) in the median sample, %.3g %% in the worst, sample %d", 100*b.Median, b.SQNR().Text(), 100*b.Worst, b.WorstSample)
}

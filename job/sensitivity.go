package job

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/ptq"
	"github.com/go-nncf/nncf/compress/sensitivity"
	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/train"
)

// SensitivityOptions describe a sensitivity report.
type SensitivityOptions struct {
	Model      string
	Algorithms []compress.Algorithm
	Recovery   ptq.Options // as for [Quantize]
	Data       *data.Loader
	Probe      int          // samples of Data to measure on
	Eval       *data.Loader // nil: no accuracies
	Threads    int
	Options
}

// SensitivityResult is what inspect --sensitivity prints.
type SensitivityResult struct {
	Model string `json:"model"`
	*sensitivity.Analysis
	Seconds float64 `json:"seconds"`
}

// Sensitivity quantizes a model as [Quantize] does and measures, layer by layer,
// what that costs.
func Sensitivity(ctx context.Context, o SensitivityOptions) (_ *SensitivityResult, err error) {
	start := time.Now()
	defer func() { err = cancelled(ctx, err) }()
	m, err := nncf.Load(o.Model)
	if err != nil {
		return nil, err
	}
	o.Data.Batch = min(o.Data.BatchSize(), calibrationBatch)
	if err := Fit(ctx, m, &o.Options, o.Threads, o.Data, o.Eval); err != nil {
		return nil, err
	}
	o.note("quantizing on %d samples", o.Recovery.Subset)
	q := QuantizeOptions{Algorithms: o.Algorithms, Samples: o.Recovery.Subset, Recovery: o.Recovery, Data: o.Data, Threads: o.Threads, Options: o.Options}
	s, err := q.quantize(ctx, m)
	if err != nil {
		return nil, err
	}
	a, err := o.analyze(ctx, s)
	if err != nil {
		return nil, err
	}
	return &SensitivityResult{Model: o.Model, Analysis: a, Seconds: time.Since(start).Seconds()}, nil
}

// analyze measures the layers of s on o.Probe samples.
func (o SensitivityOptions) analyze(ctx context.Context, s *state) (*sensitivity.Analysis, error) {
	cal := nncf.Calibration(ctx, o.Data)
	begin := time.Now()
	opt := sensitivity.Options{Progress: func(done, all int, layer string) {
		left := ""
		if done > 0 {
			left = fmt.Sprintf(", %s left", (time.Since(begin) / time.Duration(done) * time.Duration(all-done)).Round(time.Second))
		}
		if done%10 == 0 {
			o.note("layer %d of %d: %s%s", done+1, all, layer, left)
		}
	}}
	if o.Eval != nil {
		opt.Metric = func(ctx context.Context, g *ir.Graph) (float64, error) {
			m, err := nncf.Evaluate(ctx, g, o.Eval, train.Options{Threads: o.Threads, Logger: o.Logger})
			return m.Top1, err
		}
	}
	return nncf.Sensitivity(ctx, s.float, s.compressed, func() compress.Batches { return cal.Batches(o.Probe) }, o.Threads, opt)
}

// WriteTable writes the report for people.
func (r *SensitivityResult) WriteTable(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(format string, args ...any) { fmt.Fprintf(tw, format+"\n", args...) }
	accuracy := len(r.Layers) > 0 && r.Layers[0].Accuracy != nil
	head := "rank\tlayer\toperator\tbits w/a\toutput error\tdB\tdB in place\tinput\trange\tclipped\tMMACs\tKiB"
	if accuracy {
		head += "\ttop-1"
	}
	row("%s", head)
	for _, l := range r.Layers {
		line := fmt.Sprintf("%d\t%s\t%s\t%d/%d\t%.3g %%\t%s\t%s\t%.3g…%.3g\t%.3g…%.3g\t%.2g %%\t%.2f\t%.1f", l.Rank, l.Scope, l.Operator, l.WeightBits, l.InputBits,
			100*l.OutputError, l.OutputSQNR.Text(), l.SQNR.Text(), l.Lowest, l.Highest, l.RangeLow, l.RangeHigh, l.Clipped, float64(l.MACs)/1e6, float64(l.WeightBytes)/1024)
		if accuracy {
			line += fmt.Sprintf("\t%+.2f", *l.Accuracy)
		}
		row("%s", line)
	}
	row("")
	for _, v := range r.Outputs {
		row("output %s, all layers quantized\trelative error %.3g %%\t%s dB", v.Value, 100*v.RelativeError, v.SQNR.Text())
		row("\t%s", bySample(v.BySample))
	}
	row("samples\t%d", r.Samples)
	if err := tw.Flush(); err != nil {
		return err
	}
	names := make([]string, len(r.IgnoredScopes))
	for i, s := range r.IgnoredScopes {
		names[i] = fmt.Sprintf("%q", s)
	}
	_, err := fmt.Fprintf(w, "\nTo leave the layers behind half of the error in float, put this into the quantization section:\n  \"ignored_scopes\": [%s]\ntime  %.1f s\n",
		strings.Join(names, ", "), r.Seconds)
	return err
}

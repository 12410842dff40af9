package job

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/quantization"
	"github.com/go-nncf/nncf/compress/sensitivity"
	"github.com/go-nncf/nncf/train"
)

// Result is what a run reports; it is printed as it is with --json.
type Result struct {
	Model   string        `json:"model"`
	Samples int           `json:"samples"`
	Metrics train.Metrics `json:"metrics"`           // of the final model
	Runtime string        `json:"runtime,omitempty"` // library that ran it, if not this program
	// Seconds is the time of this execution; checkpoints hold no times.
	Seconds float64 `json:"seconds"`
	// QuantizeSeconds is the part of it that quantization after training took,
	// without evaluations and export.
	QuantizeSeconds float64 `json:"quantize_seconds,omitempty"`
	// Float is the model as it came in, Initialized the compressed one before
	// fine-tuning, Compressed after it.
	Float       *train.Metrics `json:"float,omitempty"`
	Initialized *train.Metrics `json:"initialized,omitempty"`
	Compressed  *train.Metrics `json:"compressed,omitempty"`

	// Accuracy is what accuracy-aware training has found.
	Accuracy *AccuracyVerdict `json:"accuracy_aware,omitempty"`

	Epochs     []EpochResult        `json:"epochs,omitempty"`
	Stage      compress.Stage       `json:"stage"`
	Statistics *compress.Statistics `json:"statistics,omitempty"`
	Search     *SearchReport        `json:"search,omitempty"` // accuracy control
	Export     *ExportReport        `json:"export,omitempty"`
	Output     string               `json:"output,omitempty"`
	// Pictures are the names of SVG files beside the checkpoints.
	Pictures   []string `json:"pictures,omitempty"`
	Checkpoint string   `json:"checkpoint,omitempty"`
}

// EpochResult is one epoch of a run.
type EpochResult struct {
	Epoch   int           `json:"epoch"`
	LR      float64       `json:"lr"`
	Train   train.Metrics `json:"train"`
	Eval    train.Metrics `json:"eval"`
	Seconds float64       `json:"seconds"` // since the run was resumed, 0 before
	Best    bool          `json:"best"`
	// Compression is how far algorithms with a level had come.
	Compression []compress.Progress `json:"compression,omitempty"`
}

// WriteTable writes the result for people.
func (r *Result) WriteTable(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(format string, args ...any) { fmt.Fprintf(tw, format+"\n", args...) }
	compressed := "compressed, fine-tuned"
	if len(r.Epochs) == 0 {
		compressed = "compressed"
	}
	rows := []measured{{"float", r.Float}, {"compressed, initialised", r.Initialized}, {compressed, r.Compressed}}
	if r.Float == nil && r.Compressed == nil && r.Metrics.Samples > 0 {
		rows = append(rows, measured{"model", &r.Metrics})
	}
	writeMetrics(row, rows)
	if r.Runtime != "" {
		row("runtime\t%s", r.Runtime)
	}
	if s := r.Search; s != nil {
		row("")
		reached := "reached"
		if !s.Reached {
			reached = "NOT reached; this is the best of what was tried"
		}
		s.writeRows(row, reached)
	}
	if e := r.Export; e != nil {
		row("")
		row("bits\t%s", e.Bits)
		row("size\t%s (float %s)", size(e.Bytes), size(e.FloatBytes))
		if r.Statistics != nil {
			for _, n := range r.Statistics.Numbers {
				if n.Name == quantization.ComplexityRatio || n.Name == quantization.BytesRatio {
					row("%s\t%.3f", n.Name, n.Value)
				}
			}
		}
		row("export differs from simulation\tat most %.2g of the largest output, %d of %d predictions", e.MaxRelativeDifference, e.Disagreements, e.Compared)
		if n := len(e.Layers); n > 0 {
			first, worst := e.Layers[0], e.Layers[0]
			for _, l := range e.Layers {
				if l.RelativeError > worst.RelativeError {
					worst = l
				}
			}
			row("\tin %d of %d values, first %s (relative error %.2g), most %s (%.2g)", n, e.ComparedValues, first.Value, first.RelativeError, worst.Value, worst.RelativeError)
		}
		if x := e.Stepwise; x != nil {
			row("\t%s", stepwiseText(x))
		}
	}
	if e := r.Export; e != nil && e.Removal != nil {
		b, a := e.Removal.Before, e.Removal.After
		row("")
		row("pruned channels\tas zeros\tremoved")
		row("multiply-accumulates\t%s\t%s (%.0f %% fewer)", thousands(b.MACs), thousands(a.MACs), fewer(b.MACs, a.MACs))
		row("parameters\t%s\t%s (%.0f %% fewer)", thousands(b.Parameters), thousands(a.Parameters), fewer(b.Parameters, a.Parameters))
		row("size\t%s\t%s (%.0f %% smaller)", size(b.Bytes), size(a.Bytes), fewer(b.Bytes, a.Bytes))
		if e.Removal.Batch > 0 {
			row("time of a batch of %d\t%.1f ms\t%.1f ms (%.2f times faster)", e.Removal.Batch, b.Milliseconds, a.Milliseconds, b.Milliseconds/a.Milliseconds)
			row("outputs differ\t\tat most %.2g of the largest", e.Removal.MaxRelativeDifference)
		}
	}
	if n := len(r.Epochs); n > 0 {
		for _, p := range r.Epochs[n-1].Compression {
			row("%s\t%.2f %% of %.2f %%", p.Algorithm, 100*p.Reached, 100*p.Target)
		}
	}
	if a := r.Accuracy; a != nil {
		held := "enough"
		if !a.Enough {
			held = "not enough"
		}
		row("accuracy\t%.2f %%, tolerated %.2f %%: %s", a.Metric, a.Tolerated, held)
		if a.Why != "" {
			row("training ended\t%s", a.Why)
		}
	}
	if r.Output != "" {
		row("model\t%s", r.Output)
	}
	if r.Checkpoint != "" {
		row("checkpoint\t%s", r.Checkpoint)
	}
	row("time\t%.1f s", r.Seconds)
	return tw.Flush()
}

func size(n int64) string {
	switch {
	case n >= 10<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}

// fewer is by how many percent a number is smaller.
func fewer(before, after int64) float64 {
	if before == 0 {
		return 0
	}
	return 100 * (1 - float64(after)/float64(before))
}

// stepwiseText says what causes the differences of an exported model.
func stepwiseText(x *sensitivity.Stepwise) string {
	moved := fmt.Sprintf("between one quantizer and the next %d of %d elements are on another point, at most %.3g steps away", x.Moved, x.Elements, x.Farthest)
	if x.Rounding() {
		return moved + ": float32 rounding, which the model amplifies"
	}
	return moved + ", behind " + x.Value + ": NOT rounding; please report it"
}

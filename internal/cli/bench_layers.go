package cli

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/go-nncf/nncf/engine"
)

// layerTimes is what the steps of one layer of the model take together.
type layerTimes struct {
	Layer      string  `json:"layer"` // empty: what belongs to no layer
	Kind       string  `json:"kind"`  // of its first step
	MS         float64 `json:"ms"`
	ForwardMS  float64 `json:"forward_ms"`
	BackwardMS float64 `json:"backward_ms"`
	Share      float64 `json:"share"` // of the step's time
	MACs       int64   `json:"macs,omitempty"`
	GFLOPS     float64 `json:"gflops,omitempty"`
	PeakShare  float64 `json:"peak_share,omitempty"`
	Bytes      int64   `json:"bytes"`
}

// judge fills in the rates.
func (l *layerTimes) judge(peakGFLOPS float64) {
	if l.MACs > 0 && l.MS > 0 {
		l.GFLOPS = 2 * float64(l.MACs) / l.MS / 1e6
		l.PeakShare = l.GFLOPS / peakGFLOPS
	}
}

// update is the name of the time that a training step spends outside its
// program: the optimizer, mainly.
const update = "update"

// measureLayers times the steps of a program for a few runs, and adds them up by
// layer. What a training step does beyond the program takes rest, and is a layer
// of its own.
func measureLayers(ctx context.Context, p engine.Program, rest time.Duration) ([]layerTimes, error) {
	if w, ok := p.(watched); ok {
		p = w.Program
	}
	timed, ok := p.(engine.Timed)
	if !ok {
		return nil, nil
	}
	const runs = 3
	steps := p.Info().Steps
	best := make([]time.Duration, len(steps)) // the least of each step: neighbours disturb now this, now that
	for i := range runs {
		d := make([]time.Duration, len(steps))
		if err := timed.RunTimed(ctx, d); err != nil {
			return nil, err
		}
		for k, v := range d {
			if i == 0 || v < best[k] {
				best[k] = v
			}
		}
	}
	at := map[string]int{}
	var layers []layerTimes
	total := 0.0
	for i, s := range steps {
		k, ok := at[s.Layer]
		if !ok {
			k = len(layers)
			at[s.Layer] = k
			layers = append(layers, layerTimes{Layer: s.Layer, Kind: s.Kind})
		}
		l := &layers[k]
		ms := 1e3 * best[i].Seconds()
		total += ms
		l.MS += ms
		switch s.Pass {
		case "forward":
			l.ForwardMS += ms
		case "backward":
			l.BackwardMS += ms
		}
		if l.MACs == 0 && s.MACs > 0 {
			l.Kind = s.Kind // a product rather than what packs for it
		}
		l.MACs += s.MACs
		l.Bytes += s.Bytes
	}
	if ms := 1e3 * rest.Seconds(); ms > 0 {
		layers = append(layers, layerTimes{Layer: update, Kind: "optimizer and all else", MS: ms})
		total += ms
	}
	for i := range layers {
		layers[i].Share = layers[i].MS / total
	}
	return layers, nil
}

// table prints the result for people.
func (r *benchResult) table(out io.Writer, layers bool) error {
	what := "inference"
	if r.Train {
		what = "training"
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%s\t%s, batch %d, %d threads, %s\n", r.Model, what, r.Batch, r.Threads, r.CPU)
	fmt.Fprintf(w, "speed\t%.1f images/s (best %.1f), %d runs\n", r.ImagesPerSecond.Median, r.ImagesPerSecond.Best, r.Runs)
	fmt.Fprintf(w, "step\t%.2f ms (best %.2f, 90 %% below %.2f)\n", r.StepMS.Median, r.StepMS.Best, r.StepMS.P90)
	fmt.Fprintf(w, "arithmetic\t%.1f GFLOP/s, %.0f %% of the peak of %.1f measured now\n", r.GFLOPS, 100*r.PeakShare, r.PeakGFLOPS)
	fmt.Fprintf(w, "memory traffic\t%.1f MiB a step, %.0f %% of the %.1f GB/s measured now\n", mib(r.BytesPerStep), 100*r.BandwidthShare, r.Bandwidth/1e9)
	fmt.Fprintf(w, "memory\t%.0f MiB, of them %.0f planned for values\n", mib(r.PeakMemoryBytes), mib(r.ArenaBytes))
	for _, n := range r.ReferenceSteps {
		fmt.Fprintf(w, "slow\t%s has no kernel\n", n)
	}
	if err := w.Flush(); err != nil || !layers {
		return err
	}
	fmt.Fprintln(w, "\nlayer\tkind\tms\tforward\tbackward\tshare\tGFLOP/s\tof peak\tMiB")
	for _, l := range r.Layers {
		name, rate, peak := l.Layer, "", ""
		if name == "" {
			name = "-"
		}
		if l.GFLOPS > 0 {
			rate, peak = fmt.Sprintf("%.1f", l.GFLOPS), fmt.Sprintf("%.0f %%", 100*l.PeakShare)
		}
		fmt.Fprintf(w, "%s\t%s\t%.3f\t%.3f\t%.3f\t%.1f %%\t%s\t%s\t%.2f\n", name, l.Kind, l.MS, l.ForwardMS, l.BackwardMS, 100*l.Share, rate, peak, mib(l.Bytes))
	}
	return w.Flush()
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

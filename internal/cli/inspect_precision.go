package cli

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/quantization"
	"github.com/go-nncf/nncf/config"
	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/internal/atomicfile"
	"github.com/go-nncf/nncf/internal/runtimes"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// precisionFlags are those of inspect --precision.
type precisionFlags struct {
	Precision bool    `help:"Choose bits by sensitivity as the configuration says (initializer.precision of type hawq), and tell everything about the choice: traces, perturbations, costs, configurations tried." xor:"form" group:"low bits"`
	Cost      string  `help:"With --precision: what the ratio counts, macs, bytes or latency of each layer on this machine; default what the configuration says." enum:",macs,bytes,latency" default:"" placeholder:"WHAT" group:"low bits"`
	Ratio     float64 `help:"With --precision: another compression_ratio than the configuration's." placeholder:"R" group:"low bits"`
	SVG       string  `name:"svg" help:"With --precision: write a picture of the Pareto fronts." placeholder:"FILE" group:"low bits"`
	LatencyIn string  `help:"With --cost latency: what executes the layers, native, onnxruntime or openvino." enum:"native,onnxruntime,openvino" default:"native" placeholder:"NAME" group:"low bits"`
}

func (f precisionFlags) check() error {
	switch {
	case !f.Precision && (f.Cost != "" || f.SVG != "" || f.Ratio != 0 || f.LatencyIn != nativeRuntime):
		return usagef("--cost, --ratio, --svg and --latency-in go with --precision")
	case f.Ratio != 0 && !(f.Ratio >= 1):
		return usagef("--ratio: got %g, want 1 or more", f.Ratio)
	}
	return nil
}

// precisionReport is what inspect --precision reports.
type precisionReport struct {
	Model string `json:"model"`
	*quantization.PrecisionReport
	Seconds float64 `json:"seconds"`
}

func (c *inspectCmd) precision(s *session) error {
	start := time.Now()
	m, err := loadModel(c.Model)
	if err != nil {
		return err
	}
	cfg, err := config.Load(c.Config)
	if err != nil {
		return err
	}
	algorithms, err := cfg.Algorithms()
	if err != nil {
		return err
	}
	found := false
	for i, a := range algorithms {
		q, ok := a.(quantization.Algorithm)
		if !ok {
			continue
		}
		p := &q.Options.Initializer.Precision
		if p.Type != quantization.HAWQ {
			continue
		}
		found = true
		if c.Cost != "" {
			p.Cost = c.Cost
		}
		if c.Ratio != 0 {
			p.Ratio = &c.Ratio
		}
		q.Options.Initializer.BatchNorm = compress.BatchNormAdaptation{Samples: new(int)} // plays no part
		algorithms[i] = q
	}
	if !found {
		return fmt.Errorf("%s: its compression does not choose bits: set initializer.precision.type to %q in the section of algorithm quantization", c.Config, quantization.HAWQ)
	}
	l, err := c.loader(cfg, data.Train, 0, true)
	if err != nil {
		return err
	}
	if err := s.fit(m, l); err != nil {
		return err
	}
	cal := nncf.Calibration(s.ctx, l)
	cal.Cache = nncf.CacheDir()
	cal.Note = func(format string, args ...any) { fmt.Fprintf(s.Err, format+"\n", args...) }
	cal.Latency = func(ctx context.Context, g *ir.Graph) (float64, error) {
		return latency(ctx, g, c.LatencyIn, s.Threads)
	}
	k, err := nncf.Compress(s.ctx, m, algorithms, nncf.CompressOptions{Calibration: cal, Threads: s.Threads, Logger: s.log})
	if err != nil {
		return err
	}
	r := precisionReport{Model: c.Model}
	if q, ok := controllerOf[*quantization.Controller](k); ok {
		r.PrecisionReport = q.Precision()
	}
	r.Seconds = time.Since(start).Seconds()
	if c.SVG != "" {
		var b bytes.Buffer
		r.WriteSVG(&b)
		if err := atomicfile.WriteBytes(c.SVG, b.Bytes()); err != nil {
			return err
		}
	}
	if s.JSON {
		return s.printJSON(r)
	}
	return r.table(s)
}

func (r precisionReport) table(s *session) error {
	w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	widths := map[int]bool{}
	for _, l := range r.Layers {
		for b := range l.Perturbation {
			widths[b] = true
		}
	}
	list := slices.Sorted(maps.Keys(widths))
	fmt.Fprint(w, "layer\tweights\tMFLOPs\ttrace\tstderr")
	for _, b := range list {
		fmt.Fprintf(w, "\t‖W-Q%d(W)‖²", b)
	}
	fmt.Fprintln(w, "\tbits\tinput bits")
	for _, l := range r.Layers {
		fmt.Fprintf(w, "%s\t%d\t%.2f\t%.4g\t%.2g", l.Layer, l.Elements, float64(l.FLOPs)/1e6, l.Trace, l.StdErr)
		for _, b := range list {
			if p, ok := l.Perturbation[b]; ok {
				fmt.Fprintf(w, "\t%.4g", p)
			} else {
				fmt.Fprint(w, "\t-")
			}
		}
		fmt.Fprintf(w, "\t%d\t%d\n", l.Bits, l.InputBits)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if t := r.Traces; t != nil {
		how := fmt.Sprintf("%d samples in %d chunks, %d probes each (%s)", t.Points, t.Chunks, t.Iterations, t.Form)
		if t.Cached {
			how += ", from the cache"
		}
		fmt.Fprintf(s.Out, "\ntraces from %s\n", how)
	}
	fmt.Fprintf(s.Out, "%d configurations tried; ratios of %s from %.3f to %.3f\n", len(r.Configurations), r.Cost, r.Least, r.Largest)
	_, err := fmt.Fprintf(s.Out, "chosen by the %s search: metric %.4g, ratio %.3f\n", r.Chosen.Search, r.Chosen.Metric, r.Chosen.Ratio)
	return err
}

// latency measures a small model: the least of some runs in a row, in seconds.
func latency(ctx context.Context, g *ir.Graph, where string, threads int) (float64, error) {
	x := tensor.New(tensor.Float32, g.Inputs[0].Type.MustShape()...)
	fillRandom(x.F32())
	var run func() error
	if where == nativeRuntime {
		p, err := nncf.Backend().Compile(ctx, g, engine.Options{Threads: threads})
		if err != nil {
			return 0, err
		}
		defer p.Close()
		p.Input(0).CopyFrom(x)
		run = func() error { return p.Run(ctx) }
	} else {
		dir, err := os.MkdirTemp("", "nncf-latency-*")
		if err != nil {
			return 0, err
		}
		defer os.RemoveAll(dir)
		file := filepath.Join(dir, "layer.onnx")
		if err := nncf.ExportQuantized(file, g, nncf.ExportOptions{}); err != nil {
			return 0, err
		}
		f, err := runtimeFlags{Runtime: where}.open(file, threads, runtimes.Options{})
		if err != nil {
			return 0, err
		}
		defer f.Close()
		feed := map[string]*tensor.Tensor{f.Inputs()[0].Name: x}
		run = func() error { _, err := f.Run(feed); return err }
	}
	const rounds, atLeast = 5, 2 * time.Millisecond
	best := time.Duration(0)
	n := 1
	for i := 0; i < rounds; {
		t := time.Now()
		for range n {
			if err := run(); err != nil {
				return 0, err
			}
		}
		d := time.Since(t)
		if d < atLeast && n < 1<<14 { // runs too few to be timed
			n *= 2
			continue
		}
		if d /= time.Duration(n); best == 0 || d < best {
			best = d
		}
		i++
	}
	return best.Seconds(), nil
}

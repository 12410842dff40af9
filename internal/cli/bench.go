package cli

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/config"
	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
	"github.com/go-nncf/nncf/train"
)

type benchCmd struct {
	Model   string  `arg:"" help:"ONNX file, or the name of a built-in network: resnet20, resnet18, resnet50, mobilenet_v2, …"`
	Train   bool    `help:"Time training steps instead of inference."`
	Batch   int     `help:"Batch size." default:"1"`
	Config  string  `help:"Configuration whose compression section is applied first." placeholder:"FILE"`
	Seconds float64 `help:"How long to measure." default:"8"`
}

func (benchCmd) Help() string {
	return `Runs the model on random input, after a warm-up, and reports images per second.

Examples:
  nncf bench resnet20 --train --batch 128
  nncf bench model.onnx --batch 8 --threads 1 --json`
}

// benchResult is what bench reports.
type benchResult struct {
	Model           string `json:"model"`
	Batch           int    `json:"batch"`
	Train           bool   `json:"train"`
	Threads         int    `json:"threads"`
	CPU             string `json:"cpu"`
	Runs            int    `json:"runs"`
	ImagesPerSecond struct {
		Best   float64 `json:"best"`
		Median float64 `json:"median"`
	} `json:"images_per_second"`
	GFLOPS          float64 `json:"gflops"` // of the median
	ArenaBytes      int64   `json:"arena_bytes"`
	PeakMemoryBytes int64   `json:"peak_memory_bytes"`
}

func (c *benchCmd) Run(s *session) error {
	if c.Batch < 1 {
		return usagef("--batch: got %d, want 1 or more", c.Batch)
	}
	if !(c.Seconds >= 0) {
		return usagef("--seconds: got %g, want 0 or more", c.Seconds)
	}
	m, err := loadModel(c.Model)
	if err != nil {
		return err
	}
	p, err := c.compile(s.ctx, m, s.Threads)
	if err != nil {
		return err
	}
	defer p.Close()
	const least = 5
	var times []time.Duration
	for start := time.Now(); len(times) < least+2 || time.Since(start).Seconds() < c.Seconds; {
		t := time.Now()
		if err := p.Run(s.ctx); err != nil {
			return err
		}
		times = append(times, time.Since(t))
	}
	times = times[2:] // warm-up
	slices.Sort(times)
	info := p.Info()
	r := benchResult{Model: c.Model, Batch: c.Batch, Train: c.Train, Threads: info.Threads, CPU: info.CPU, Runs: len(times),
		ArenaBytes: info.ArenaBytes, PeakMemoryBytes: peakMemory()}
	median := times[len(times)/2].Seconds()
	r.ImagesPerSecond.Best = float64(c.Batch) / times[0].Seconds()
	r.ImagesPerSecond.Median = float64(c.Batch) / median
	r.GFLOPS = 2 * float64(info.MACs) / median / 1e9
	if s.JSON {
		return s.printJSON(r)
	}
	_, err = fmt.Fprintf(s.Out, "%s, batch %d, %d threads, %s: %.1f images/s (best %.1f), %.1f GFLOP/s, peak memory %d MiB\n",
		c.Model, c.Batch, r.Threads, r.CPU, r.ImagesPerSecond.Median, r.ImagesPerSecond.Best, r.GFLOPS, r.PeakMemoryBytes>>20)
	return err
}

// compile builds the program to time, with random input.
func (c *benchCmd) compile(ctx context.Context, m *nncf.Model, threads int) (engine.Program, error) {
	if len(m.Graph.Inputs) != 1 {
		return nil, fmt.Errorf("the model has %d inputs, bench feeds one", len(m.Graph.Inputs))
	}
	shape, err := batchShape(m.Graph.Inputs[0], c.Batch)
	if err != nil {
		return nil, err
	}
	x := tensor.New(tensor.Float32, shape...)
	fillRandom(x.F32())
	g := m.Graph
	var hook train.Hook
	if c.Config != "" {
		cfg, err := config.Load(c.Config)
		if err != nil {
			return nil, err
		}
		algorithms, err := cfg.Algorithms()
		if err != nil {
			return nil, err
		}
		batches := func(int) compress.Batches {
			return func(yield func([]*tensor.Tensor, error) bool) { yield([]*tensor.Tensor{x}, nil) }
		}
		k, err := nncf.Compress(ctx, m, algorithms, nncf.CompressOptions{Calibration: compress.Calibration{Batches: batches}, Threads: threads})
		if err != nil {
			return nil, err
		}
		g, hook = k.Graph, k
	}
	var step *ir.Graph
	if c.Train {
		t, err := nncf.NewTrainer(g, train.Options{Schedule: train.ScheduleOptions{LR: 0.01}, Threads: 1}, hook)
		if err != nil {
			return nil, err
		}
		defer t.Close()
		if step, err = t.StepGraph(shape); err != nil {
			return nil, err
		}
	} else if step, err = g.Specialize(map[string][]int{g.Inputs[0].Name: shape}); err != nil {
		return nil, err
	}
	p, err := nncf.Backend().Compile(ctx, step, engine.Options{Threads: threads})
	if err != nil {
		return nil, err
	}
	p.Input(0).CopyFrom(x)
	return p, nil
}

// batchShape is the input's shape for a batch; only the first axis may be open.
func batchShape(v *ir.Value, batch int) ([]int, error) {
	if v.Type.DType != tensor.Float32 {
		return nil, fmt.Errorf("input %q: got %v, bench feeds float32", v.Name, v.Type)
	}
	var s []int
	for i, d := range v.Type.Dims {
		n, ok := d.Known()
		switch {
		case i == 0 && !ok:
			n = batch
		case !ok:
			return nil, fmt.Errorf("input %q has type %v: only the batch axis may be open", v.Name, v.Type)
		}
		s = append(s, n)
	}
	return s, nil
}

// fillRandom fills x with numbers in -1..1 from a fixed linear congruence.
func fillRandom(x []float32) {
	state := uint32(1)
	for i := range x {
		state = state*1664525 + 1013904223 // Numerical Recipes, second edition, section 7.1
		x[i] = float32(int32(state)) / (1 << 31)
	}
}

// peakMemory returns the largest resident size so far, 0 where the system does
// not tell.
func peakMemory() int64 {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if rest, ok := strings.CutPrefix(sc.Text(), "VmHWM:"); ok {
			var kb int64
			fmt.Sscanf(strings.TrimSpace(rest), "%d kB", &kb)
			return kb << 10
		}
	}
	return 0
}

package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/config"
	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/internal/kernel/probe"
	"github.com/go-nncf/nncf/internal/par"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/tensor"
	"github.com/go-nncf/nncf/train"
)

type benchCmd struct {
	Model   string  `arg:"" help:"ONNX file, or the name of a built-in network: resnet20, resnet18, resnet50, mobilenet_v2, …"`
	Train   bool    `help:"Time training steps instead of inference: forward, cross-entropy, backward, SGD with momentum."`
	Batch   *int    `help:"Batch size; default the one that the model was exported with, or 1." placeholder:"N"`
	Config  string  `help:"Configuration whose compression section is applied first." placeholder:"FILE"`
	Seconds float64 `help:"How long to measure." default:"8"`
	Layers  bool    `help:"Print a line for each layer, too; --json always has them."`
	memoryFlag
	runtimeFlags
}

func (benchCmd) Help() string {
	return `Runs the model on random input, after a warm-up, and reports images per second, best and median. In the same process it
measures what the machine gives at best: multiplications from registers, and bytes from memory. A share that differs from
run to run says that the machine was busy, not that the program changed. Compare medians of runs that alternate.

Examples:
  nncf bench resnet20 --train --batch 128
  nncf bench resnet20 --train --batch 128 --config int8.json --layers
  nncf bench model.onnx --batch 8 --threads 1 --json
  nncf bench model.onnx --batch 8 --cpu avx2
  nncf bench int8.onnx --runtime onnxruntime`
}

// benchResult is what bench reports. Rates are those of the median.
type benchResult struct {
	Model           string   `json:"model"`
	Batch           int      `json:"batch"`
	Train           bool     `json:"train"`
	Config          string   `json:"config,omitempty"`
	Threads         int      `json:"threads"`
	CPU             string   `json:"cpu"`
	Runs            int      `json:"runs"`
	StepMS          spreadOf `json:"step_ms"`
	ImagesPerSecond struct {
		Best   float64 `json:"best"`
		Median float64 `json:"median"`
	} `json:"images_per_second"`
	MACs           int64   `json:"macs"` // of a step
	GFLOPS         float64 `json:"gflops"`
	PeakGFLOPS     float64 `json:"peak_gflops"` // measured
	PeakShare      float64 `json:"peak_share"`
	BytesPerStep   int64   `json:"bytes_per_step"`
	Bandwidth      float64 `json:"bandwidth"`       // measured, bytes a second
	BandwidthShare float64 `json:"bandwidth_share"` // of it, by what the step moves

	ArenaBytes      int64        `json:"arena_bytes"`
	PeakMemoryBytes int64        `json:"peak_memory_bytes"`
	ReferenceSteps  []string     `json:"reference_steps,omitempty"` // nodes without a kernel, which are slow
	Layers          []layerTimes `json:"layers"`
}

// spreadOf is the spread of a measurement.
type spreadOf struct {
	Best   float64 `json:"best"`
	Median float64 `json:"median"`
	P90    float64 `json:"p90"`
}

func (c *benchCmd) Run(s *session) error {
	if c.Batch != nil && *c.Batch < 1 {
		return usagef("--batch: got %d, want 1 or more", *c.Batch)
	}
	if !(c.Seconds >= 0) {
		return usagef("--seconds: got %g, want 0 or more", c.Seconds)
	}
	if c.foreign() {
		return c.benchIn(s)
	}
	m, err := loadModel(c.Model)
	if err != nil {
		return err
	}
	b, err := c.prepare(s, m)
	if err != nil {
		return err
	}
	defer b.close()
	pool := par.New(s.Threads)
	defer pool.Close()
	probing := min(time.Duration(c.Seconds*float64(time.Second))/10, 500*time.Millisecond)
	peak := probe.Arithmetic(pool, probing) // before and after, since neighbours come and go

	const least, warm = 5, 2
	var times []float64
	rest := time.Duration(math.MaxInt64)
	for start := time.Now(); len(times) < least+warm || time.Since(start).Seconds() < c.Seconds; {
		t := time.Now()
		if err := b.step(); err != nil {
			return err
		}
		e := time.Since(t)
		times = append(times, e.Seconds())
		rest = min(rest, e-b.watch.took)
	}
	times = times[warm:]
	slices.Sort(times)
	r := benchResult{Model: c.Model, Batch: b.batch, Train: c.Train, Config: c.Config, Runs: len(times)}
	if !c.Train { // a call, and nothing else
		rest = 0
	}
	if r.Layers, err = measureLayers(s.ctx, b.program, rest); err != nil {
		return err
	}
	r.PeakMemoryBytes = peakMemory()
	peak = max(peak, probe.Arithmetic(pool, probing))
	r.judge(times, b.program.Info(), peak, probe.Bandwidth(pool, probing))
	if s.JSON {
		return s.printJSON(r)
	}
	return r.table(s.Out, c.Layers)
}

// judge fills in what follows from the times of the steps, sorted, in seconds.
func (r *benchResult) judge(times []float64, info engine.Info, peak, bandwidth float64) {
	n := len(times)
	best, median := times[0], times[n/2]
	r.Threads, r.CPU, r.MACs, r.ArenaBytes = info.Threads, info.CPU, info.MACs, info.ArenaBytes
	r.StepMS = spreadOf{Best: 1e3 * best, Median: 1e3 * median, P90: 1e3 * times[n*9/10]}
	r.ImagesPerSecond.Best = float64(r.Batch) / best
	r.ImagesPerSecond.Median = float64(r.Batch) / median
	r.GFLOPS = 2 * float64(info.MACs) / median / 1e9
	r.PeakGFLOPS, r.Bandwidth = peak/1e9, bandwidth
	r.PeakShare = r.GFLOPS / r.PeakGFLOPS
	for _, s := range info.Steps {
		r.BytesPerStep += s.Bytes
		if s.Kernel == "reference" {
			r.ReferenceSteps = append(r.ReferenceSteps, s.Kind+" "+s.Node)
		}
	}
	r.BandwidthShare = float64(r.BytesPerStep) / median / bandwidth
	for i := range r.Layers {
		r.Layers[i].judge(r.PeakGFLOPS)
	}
}

// stopwatch is the engine, with a watch on the last run of its programs.
type stopwatch struct {
	engine.Backend
	took time.Duration
}

// Compile implements [engine.Backend].
func (w *stopwatch) Compile(ctx context.Context, g *ir.Graph, o engine.Options) (engine.Program, error) {
	p, err := w.Backend.Compile(ctx, g, o)
	if err != nil {
		return nil, err
	}
	return watched{p, w}, nil
}

type watched struct {
	engine.Program
	watch *stopwatch
}

func (p watched) Run(ctx context.Context) error {
	t := time.Now()
	defer func() { p.watch.took = time.Since(t) }()
	return p.Program.Run(ctx)
}

// benched is what is timed: step runs program, and for training what belongs to
// a step besides.
type benched struct {
	batch   int
	program engine.Program
	watch   *stopwatch
	step    func() error
	close   func() error
}

// prepare compiles the program to time, with random input.
func (c *benchCmd) prepare(s *session, m *nncf.Model) (*benched, error) {
	x, err := inputBatch(s, m, c.Batch)
	if err != nil {
		return nil, err
	}
	g, hook, err := c.compress(s.ctx, m, x, s.Threads)
	if err != nil {
		return nil, err
	}
	if c.Train {
		return c.prepareTraining(s, g, hook, x)
	}
	limit, err := c.bytes()
	if err != nil {
		return nil, err
	}
	sp, err := deployed(g, x)
	if err != nil {
		return nil, err
	}
	watch := &stopwatch{Backend: nncf.Backend()}
	p, err := watch.Compile(s.ctx, sp, engine.Options{Threads: s.Threads, Logger: s.log, MaxMemory: limit})
	if err != nil {
		return nil, err
	}
	for i, t := range x {
		p.Input(i).CopyFrom(t)
	}
	return &benched{batch: x[0].Shape()[0], program: p, watch: watch, step: func() error { return p.Run(s.ctx) }, close: p.Close}, nil
}

// deployed returns a copy of g for inputs of these shapes as inference runs it:
// batch normalization folded, weights constant, so that they are packed once.
func deployed(g *ir.Graph, inputs []*tensor.Tensor) (*ir.Graph, error) {
	g = g.Clone()
	if err := pass.FoldBatchNorm(g, nil); err != nil {
		return nil, err
	}
	g, err := pass.Specialize(g, tensor.Shapes(inputs))
	if err != nil {
		return nil, err
	}
	for _, v := range g.Stored() {
		g.SetKind(v, ir.Constant)
	}
	return g, nil
}

// compress applies the configuration's compression, initialised with x.
func (c *benchCmd) compress(ctx context.Context, m *nncf.Model, x []*tensor.Tensor, threads int) (*ir.Graph, train.Hook, error) {
	if c.Config == "" {
		return m.Graph, nil, nil
	}
	cfg, err := config.Load(c.Config)
	if err != nil {
		return nil, nil, err
	}
	algorithms, err := cfg.Algorithms()
	if err != nil {
		return nil, nil, err
	}
	batches := func(int) compress.Batches {
		return func(yield func([]*tensor.Tensor, error) bool) { yield(x, nil) }
	}
	k, err := nncf.Compress(ctx, m, algorithms, nncf.CompressOptions{Calibration: compress.Calibration{Batches: batches}, Threads: threads})
	if err != nil {
		return nil, nil, err
	}
	return k.Graph, k, nil
}

// prepareTraining times what a step of the trainer does, the update included.
func (c *benchCmd) prepareTraining(s *session, g *ir.Graph, hook train.Hook, x []*tensor.Tensor) (*benched, error) {
	limit, err := c.bytes()
	if err != nil {
		return nil, err
	}
	watch := &stopwatch{Backend: nncf.Backend()}
	t, err := train.New(g, watch, s.stepOptions(g, limit), hook)
	if err != nil {
		return nil, err
	}
	p, err := t.Program(s.ctx, x...)
	if err != nil {
		t.Close()
		return nil, err
	}
	like := p.Input(len(x)) // behind the model's inputs
	target := tensor.New(like.DType(), like.Shape()...)
	fillLabels(target, p.Output(1))
	return &benched{batch: x[0].Shape()[0], program: p, watch: watch, close: t.Close, step: func() error {
		_, err := t.StepInputs(s.ctx, x, target, 0)
		return err
	}}, nil
}

// fillLabels writes the classes 0, 1, 2, … in turn; scores are [N classes …].
func fillLabels(target, scores *tensor.Tensor) {
	if target.DType() != tensor.Int64 {
		return
	}
	classes := 1
	if scores.Rank() > 1 {
		classes = scores.Shape()[1]
	}
	for i := range target.I64() {
		target.I64()[i] = int64(i % max(1, classes))
	}
}

// inputBatch makes a batch for the model's inputs: random numbers, and ones for
// integers, such as token ids and masks. nil stands for the model's own batch or
// 1; a model with a fixed batch of another length gets a free one.
func inputBatch(s *session, m *nncf.Model, batch *int) ([]*tensor.Tensor, error) {
	if len(m.Graph.Inputs) == 0 {
		return nil, errors.New("the model has no inputs")
	}
	for _, v := range m.Graph.Inputs {
		if v.Type.Rank() == 0 {
			return nil, fmt.Errorf("input %q: got %v, want a batch axis", v.Name, v.Type)
		}
	}
	if n, fixed := m.Graph.FixedBatch(); fixed && batch != nil && *batch != n {
		if err := nncf.FreeBatch(s.ctx, m, engine.Options{Threads: s.Threads, Logger: s.log}); err != nil {
			return nil, fmt.Errorf("input %q has a fixed batch of %d: %w", m.Graph.Inputs[0].Name, n, err)
		}
	}
	shapes, _ := m.Graph.SampleShapes()
	var inputs []*tensor.Tensor
	for _, v := range m.Graph.Inputs {
		shape, ok := shapes[v.Name]
		if !ok {
			return nil, fmt.Errorf("input %q has type %v: only the batch axis may be open", v.Name, v.Type)
		}
		if _, fixed := v.Type.Dims[0].Known(); !fixed {
			shape[0] = compress.ValueOr(batch, 1)
		}
		x := tensor.New(v.Type.DType, shape...)
		switch v.Type.DType {
		case tensor.Float32:
			fillRandom(x.F32())
		case tensor.Int64:
			ones(x.I64())
		case tensor.Int32:
			ones(tensor.Data[int32](x))
		case tensor.Bool:
		default:
			return nil, fmt.Errorf("input %q: got %v, want float32, int32, int64 or bool", v.Name, v.Type)
		}
		inputs = append(inputs, x)
	}
	return inputs, nil
}

func ones[T int32 | int64](x []T) {
	for i := range x {
		x[i] = 1
	}
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

package quantization

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// Controller is the handle to the quantizers of a graph. It keeps the graph
// before quantization, whose stored tensors it shares, to collect ranges from.
type Controller struct {
	setup       *Setup
	g, float    *ir.Graph
	quantizers  []*placed
	initialized bool
	stage       *stage           // of a training in stages
	report      *PrecisionReport // how bits were chosen
}

var _ compress.Controller = (*Controller)(nil)

// Algorithm implements [compress.Controller].
func (*Controller) Algorithm() string { return Name }

// Setup returns what was applied, with what initialisation decided.
func (c *Controller) Setup() *Setup { return c.setup }

// Initialize collects the ranges of the float model's values, then adapts batch
// normalization to the quantized model. A controller whose state was loaded is
// initialised already.
func (c *Controller) Initialize(ctx context.Context, r compress.Runner, cal compress.Calibration) error {
	if c.initialized {
		return nil
	}
	if err := c.choosePrecision(ctx, r, cal); err != nil {
		return fmt.Errorf("precision: %w", err)
	}
	ranges := c.initRanges
	if c.report != nil { // weights have other grids now
		ranges = func(ctx context.Context, r compress.Runner, cal compress.Calibration) error {
			return c.initKinds(ctx, r, cal, func(*placed) bool { return true })
		}
	}
	if err := ranges(ctx, r, cal); err != nil {
		return err
	}
	if c.on(Weight) || c.on(Activation) {
		if err := c.setup.BatchNorm.Run(ctx, r, c.g, cal); err != nil {
			return err
		}
	}
	c.initialized = true
	return nil
}

// rangeResult is the collected range of one quantizer.
type rangeResult struct {
	low, high []float64
	negative  bool
}

// initWeights sets the ranges of weights, which need no data.
func (c *Controller) initWeights() error {
	var errs []error
	for _, x := range c.quantizers {
		if x.Kind != Weight || x.Range.off() {
			continue
		}
		w, ok := pass.StoredTensor(x.value) // masked weights too
		if !ok {
			continue
		}
		o := newObserver(x.Range, x.Quantizer, x.layout(w.Shape()))
		for {
			o.batch(w.F32(), 1)
			if !o.again() {
				break
			}
		}
		if err := x.collected(o); err != nil {
			errs = append(errs, err)
		}
	}
	return c.settle(errs)
}

func (x *placed) layout(s tensor.Shape) layout {
	if x.Axis < 0 {
		return layout{1, max(1, s.Numel())}
	}
	return layout{s[x.Axis], max(1, tensor.Shape(s[x.Axis+1:]).Numel())}
}

// largestRange is beyond what activations have, and within what scales can express.
const largestRange = math.MaxFloat32 / 1024

// collected keeps what an observer found, if it is a range.
func (x *placed) collected(o observer) error {
	low, high := o.bounds()
	for i := range low {
		if !(math.Abs(low[i]) <= largestRange && math.Abs(high[i]) <= largestRange) {
			return fmt.Errorf("range of %q: got [%g, %g] from the data, want numbers up to %.0g; check the inputs, or ignore the operators around it", x.Value, low[i], high[i], largestRange)
		}
	}
	x.want = &rangeResult{low, high, o.negative()}
	return nil
}

// watch is one value under observation.
type watch struct {
	*placed
	observer
	left, steps int // samples or batches still to come
}

// initRanges runs the float graph as often as the range types need.
func (c *Controller) initRanges(ctx context.Context, r compress.Runner, cal compress.Calibration) error {
	var all []*watch
	for _, x := range c.quantizers {
		if x.Range.off() || x.Kind == Weight && x.value.IsStored() {
			continue
		}
		all = append(all, &watch{placed: x})
	}
	for pass := 0; len(all) > 0; pass++ {
		if err := c.observe(ctx, r, cal, all); err != nil {
			return fmt.Errorf("ranges: %w", err)
		}
		var again []*watch
		var errs []error
		for _, w := range all {
			switch {
			case w.observer == nil:
				errs = append(errs, fmt.Errorf("range of %q: there were no data", w.Value))
			case w.again():
				again = append(again, w)
			default:
				errs = append(errs, w.collected(w.observer))
			}
		}
		if err := errors.Join(errs...); err != nil {
			return err
		}
		all = again
	}
	return c.settle(nil)
}

// observe is one pass over the data.
func (c *Controller) observe(ctx context.Context, r compress.Runner, cal compress.Calibration, all []*watch) error {
	var want []*ir.Value
	at := map[*ir.Value]int{}
	samples, steps := 0, 0
	for _, w := range all {
		w.left, w.steps = w.Range.amount()
		if w.Kind == Weight {
			w.left, w.steps = 0, 1
		}
		samples, steps = max(samples, w.left), max(steps, w.steps)
		if _, ok := at[w.value]; !ok && w.value.Kind != ir.Input {
			at[w.value] = len(want)
			want = append(want, w.value)
		}
	}
	var inputs []*tensor.Tensor
	batches := func(yield func([]*tensor.Tensor, error) bool) {
		seen, n := 0, 0
		amount := samples
		if steps > 0 {
			amount = math.MaxInt32
		}
		for b, err := range cal.Batches(amount) {
			inputs = b
			if !yield(b, err) || err != nil {
				return
			}
			n++
			if seen += size(b); seen >= samples && n >= steps {
				return
			}
		}
	}
	return r.Run(ctx, c.float, want, batches, func(got []*tensor.Tensor) error {
		n := size(inputs)
		for _, w := range all {
			if w.left <= 0 && w.steps <= 0 {
				continue
			}
			var t *tensor.Tensor
			if i, ok := at[w.value]; ok {
				t = got[i]
			} else {
				for i, v := range c.float.Inputs {
					if v == w.value {
						t = inputs[i]
					}
				}
			}
			if w.observer == nil {
				w.observer = newObserver(w.Range, w.Quantizer, w.layout(t.Shape()))
			}
			x, parts := t.F32(), 1
			if w.placed.samples && n > 0 && len(x)%n == 0 {
				parts = n
				if w.steps <= 0 { // just the samples that were asked for
					parts = min(n, w.left)
					x = x[:len(x)/n*parts]
				}
			}
			w.left -= n
			w.steps--
			w.batch(x, parts)
		}
		return nil
	})
}

// size is the number of samples of a batch.
func size(b []*tensor.Tensor) int {
	if len(b) == 0 || b[0].Rank() == 0 {
		return 1
	}
	return b[0].Shape()[0]
}

// settle writes collected ranges to the parameters and decides signs. A group
// takes the union of its members' ranges.
func (c *Controller) settle(errs []error) error {
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, x := range c.quantizers {
		if x.group[0] != x || x.want == nil {
			continue
		}
		u := *x.want
		for _, y := range x.group[1:] {
			if y.want == nil {
				continue
			}
			u.low[0], u.high[0] = min(u.low[0], y.want.low[0]), max(u.high[0], y.want.high[0])
			u.negative = u.negative || y.want.negative
		}
		x.setRange(u.low, u.high, c.setup.ScaleFloor)
		for _, y := range x.group {
			if y.Mode == Symmetric && !y.fixed {
				y.Signed = signIf(u.negative).ptr()
			}
			y.want = nil
		}
	}
	return c.setOps()
}

func signIf(negative bool) sign {
	if negative {
		return signYes
	}
	return signNo
}

// setOps gives the nodes the operators of their quantizers.
func (c *Controller) setOps() error {
	p := rewrite.New(c.g, Name+"-grid", nil)
	for _, x := range c.quantizers {
		p.SetOp(x.node, c.nodeOp(x))
	}
	return p.Commit()
}

// Step implements [compress.Controller].
func (c *Controller) Step() {}

// Loss implements [compress.Controller]: quantization has no loss of its own.
func (c *Controller) Loss(*ir.Builder) (*ir.Value, error) { return nil, nil }

// Stage implements [compress.Controller].
func (c *Controller) Stage() compress.Stage { return compress.StageOf(c.on(Activation), c.on(Weight)) }

// state is what parameters and setup do not hold.
type state struct {
	Initialized bool            `json:"initialized"`
	Signed      map[string]bool `json:"signed"`
	Stage       *stage          `json:"stage,omitempty"`
}

// State implements [compress.Controller].
func (c *Controller) State() (json.RawMessage, error) {
	s := state{Initialized: c.initialized, Signed: map[string]bool{}, Stage: c.stage}
	for _, x := range c.quantizers {
		if x.Signed != nil {
			s.Signed[x.Value] = *x.Signed
		}
	}
	return json.Marshal(s)
}

// LoadState implements [compress.Controller].
func (c *Controller) LoadState(raw json.RawMessage) error {
	var s state
	if err := compress.DecodeStrict(raw, &s); err != nil {
		return fmt.Errorf("quantization state: %w", err)
	}
	for _, x := range c.quantizers {
		if b, ok := s.Signed[x.Value]; ok && x.Mode == Symmetric {
			x.Signed = &b
		}
	}
	c.initialized = s.Initialized
	if (s.Stage == nil) != (c.stage == nil) {
		return errors.New("quantization state: only one of setup and state trains in stages")
	}
	if s.Stage != nil {
		if s.Stage.Epoch < -1 {
			return fmt.Errorf("quantization state: got epoch %d", s.Stage.Epoch)
		}
		c.stage = s.Stage
	}
	return c.setOps()
}

// Strip implements [compress.Controller]. Quantizers stay: package pass writes
// them in the form that files contain. Those that are off go.
func (c *Controller) Strip(g *ir.Graph, t *rewrite.Trace) error {
	if c.on(Weight) && c.on(Activation) {
		return nil
	}
	p := rewrite.New(g, Name+"-off", t)
	for _, n := range append([]*ir.Node(nil), g.Nodes()...) {
		if _, off := n.Op.(op.FakeQuantizeOff); off {
			p.Replace(n.Out[0], n.In[0])
		}
	}
	return p.Commit()
}

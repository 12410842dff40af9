package enginetest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// testCase is one node and its operands.
type testCase struct {
	op   ir.Op
	in   []operand
	outs int // 0 means 1
}

// node returns a case with one result.
func node(o ir.Op, in ...operand) testCase { return testCase{op: o, in: in} }

// Run compiles and runs, on the backend, graphs of every operator that has a
// reference evaluator, and compares the results with it: for batches of 1 and 3,
// two runs each with different inputs, and once more with the first operand
// computed by a convolution, where it is a batch of images.
//
// Floating-point results may differ by 2e-5 of 1 + their size: the sums here
// have at most a few hundred terms of size about 1, and functions are good to a
// few units in the last place. Integers and truth values are equal.
func Run(t *testing.T, b engine.Backend) {
	t.Helper()
	skips := Skips()
	covered := map[string]bool{}
	for _, n := range []int{1, 3} {
		for i, c := range cases(n) {
			kind := c.op.Kind()
			covered[kind] = true
			for _, behind := range []bool{false, true} {
				if behind && !c.image() {
					continue
				}
				name := fmt.Sprintf("%s/%d/batch=%d", kind, i, n)
				if behind {
					name += "/behind a convolution"
				}
				t.Run(name, func(t *testing.T) { c.check(t, b, behind) })
			}
		}
	}
	for _, d := range op.All() {
		kind := d.Kind()
		_, evaluates := d.Op.(ir.Evaluator)
		switch reason := skips[kind]; {
		case covered[kind] && reason != "":
			t.Errorf("%s has cases and a reason to skip it: %s", kind, reason)
		case reason != "":
			t.Run(kind, func(t *testing.T) { t.Skip(reason) })
		case evaluates && !covered[kind]:
			t.Errorf("%s has neither a case nor a reason to skip it", kind)
		}
	}
}

// image reports whether the first operand is a batch of float32 images.
func (c testCase) image() bool {
	if len(c.in) == 0 {
		return false
	}
	o := c.in[0]
	return !o.none && o.data == nil && o.dtype == tensor.Float32 && len(o.shape) == 4 && o.shape[1] > 1 && o.shape[2]*o.shape[3] > 1
}

// graph builds the case; all results are outputs.
func (c testCase) graph(t *testing.T, behind bool) *ir.Graph {
	t.Helper()
	g := ir.New(c.op.Kind())
	b := ir.NewBuilder(g, "")
	in := make([]*ir.Value, len(c.in))
	for i, o := range c.in {
		in[i] = o.add(g, b, i)
	}
	if behind { // the identity, as a 1×1 convolution
		ch := c.in[0].shape[1]
		w := tensor.New(tensor.Float32, ch, ch, 1, 1)
		for i := range ch {
			w.F32()[i*ch+i] = 1
		}
		in[0] = b.Op(op.Conv{}, "identity", in[0], b.Const("w", w))
	}
	g.Outputs = b.Multi(c.op, "y", max(1, c.outs), in...)
	if b.Err() != nil {
		t.Fatal(b.Err())
	}
	return g
}

func (c testCase) check(t *testing.T, backend engine.Backend, behind bool) {
	t.Helper()
	g := c.graph(t, behind)
	p, err := backend.Compile(t.Context(), g, engine.Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	r := rand.New(rand.NewPCG(1, 2))
	for range 2 {
		var feed []*tensor.Tensor
		for _, o := range c.in {
			if o.none || o.data != nil {
				continue
			}
			in := p.Input(len(feed))
			o.fill(in, r)
			feed = append(feed, in)
		}
		want, err := ir.Eval(t.Context(), g, feed)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i, w := range want {
			if err := differ(p.Output(i), w); err != nil {
				t.Errorf("%+v: output %d: %v", c.op, i, err)
			}
		}
	}
}

// differ describes the first element that is too far off.
func differ(got, want *tensor.Tensor) error {
	if got.DType() != want.DType() || !got.Shape().Equal(want.Shape()) {
		return fmt.Errorf("got %v, want %v", got, want)
	}
	g, err := got.Float64s()
	if err != nil {
		return err
	}
	w, err := want.Float64s()
	if err != nil {
		return err
	}
	tolerance := 0.0
	if want.DType().IsFloat() {
		tolerance = 2e-5
	}
	for i := range w {
		same := g[i] == w[i] || math.IsNaN(g[i]) && math.IsNaN(w[i])
		if d := math.Abs(g[i] - w[i]); !same && !(d <= tolerance*(1+math.Abs(w[i]))) {
			return fmt.Errorf("element %d: got %v, want %v", i, g[i], w[i])
		}
	}
	return nil
}

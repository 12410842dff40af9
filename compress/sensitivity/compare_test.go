package sensitivity_test

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"testing"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/sensitivity"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// scaled is y = relu(a·x); z = y + x.
func scaled(t *testing.T, a float32) *ir.Graph {
	t.Helper()
	g := ir.New("scaled")
	b := ir.NewBuilder(g, "")
	x := g.AddInput("x", ir.Type{DType: tensor.Float32, Dims: []ir.Dim{{N: 1, Sym: "N"}, ir.Len(2)}})
	y := b.Op(op.Relu{}, "y", b.Op(op.Mul{}, "ax", x, b.ConstF32("a", a)))
	g.Outputs = []*ir.Value{b.Op(op.Add{}, "z", y, x)}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	return g
}

// threeSamples are a batch of two samples and one of one.
func threeSamples() compress.Batches {
	return func(yield func([]*tensor.Tensor, error) bool) {
		_ = yield([]*tensor.Tensor{tensor.From([]float32{1, 2, -3, 4}, 2, 2)}, nil) &&
			yield([]*tensor.Tensor{tensor.From([]float32{2, -1}, 1, 2)}, nil)
	}
}

func TestCompare(t *testing.T) {
	c, err := nncf.Compare(t.Context(), scaled(t, 1), scaled(t, 1.5), threeSamples, 1)
	if err != nil {
		t.Fatal(err)
	}
	if c.Samples != 3 || c.Same != 3 || c.OnlyFirst != 0 || c.OnlySecond != 0 {
		t.Errorf("got %d samples, %d with the same prediction, %d and %d values left out; want 3, 3, 0, 0", c.Samples, c.Same, c.OnlyFirst, c.OnlySecond)
	}
	if len(c.Values) != 3 || len(c.Outputs()) != 1 || c.Outputs()[0].Value != "z" {
		t.Fatalf("got %+v, want the values ax, y, z, the last one an output", c.Values)
	}
	ax := c.Values[0] // the error is half the value
	if math.Abs(ax.RelativeError-0.5) > 1e-6 || math.Abs(float64(ax.SQNR)-20*math.Log10(2)) > 1e-5 || ax.Largest != 2 || ax.Peak != 4 {
		t.Errorf("ax: got %+v, want a relative error of 0.5, 6.02 dB, largest difference 2 of values up to 4", ax)
	}
	if got, want := c.Values[1].Mean, (0.5+1+0+2+1+0)/6; math.Abs(got-want) > 1e-6 {
		t.Errorf("y: got a mean difference of %g, want %g", got, want)
	}
}

// The errors of z, sample by sample: (2,4) is 2.5 and 5, (-3,8) is -3 and 10, (4,-1)
// is 5 and -1.
func TestCompare_BySample(t *testing.T) {
	c, err := nncf.Compare(t.Context(), scaled(t, 1), scaled(t, 1.5), threeSamples, 1)
	if err != nil {
		t.Fatal(err)
	}
	z := c.Outputs()[0]
	if z.BySample.Samples != 3 || z.WorstSample != 0 || math.Abs(float64(z.Worst)-0.25) > 1e-6 || math.Abs(float64(z.Median)-1/math.Sqrt(17)) > 1e-6 {
		t.Errorf("got %+v, want a median of 0.2425, and 0.25 at sample 0", z.BySample)
	}
	if z.Bound != z.Worst {
		t.Errorf("got a bound of %g for 3 samples, want the worst", z.Bound)
	}
	ref, err := nncf.NewReference(t.Context(), scaled(t, 1), threeSamples, 1)
	if err != nil {
		t.Fatal(err)
	}
	list, err := ref.Errors(t.Context(), scaled(t, 1.5))
	if err != nil || len(list) != 1 || list[0].BySample != z.BySample || math.Abs(float64(list[0].SQNR)-10*math.Log10(17)) > 1e-5 {
		t.Errorf("reference: got %+v, %v; want the same, and 12.3 dB", list, err)
	}
}

func TestCompare_OneEndsEarly(t *testing.T) {
	calls := 0
	data := func() compress.Batches {
		calls++
		n := calls
		return func(yield func([]*tensor.Tensor, error) bool) {
			for range n {
				if !yield([]*tensor.Tensor{tensor.From([]float32{1, 2}, 1, 2)}, nil) {
					return
				}
			}
		}
	}
	if _, err := nncf.Compare(t.Context(), scaled(t, 1), scaled(t, 2), data, 1); err == nil {
		t.Error("got no error for two sequences of different lengths")
	}
}

func TestDifference_NotFinite(t *testing.T) {
	var d sensitivity.Difference
	inf := float32(math.Inf(1))
	d.Add([]float32{1, inf, 2}, []float32{1, inf, float32(math.NaN())})
	if d.NotFinite != 1 || !math.IsInf(d.SQNR(), -1) || !math.IsInf(d.RelativeError(), 1) {
		t.Errorf("got %d not finite, %g dB, relative %g; want 1, -Inf, +Inf", d.NotFinite, d.SQNR(), d.RelativeError())
	}
}

// An interruption while values are compared leaves them where they are until
// the comparison is done with them.
func TestCompare_Interrupted(t *testing.T) {
	for after := range 4 {
		ctx, cancel := context.WithCancel(t.Context())
		var n atomic.Int64 // both models draw batches, at the same time
		data := func() compress.Batches {
			return func(yield func([]*tensor.Tensor, error) bool) {
				for range 50 {
					if n.Add(1) > int64(10*after) {
						cancel()
					}
					if !yield([]*tensor.Tensor{tensor.New(tensor.Float32, 1000, 2)}, nil) {
						return
					}
				}
			}
		}
		if _, err := nncf.Compare(ctx, scaled(t, 1), scaled(t, 2), data, 1); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want a cancelled context", err)
		}
		cancel()
	}
}

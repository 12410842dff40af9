package hessian_test

import (
	"testing"

	"github.com/go-nncf/nncf/compress/hessian"
	"github.com/go-nncf/nncf/internal/testkit/calibrate"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// Traces are found again for the same model only: every element of every stored
// tensor counts, whatever its type, and a loss of the caller's keeps none.
func TestCacheKey(t *testing.T) {
	model := func(mask tensor.DType, at int) *ir.Graph {
		g := ir.New("masked")
		b := ir.NewBuilder(g, "")
		x := g.AddInput("x", ir.MakeType(tensor.Float32, 4))
		m := tensor.New(mask, 4)
		switch mask {
		case tensor.Uint8:
			tensor.Data[uint8](m)[at] = 1
		case tensor.Float32:
			m.F32()[at] = 1
			g.Outputs = []*ir.Value{b.Op(op.Mul{}, "y", x, g.AddStored(ir.State, "mask", m))}
			return g
		}
		g.Outputs = []*ir.Value{b.Op(op.Mask{}, "y", x, g.AddStored(ir.State, "mask", m))}
		return g
	}
	key := func(g *ir.Graph) string {
		k, err := hessian.CacheKey(g)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	for _, d := range []tensor.DType{tensor.Uint8, tensor.Float32} {
		one, again := key(model(d, 1)), key(model(d, 1))
		if one != again {
			t.Errorf("%v: equal models have different keys", d)
		}
		if one == key(model(d, 2)) {
			t.Errorf("%v: different elements have the same key", d)
		}
	}
}

// A loss of the caller's is not part of the key, so nothing is kept.
func TestTraces_OwnLossIsNotCached(t *testing.T) {
	d := load(t)
	cal := d.calibration()
	cal.Cache, cal.Loss = t.TempDir(), hessian.CrossEntropy
	for range 2 {
		r, err := hessian.Traces(t.Context(), calibrate.Runner{Threads: 1}, d.net(t, op.Relu{}), weights, cal, hessian.Options{Iterations: 2, Tolerance: -1})
		if err != nil {
			t.Fatal(err)
		}
		if r.Cached {
			t.Error("got traces of another loss from the cache")
		}
	}
}

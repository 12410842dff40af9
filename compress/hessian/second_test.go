package hessian_test

import (
	"testing"

	"github.com/go-nncf/nncf/compress/hessian"
	"github.com/go-nncf/nncf/internal/testkit/calibrate"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
)

// Networks of smooth operators have products too.
func TestTraces_Activations(t *testing.T) {
	d := load(t)
	for _, act := range []ir.Op{op.HardSwish{}, op.Sigmoid{}, op.Tanh{}, op.Gelu{}, op.Elu{Alpha: 1}, op.Softmax{Axis: 1}, op.HardSigmoid{Alpha: 0.2, Beta: 0.5}, op.Mish{}, op.Swish{Alpha: 1}} {
		r, err := hessian.Traces(t.Context(), calibrate.Runner{Threads: 1}, d.net(t, act), weights, d.calibration(), hessian.Options{Iterations: 2})
		if err != nil {
			t.Errorf("%s: %v", act.Kind(), err)
			continue
		}
		if r.Form != "products" || r.Traces[3].StdErr == 0 {
			t.Errorf("%s: got %+v", act.Kind(), r)
		}
	}
}

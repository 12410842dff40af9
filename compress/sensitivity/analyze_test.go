package sensitivity_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/ptq"
	"github.com/go-nncf/nncf/compress/quantization"
	"github.com/go-nncf/nncf/compress/sensitivity"
	"github.com/go-nncf/nncf/tensor"
	"github.com/go-nncf/nncf/zoo"
)

func images(seed uint64) compress.Calibration {
	return compress.Calibration{Batches: func(n int) compress.Batches {
		return func(yield func([]*tensor.Tensor, error) bool) {
			r := rand.New(rand.NewPCG(seed, 0))
			for range max(1, n/4) {
				x := tensor.New(tensor.Float32, 4, 3, 32, 32)
				for i := range x.F32() {
					x.F32()[i] = float32(r.NormFloat64())
				}
				if !yield([]*tensor.Tensor{x}, nil) {
					return
				}
			}
		}
	}}
}

func eightBits(only ...string) []compress.Algorithm {
	perChannel := true
	return []compress.Algorithm{quantization.New(quantization.Options{Weights: quantization.Group{Bits: 4, PerChannel: &perChannel}, Scopes: compress.Scopes{Target: only}})}
}

// What Analyze says about one layer is what a model says in which that layer
// alone is a target scope.
func TestAnalyze(t *testing.T) {
	m, err := nncf.Build("resnet8_cifar", zoo.Options{Classes: 10, Size: 32})
	if err != nil {
		t.Fatal(err)
	}
	cal := images(1)
	none := ptq.Options{BiasCorrection: ptq.NoBias, Subset: 8}
	quantize := func(only ...string) (*nncf.Model, *nncf.Compressed) {
		float, c, err := nncf.Quantize(t.Context(), m, nncf.QuantizeOptions{Options: none, Algorithms: eightBits(only...), Calibration: cal})
		if err != nil {
			t.Fatal(err)
		}
		return float, c
	}
	float, c := quantize()
	probe := func() compress.Batches { return images(2).Batches(8) }
	a, err := nncf.Sensitivity(t.Context(), float, c, probe, 0, sensitivity.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if a.Samples != 8 || len(a.Layers) < 8 || len(a.IgnoredScopes) == 0 {
		t.Fatalf("got %d samples, %d layers, ignored scopes %q", a.Samples, len(a.Layers), a.IgnoredScopes)
	}
	for i, l := range a.Layers {
		if l.Rank != i+1 || i > 0 && l.OutputError > a.Layers[i-1].OutputError {
			t.Errorf("entry %d: got rank %d with error %g, want them by falling error", i, l.Rank, l.OutputError)
		}
		if l.MACs <= 0 || l.WeightBytes <= 0 || l.WeightBits != 4 || l.InputBits != 8 {
			t.Errorf("%s: got %d MACs, %d bytes, %d and %d bits", l.Scope, l.MACs, l.WeightBytes, l.WeightBits, l.InputBits)
		}
		if l.Lowest > l.Highest || l.Clipped < 0 || l.Clipped > 5 {
			t.Errorf("%s: got input %g…%g, %g %% clipped", l.Scope, l.Lowest, l.Highest, l.Clipped)
		}
	}
	for _, l := range []sensitivity.Layer{a.Layers[0], a.Layers[len(a.Layers)-1]} {
		_, alone := quantize(l.Scope)
		d, err := nncf.Compare(t.Context(), float.Graph, alone.Graph, probe, 0)
		if err != nil {
			t.Fatal(err)
		}
		want := d.Outputs()[0].RelativeError
		if math.Abs(l.OutputError-want) > 0.02*want {
			t.Errorf("%s: got an output error of %g, a model with only this layer quantized has %g", l.Scope, l.OutputError, want)
		}
	}
}

func TestAnalyze_NothingQuantized(t *testing.T) {
	m, err := nncf.Build("resnet8_cifar", zoo.Options{Classes: 10, Size: 32})
	if err != nil {
		t.Fatal(err)
	}
	c, err := nncf.Compress(t.Context(), m, nil, nncf.CompressOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nncf.Sensitivity(t.Context(), m, c, func() compress.Batches { return images(2).Batches(4) }, 0, sensitivity.Options{}); err == nil {
		t.Error("got no error for a model without quantizers")
	}
}

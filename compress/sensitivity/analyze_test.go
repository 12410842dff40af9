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

// Errors of single operators add up as squares to that of the whole model, and a
// layer that is left in float takes the multiplications along that Units says.
func TestUnits(t *testing.T) {
	m, err := nncf.Build("resnet8_cifar", zoo.Options{Classes: 10, Size: 32})
	if err != nil {
		t.Fatal(err)
	}
	quantize := func(ignored ...string) (*nncf.Model, *nncf.Compressed) {
		perChannel := true
		a := quantization.New(quantization.Options{Weights: quantization.Group{Bits: 6, PerChannel: &perChannel}, Activations: quantization.Group{Bits: 6}, Scopes: compress.Scopes{Ignored: ignored}})
		float, c, err := nncf.Quantize(t.Context(), m, nncf.QuantizeOptions{Options: ptq.Options{Subset: 8}, Algorithms: []compress.Algorithm{a}, Calibration: images(1)})
		if err != nil {
			t.Fatal(err)
		}
		return float, c
	}
	float, c := quantize()
	ref, err := nncf.NewReference(t.Context(), m.Graph, func() compress.Batches { return images(2).Batches(8) }, 0)
	if err != nil {
		t.Fatal(err)
	}
	units, err := sensitivity.Units(t.Context(), ref, float.Graph, c.Graph, nil)
	if err != nil {
		t.Fatal(err)
	}
	sum, kinds := 0.0, map[string]int{}
	for _, u := range units {
		sum += float64(u.Worst.Median) * float64(u.Worst.Median)
		kinds[float.Graph.Value(u.Result).Def.Op.Kind()]++
		if u.Bits != 6 || u.Worst.Median <= 0 {
			t.Errorf("%s: got %d bits, error %g", u.Scope, u.Bits, u.Worst.Median)
		}
	}
	if kinds["Conv"] != 7 || kinds["Add"] != 3 {
		t.Errorf("got %v, want the 7 convolutions and 3 sums, and what comes behind them", kinds)
	}
	errs, err := ref.Errors(t.Context(), c.Graph)
	if err != nil {
		t.Fatal(err)
	}
	if r := math.Sqrt(sum) / float64(errs[0].Median); r < 0.5 || r > 2 {
		t.Errorf("the root of the summed squares is %.2f times the error of the whole model, want about 1", r)
	}
	all, total := ref.IntegerMACs(c.Graph)
	if all != total || all == 0 {
		t.Errorf("got %d of %d multiplications on integers, want all", all, total)
	}
	u := units[2] // a convolution in the first block, which reads another
	_, less := quantize(u.Scope)
	if n, _ := ref.IntegerMACs(less.Graph); all-n != u.MACs {
		t.Errorf("%s in float: got %d multiplications less on integers, want %d", u.Scope, all-n, u.MACs)
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

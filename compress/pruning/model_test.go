package pruning_test

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress/pruning"
	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/internal/testkit"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// everything prunes whatever can be pruned, without rounding.
func everything() pruning.Options {
	yes := true
	half := 0.5
	return pruning.Options{Params: pruning.Params{Target: &half, PruneFirst: &yes, PruneDownsample: &yes, Multiple: 1, Rounding: pruning.Up}}
}

// outputs runs g on the engine.
func outputs(t *testing.T, g *ir.Graph, in []*tensor.Tensor) []*tensor.Tensor {
	t.Helper()
	var out []*tensor.Tensor
	batches := func(yield func([]*tensor.Tensor, error) bool) { yield(in, nil) }
	err := nncf.Run(t.Context(), g, g.Outputs, batches, engine.Options{Threads: 2}, func(got []*tensor.Tensor) error {
		for _, x := range got {
			out = append(out, x.Clone())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// inputs makes random inputs; open axes get length 2 first, side after it.
func inputs(g *ir.Graph, side int) []*tensor.Tensor {
	rng := rand.New(rand.NewPCG(1, 2))
	var in []*tensor.Tensor
	for _, v := range g.Inputs {
		var s []int
		for i, d := range v.Type.Dims {
			n, known := d.Known()
			switch {
			case known:
			case i == 0:
				n = 2
			default:
				n = side
			}
			s = append(s, n)
		}
		if v.Type.DType == tensor.Int64 {
			x := tensor.New(tensor.Int64, s...)
			for i := range x.I64() {
				x.I64()[i] = int64(rng.IntN(10))
			}
			in = append(in, x)
			continue
		}
		x := tensor.New(tensor.Float32, s...)
		for i := range x.F32() {
			x.F32()[i] = float32(rng.NormFloat64())
		}
		in = append(in, x)
	}
	return in
}

// sameShrunk prunes a model and compares it masked and shrunk.
func sameShrunk(t *testing.T, m *nncf.Model, o pruning.Options, side int) pruning.Report {
	t.Helper()
	g, c := prune(t, m, o)
	if err := c.Set(c.Target()); err != nil {
		t.Fatal(err)
	}
	r := c.Report()
	shrunk := g.Clone()
	for _, v := range shrunk.Stored() {
		v.Data = v.Data.Clone()
	}
	if err := c.Strip(shrunk, nil); err != nil {
		t.Fatal(err)
	}
	if err := ir.Verify(shrunk); err != nil {
		t.Fatal(err)
	}
	in := inputs(g, side)
	want, got := outputs(t, g, in), outputs(t, shrunk, in)
	for i, w := range want {
		if !w.Shape().Equal(got[i].Shape()) {
			t.Fatalf("output %d: got shape %v, want %v", i, got[i].Shape(), w.Shape())
		}
		if w.DType() != tensor.Float32 {
			continue
		}
		largest, worst := 0.0, 0.0
		for k, x := range w.F32() {
			largest = max(largest, math.Abs(float64(x)))
			worst = max(worst, math.Abs(float64(x)-float64(got[i].F32()[k])))
			if math.IsNaN(float64(got[i].F32()[k])) {
				t.Fatalf("output %d is NaN", i)
			}
		}
		if !(worst <= 1e-5*max(1, largest)) {
			t.Errorf("output %d: masked and shrunk differ by %g of %g", i, worst, largest)
		}
	}
	return r
}

// TestModels_MaskedEqualsShrunk on networks from other hands: fire modules,
// detectors with several outputs, depthwise and shuffled channels.
func TestModels_MaskedEqualsShrunk(t *testing.T) {
	for _, c := range []struct {
		path  string
		side  int
		atMin float64 // share of the weights that must go
	}{
		{"cifar-resnet/resnet20_jpeg_bn.onnx", 32, 0.7},
		{"cifar-resnet/resnet20_jpeg_folded.onnx", 32, 0.7},
		{"squeezenet", 224, 0.5},
		{"ultraface", 0, 0.5},
		{"yunet", 64, 0.3},
		{"fastestdet", 0, 0.3},
		{"mlperf-tiny", 0, 0.2},
	} {
		root := testkit.Shared(t, "models", filepath.FromSlash(c.path))
		var files []string
		filepath.WalkDir(root, func(p string, d os.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(p, ".onnx") {
				files = append(files, p)
			}
			return nil
		})
		for _, f := range files {
			t.Run(filepath.Base(f), func(t *testing.T) {
				m, err := nncf.Load(f)
				if err != nil {
					t.Skip(err)
				}
				r := sameShrunk(t, m, everything(), c.side)
				t.Logf("%d clusters, %d groups kept, weights %d to %d, FLOPs %d to %d", len(r.Clusters), len(r.Kept), r.Full.Params, r.Now.Params, r.Full.FLOPs, r.Now.FLOPs)
				for _, k := range r.Kept {
					t.Logf("kept: %v: %s", k.Weights, k.Why)
				}
				if float64(r.Full.Params-r.Now.Params) < c.atMin*float64(r.Full.Params) {
					t.Errorf("only %d of %d weights went", r.Full.Params-r.Now.Params, r.Full.Params)
				}
			})
		}
	}
}

// TestModels_Folder does the same for every model in the folder that
// NNCF_PRUNING_MODELS names.
func TestModels_Folder(t *testing.T) {
	dir := os.Getenv("NNCF_PRUNING_MODELS")
	if dir == "" {
		t.Skip("NNCF_PRUNING_MODELS names no folder")
	}
	files, _ := filepath.Glob(dir)
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			m, err := nncf.Load(f)
			if err != nil {
				t.Fatal(err)
			}
			r := sameShrunk(t, m, everything(), 224)
			t.Logf("%d clusters, %d groups kept, weights %.3gM to %.3gM, FLOPs %.3gG to %.3gG", len(r.Clusters), len(r.Kept), float64(r.Full.Params)/1e6, float64(r.Now.Params)/1e6, float64(r.Full.FLOPs)/1e9, float64(r.Now.FLOPs)/1e9)
			for _, k := range r.Kept {
				t.Logf("kept %d of %v: %s", k.Filters, k.Weights[0], k.Why)
			}
		})
	}
}

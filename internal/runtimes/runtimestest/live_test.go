package runtimestest_test

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/go-nncf/nncf/internal/onnxpb"
	"github.com/go-nncf/nncf/internal/runtimes"
	"github.com/go-nncf/nncf/internal/runtimes/openvino"
	"github.com/go-nncf/nncf/internal/runtimes/ort"
	"github.com/go-nncf/nncf/internal/runtimes/runtimestest"
	"github.com/go-nncf/nncf/internal/testkit"
	"github.com/go-nncf/nncf/tensor"
)

// bindings are the runtimes that every test here goes through.
var bindings = []struct {
	name      string
	openFile  func(testing.TB, string, runtimes.Options) *runtimes.Session
	openBytes func(testing.TB, []byte, runtimes.Options) *runtimes.Session
	tryBytes  func([]byte, runtimes.Options) (*runtimes.Session, error)
	tryFile   func(string, runtimes.Options) (*runtimes.Session, error)
	conv      string // type of a quantized convolution's layer
}{
	{"onnxruntime", runtimestest.ORT[string], runtimestest.ORT[[]byte], ort.OpenBytes, ort.Open, "QLinearConv"},
	{"openvino", runtimestest.OpenVINO[string], runtimestest.OpenVINO[[]byte], openvino.OpenBytes, openvino.Open, "Convolution"},
}

// A trained network gives the outputs that another installation of ONNX
// Runtime gave, which are stored beside it.
func TestReferenceOutputs(t *testing.T) {
	model := testkit.Shared(t, "models", "cifar-resnet", "resnet20_jpeg_bn.onnx")
	refs := filepath.Join(filepath.Dir(model), "refs")
	x := readTensor(t, filepath.Join(refs, "cifar_input.pb"))
	want := readTensor(t, filepath.Join(refs, "resnet20_jpeg_bn.out.pb"))
	for _, b := range bindings {
		t.Run(b.name, func(t *testing.T) {
			s := b.openFile(t, model, runtimes.Options{Threads: 2})
			t.Logf("%s %s: %v → %v", s.Runtime(), s.Version(), s.Inputs(), s.Outputs())
			ports := []runtimes.Port{{Name: "input", DType: tensor.Float32, Dims: []int{-1, 3, 32, 32}, Ranked: true}}
			if d := cmp.Diff(ports, s.Inputs()); d != "" {
				t.Errorf("inputs: -want +got\n%s", d)
			}
			got, err := s.Run(map[string]*tensor.Tensor{"input": x})
			if err != nil {
				t.Fatal(err)
			}
			// The logits reach 17; float32 sums of a few hundred terms.
			if e := largestDifference(t, got["logits"], want); e > 1e-4 {
				t.Errorf("largest difference %g, want at most 1e-4", e)
			}
		})
	}
}

// safeWeight is the largest weight with which no kernel saturates: two
// products with 255 fit 16 bits.
const safeWeight = 63

// A model in the layout that both runtimes like runs in int8 and computes the
// same in both, on any batch.
func TestQuantizedConv(t *testing.T) {
	model := quantizedConv(t, safeWeight)
	x := uniform(2, 3, 16, 8, 8)
	plain := runtimestest.ORT(t, model, runtimes.Options{DisableOptimizations: true})
	says, err := plain.Run(map[string]*tensor.Tensor{"x": x}) // what the file says
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range bindings {
		t.Run(b.name, func(t *testing.T) {
			s := b.openBytes(t, model, runtimes.Options{Profiling: true})
			got, err := s.Run(map[string]*tensor.Tensor{"x": x})
			if err != nil {
				t.Fatal(err)
			}
			// A value at a rounding boundary may fall on the other side: one step.
			if e := largestDifference(t, got["y"], says["y"]); e > 8./255+1e-6 {
				t.Errorf("largest difference %g, want at most one step of %g", e, 8./255)
			}
			layers, err := s.Layers()
			if err != nil {
				t.Fatal(err)
			}
			convs := 0
			for _, l := range layers {
				t.Logf("%-20s %-18s %-32s %s", l.Node, l.Type, l.Exec, l.Precision)
				if l.Type == b.conv && l.Precision == "i8" {
					convs++
				} else if strings.Contains(l.Type, "Conv") && l.Type != "Convert" {
					t.Errorf("%s runs as %s %s, want an int8 convolution", l.Node, l.Type, l.Exec)
				}
			}
			if convs != 1 {
				t.Errorf("got %d int8 convolutions, want 1", convs)
			}
			again, err := s.Layers()
			if err != nil || len(again) != len(layers) {
				t.Errorf("layers again: got %d, %v, want %d", len(again), err, len(layers))
			}
		})
	}
}

// With weights of the full range, processors without VNNI saturate unless told
// otherwise.
func TestWide8Bit(t *testing.T) {
	model := quantizedConv(t, 127)
	x := map[string]*tensor.Tensor{"x": uniform(2, 3, 16, 8, 8)}
	want, err := runtimestest.ORT(t, model, runtimes.Options{DisableOptimizations: true}).Run(x)
	if err != nil {
		t.Fatal(err)
	}
	got, err := runtimestest.ORT(t, model, runtimes.Options{Wide8Bit: true}).Run(x)
	if err != nil {
		t.Fatal(err)
	}
	if e := largestDifference(t, got["y"], want["y"]); e > 8./255+1e-6 {
		t.Errorf("largest difference %g, want at most one step of %g", e, 8./255)
	}
}

func TestElementTypes(t *testing.T) {
	model := casts(t)
	in := map[string]*tensor.Tensor{
		"x": tensor.From([]float32{0, 1.5, 200, 3}, 2, 2),
		"i": tensor.From([]int64{1, -2, 1 << 20}, 3), // OpenVINO computes int64 in 32 bits
	}
	want := map[string]*tensor.Tensor{
		"u8":  tensor.From([]uint8{0, 1, 200, 3}, 2, 2),
		"i32": tensor.From([]int32{0, 1, 200, 3}, 2, 2),
		"b":   tensor.From([]bool{false, true, true, true}, 2, 2),
		"f16": tensor.Wrap(tensor.Float16, []uint16{0, 0x3e00, 0x5a40, 0x4200}, 2, 2),
		"ii":  tensor.From([]int64{2, -4, 1 << 21}, 3),
	}
	for _, b := range bindings {
		t.Run(b.name, func(t *testing.T) {
			s := b.openBytes(t, model, runtimes.Options{})
			got, err := s.Run(in)
			if err != nil {
				t.Fatal(err)
			}
			for name, w := range want {
				if g := got[name]; g == nil || !g.Equal(w) {
					t.Errorf("%s: got %v, want %v", name, g, w)
				}
			}
		})
	}
}

// What a library has against a model reaches the caller in its words.
func TestLibraryErrors(t *testing.T) {
	unknown := bytesOf(t, &onnxpb.Graph{
		Name:    "unknown",
		Inputs:  []*onnxpb.ValueInfo{port("x", onnxpb.DataFloat, 1)},
		Outputs: []*onnxpb.ValueInfo{port("y", onnxpb.DataFloat, 1)},
		Nodes:   []*onnxpb.Node{{OpType: "Frobnicate", Domain: "nowhere", Inputs: []string{"x"}, Outputs: []string{"y"}}},
	})
	for _, b := range bindings {
		t.Run(b.name, func(t *testing.T) {
			for _, c := range []struct {
				name string
				open func() (*runtimes.Session, error)
				want string
			}{
				{"unknown operator", func() (*runtimes.Session, error) { return b.tryBytes(unknown, runtimes.Options{}) }, "Frobnicate"},
				{"no model", func() (*runtimes.Session, error) { return b.tryBytes([]byte("no model"), runtimes.Options{}) }, b.name},
				{"no file", func() (*runtimes.Session, error) { return b.tryFile("absent.onnx", runtimes.Options{}) }, "absent.onnx"},
				{"no bytes", func() (*runtimes.Session, error) { return b.tryBytes(nil, runtimes.Options{}) }, "0 bytes"},
				{"bad options", func() (*runtimes.Session, error) { return b.tryBytes(unknown, runtimes.Options{Threads: -3}) }, "-3"},
			} {
				s, err := c.open()
				runtimestest.SkipIfAbsent(t, err)
				if s != nil || err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
				}
			}
			s := b.openBytes(t, quantizedConv(t, safeWeight), runtimes.Options{})
			if _, err := s.Layers(); err == nil || !strings.Contains(err.Error(), "Profiling") {
				t.Errorf("layers without profiling: got %v", err)
			}
			if _, err := s.Run(map[string]*tensor.Tensor{"x": uniform(1, 1, 16, 8, 9)}); err == nil {
				t.Error("wrong shape: got no error")
			}
		})
	}
}

func TestOptimizedModelPath(t *testing.T) {
	file := filepath.Join(t.TempDir(), "optimized.onnx")
	runtimestest.ORT(t, quantizedConv(t, safeWeight), runtimes.Options{OptimizedModelPath: file})
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m, err := onnxpb.DecodeModel(b)
	if err != nil {
		t.Fatal(err)
	}
	ops := map[string]int{}
	for _, n := range m.Graph.Nodes {
		if n.OpType != "Transpose" { // where the kernel wants channels last
			ops[n.OpType]++
		}
	}
	if d := cmp.Diff(map[string]int{"QuantizeLinear": 1, "QLinearConv": 1, "DequantizeLinear": 1}, ops); d != "" {
		t.Errorf("operators: -want +got\n%s", d)
	}
}

func TestFixedShapes(t *testing.T) {
	s := runtimestest.OpenVINO(t, quantizedConv(t, safeWeight), runtimes.Options{Shapes: map[string][]int{"x": {2, 16, 8, 8}}})
	if d := cmp.Diff([]int{2, 16, 8, 8}, s.Inputs()[0].Dims); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	if _, err := s.Run(map[string]*tensor.Tensor{"x": uniform(1, 2, 16, 8, 8)}); err != nil {
		t.Error(err)
	}
	_, err := openvino.OpenBytes(quantizedConv(t, safeWeight), runtimes.Options{Shapes: map[string][]int{"absent": {1}}})
	if err == nil || !strings.Contains(err.Error(), "absent") {
		t.Errorf("unknown input: got %v", err)
	}
}

// Sessions side by side, with the collector at its busiest: nothing that C sees
// may move or be freed.
func TestManySessions(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(1))
	model := quantizedConv(t, safeWeight)
	for _, b := range bindings {
		t.Run(b.name, func(t *testing.T) {
			var first *tensor.Tensor
			var mu sync.Mutex
			var wg sync.WaitGroup
			for range 4 {
				s := b.openBytes(t, model, runtimes.Options{})
				wg.Go(func() {
					for range 8 {
						got, err := s.Run(map[string]*tensor.Tensor{"x": uniform(3, 2, 16, 8, 8)})
						if err != nil {
							t.Error(err)
							return
						}
						runtime.GC()
						mu.Lock()
						if first == nil {
							first = got["y"]
						}
						if !first.Equal(got["y"]) {
							t.Error("two sessions differ on one input")
						}
						mu.Unlock()
					}
				})
			}
			wg.Wait()
		})
	}
}

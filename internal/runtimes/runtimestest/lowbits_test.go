package runtimestest_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress/quantization"
	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/internal/runtimes"
	"github.com/go-nncf/nncf/internal/runtimes/runtimestest"
)

// What the report says about narrow layers is what the libraries execute:
// convolutions of 4-bit weights on integers, as int8 in the file; the packed
// matrix product in float, with its weights in 4 bits in OpenVINO; and with 4-bit
// inputs the layers before them in float in ONNX Runtime only. All compute what
// was simulated.
func TestLowBits_Runtimes(t *testing.T) {
	needRuntimes(t)
	for _, c := range []struct {
		name    string
		options quantization.Options
		ortInt8 int // convolutions, of 7
	}{
		{"weights", quantization.Options{Weights: quantization.Group{Bits: 4}}, 7},
		{"mixed", quantization.Options{Initializer: quantization.Initializer{Precision: quantization.Precision{
			BitsPerScope: []quantization.ScopeBits{{Bits: 4, Scope: "layer1.0.conv2"}, {Bits: 4, Scope: "linear"}, {Bits: 8, Scope: "linear", Group: "activations"}}}}}, 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := committed("examples/quickstart/fashion_resnet8.onnx")(t)
			k := compressed(t, m, fashion(t, data.Train, 300), 300, c.options)
			images := batchesOf(t, fashion(t, data.Test, 500))
			want := scores{images: images, simulated: outputs(t, k.Graph, images)}
			path := filepath.Join(t.TempDir(), "model.onnx")
			if err := k.Export(path, nncf.ExportOptions{Opset: 21}); err != nil {
				t.Fatal(err)
			}
			count := func(s *runtimes.Session, float string) (int8 int, matrices string) {
				layers, err := s.Layers()
				if err != nil {
					t.Fatal(err)
				}
				for _, l := range layers {
					switch {
					case (strings.HasSuffix(l.Type, "Conv") || l.Type == "Convolution") && !strings.Contains(strings.ToLower(l.Precision), float):
						int8++
					case strings.Contains(l.Type, "Gemm") || l.Type == "FullyConnected":
						matrices += l.Type + " " + l.Precision
					}
				}
				return int8, matrices
			}
			o := runtimestest.ORT(t, path, runtimes.Options{Threads: 2, Profiling: true, Wide8Bit: true})
			want.compare(t, o, ortAgreement)
			if n, matrix := count(o, "f"); n != c.ortInt8 || matrix == "" || strings.HasPrefix(matrix, "Q") {
				t.Errorf("ONNX Runtime: got %d convolutions in int8 and %q, want %d and a Gemm in float", n, matrix, c.ortInt8)
			}
			v := runtimestest.OpenVINO(t, path, runtimes.Options{Threads: 2, Profiling: true})
			want.compare(t, v, openvinoAgreement)
			if n, _ := count(v, "f32"); n != 7 {
				t.Errorf("OpenVINO: got %d convolutions in int8, want 7", n)
			}
		})
	}
}

// With 16 bits on both sides ONNX Runtime would quantize float biases to int32 by
// the product of the scales, in which they do not fit.
func TestWide_Runtimes(t *testing.T) {
	needRuntimes(t)
	wide := quantization.Group{Bits: 16}
	m := committed("examples/quickstart/fashion_resnet8.onnx")(t)
	k := compressed(t, m, fashion(t, data.Train, 50), 50, quantization.Options{Weights: wide, Activations: wide})
	images := batchesOf(t, fashion(t, data.Test, 100))
	want := scores{images: images, simulated: outputs(t, k.Graph, images)}
	path := filepath.Join(t.TempDir(), "model.onnx")
	if err := k.Export(path, nncf.ExportOptions{}); err != nil {
		t.Fatal(err)
	}
	want.compare(t, runtimestest.ORT(t, path, runtimes.Options{Threads: 2}), 1)
}

package runtimestest_test

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/binarization"
	"github.com/go-nncf/nncf/compress/quantization"
	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/internal/runtimes"
	"github.com/go-nncf/nncf/internal/runtimes/runtimestest"
	"github.com/go-nncf/nncf/tensor"
	"github.com/go-nncf/nncf/zoo"
)

// binarizedNet is a binarized resnet20 that its data have initialised, and some
// inputs. Its last layer may be quantized too.
func binarizedNet(t *testing.T, mode binarization.Mode, int8 bool) (*nncf.Compressed, []*tensor.Tensor) {
	t.Helper()
	d := deployed{name: "resnet20", model: shared("cifar-resnet/resnet20_jpeg_bn.onnx"), images: cifar(imagenetPixels)}
	zero := 0
	o := binarization.Options{Mode: mode, Initializer: binarization.Initializer{Scale: binarization.MSE}}
	o.Ignored = compress.Entries{"ResNet/Conv2d[conv1]"}
	o.Params.Activations, o.Params.Weights = &zero, &zero
	algorithms := []compress.Algorithm{binarization.New(o)}
	if int8 {
		q := quantization.Options{OverflowFix: "enable"}
		q.Target = compress.Entries{"ResNet/Conv2d[conv1]", "linear"}
		algorithms = append(algorithms, quantization.New(q))
	}
	cal := nncf.Calibration(t.Context(), d.images(t, data.Train, 128))
	c, err := nncf.Compress(t.Context(), d.model(t), algorithms, nncf.CompressOptions{Calibration: cal, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.RoundBiases(); err != nil {
		t.Fatal(err)
	}
	return c, batchesOf(t, d.images(t, data.Test, 64))
}

// Binarized networks compute in both runtimes what was trained: ONNX Runtime bit
// for bit where it does what the file says, both within rounding otherwise. In
// the FakeQuantize form OpenVINO runs every binarized layer on bits.
func TestBinary_Runtimes(t *testing.T) {
	needRuntimes(t)
	for _, c := range []struct {
		mode binarization.Mode
		int8 bool
	}{{binarization.XNOR, false}, {binarization.DoReFa, true}} {
		t.Run(fmt.Sprintf("%s int8=%t", c.mode, c.int8), func(t *testing.T) {
			net, images := binarizedNet(t, c.mode, c.int8)
			layers := len(net.Setups()[0].(*binarization.Setup).Layers)
			want := outputs(t, net.Graph, images)
			dir := t.TempDir()
			plain, fq := filepath.Join(dir, "plain.onnx"), filepath.Join(dir, "fq.onnx")
			for path, form := range map[string]string{plain: nncf.QDQ, fq: nncf.FakeQuantize} {
				if err := net.Export(path, nncf.ExportOptions{Format: form}); err != nil {
					t.Fatal(err)
				}
			}
			t.Run("onnxruntime", func(t *testing.T) {
				// Bits flip where a float32 sum lies within rounding of a threshold: a few
				// of a layer's thousands, which the next layers spread.
				far := compareScores(t, runtimestest.ORT(t, plain, runtimes.Options{Threads: 2, Wide8Bit: true}), images, want)
				same := compareScores(t, runtimestest.ORT(t, plain, runtimes.Options{Threads: 2, Wide8Bit: true, DisableOptimizations: true}), images, want)
				t.Logf("share of images with other scores: %.3f optimized, %.3f as the file says", far, same)
			})
			t.Run("openvino", func(t *testing.T) {
				s := runtimestest.OpenVINO(t, fq, runtimes.Options{Threads: 2, Profiling: true, Shapes: shapeOf(images[0])})
				far := compareScores(t, s, images, want)
				t.Logf("share of images with other scores: %.3f", far)
				kernels := executed(t, s)
				t.Logf("executed: %v", kernels)
				n := 0
				for k, count := range kernels {
					if strings.HasPrefix(k, "BinaryConvolution ") {
						n += count
					}
				}
				if n != layers {
					t.Errorf("got %d of %d layers as BinaryConvolution", n, layers)
				}
			})
			t.Run("openvino plain", func(t *testing.T) {
				s := runtimestest.OpenVINO(t, plain, runtimes.Options{Threads: 2})
				t.Logf("share of images with other scores: %.3f", compareScores(t, s, images, want))
			})
		})
	}
}

// shapeOf fixes the shape of the models' input: OpenVINO has no binary
// convolution of open shapes.
func shapeOf(x *tensor.Tensor) map[string][]int { return map[string][]int{"input": x.Shape()} }

// executed counts the convolutions that a session ran, by kernel and precision.
func executed(t *testing.T, s *runtimes.Session) map[string]int {
	t.Helper()
	layers, err := s.Layers()
	if err != nil {
		t.Fatal(err)
	}
	kernels := map[string]int{}
	for _, l := range layers {
		if strings.Contains(l.Type, "Conv") || strings.Contains(l.Type, "FullyConnected") || strings.Contains(l.Type, "FakeQuantize") {
			kernels[fmt.Sprintf("%s %s %s", l.Type, l.Exec, l.Precision)]++
		}
	}
	return kernels
}

// compareScores returns the share of images whose scores are off by more than a
// thousandth of the largest, and fails if predictions differ on more than a few.
func compareScores(t *testing.T, s *runtimes.Session, images, want []*tensor.Tensor) float64 {
	t.Helper()
	far, other, n := 0, 0, 0
	for i, x := range images {
		res, err := s.Run(map[string]*tensor.Tensor{s.Inputs()[0].Name: x})
		if err != nil {
			t.Fatal(err)
		}
		w, g := want[i].F32(), res[s.Outputs()[0].Name].F32()
		k := len(w) / x.Shape()[0]
		for ; len(w) > 0; w, g = w[k:], g[k:] {
			n++
			largest, worst := 0.0, 0.0
			for c := range k {
				largest = max(largest, math.Abs(float64(w[c])))
				worst = max(worst, math.Abs(float64(w[c])-float64(g[c])))
			}
			if !(worst <= 1e-3*largest) {
				far++
			}
			if index(w[:k]) != index(g[:k]) {
				other++
			}
		}
	}
	if other > n/20 {
		t.Errorf("got another prediction for %d of %d images", other, n)
	}
	return float64(far) / float64(n)
}

func index(x []float32) int { return slices.Index(x, slices.Max(x)) }

// A chain of binarized convolutions, of shapes that no network here has: strides,
// pads, channel counts off the vectors' width.
func TestBinary_Blocks(t *testing.T) {
	needRuntimes(t)
	m, err := nncf.Build("resnet8_cifar", zoo.Options{Width: 12, Size: 16})
	if err != nil {
		t.Fatal(err)
	}
	zero := 0
	o := binarization.Options{}
	o.Ignored = compress.Entries{"ResNet/Conv2d[conv1]"}
	o.Params.Activations, o.Params.Weights = &zero, &zero
	x := tensor.New(tensor.Float32, 8, 3, 16, 16)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range x.F32() {
		x.F32()[i] = float32(rng.NormFloat64())
	}
	cal := compress.Calibration{Batches: func(int) compress.Batches {
		return func(yield func([]*tensor.Tensor, error) bool) { yield([]*tensor.Tensor{x}, nil) }
	}}
	c, err := nncf.Compress(t.Context(), m, []compress.Algorithm{binarization.New(o)}, nncf.CompressOptions{Calibration: cal})
	if err != nil {
		t.Fatal(err)
	}
	images := []*tensor.Tensor{x}
	want := outputs(t, c.Graph, images)
	for _, form := range []string{nncf.QDQ, nncf.FakeQuantize} {
		path := filepath.Join(t.TempDir(), form+".onnx")
		if err := c.Export(path, nncf.ExportOptions{Format: form}); err != nil {
			t.Fatal(err)
		}
		s := runtimestest.OpenVINO(t, path, runtimes.Options{Profiling: true, Shapes: map[string][]int{m.Graph.Inputs[0].Name: x.Shape()}})
		t.Logf("%s: %.3f off; %v", form, compareScores(t, s, images, want), slices.Sorted(maps.Keys(executed(t, s))))
		if form == nncf.QDQ {
			t.Logf("ONNX Runtime: %.3f off", compareScores(t, runtimestest.ORT(t, path, runtimes.Options{}), images, want))
		}
	}
}

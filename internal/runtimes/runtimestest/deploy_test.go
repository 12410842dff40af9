package runtimestest_test

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/quantization"
	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/internal/cpu"
	"github.com/go-nncf/nncf/internal/runtimes"
	"github.com/go-nncf/nncf/internal/runtimes/openvino"
	"github.com/go-nncf/nncf/internal/runtimes/ort"
	"github.com/go-nncf/nncf/internal/runtimes/runtimestest"
	"github.com/go-nncf/nncf/internal/testkit"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
	"github.com/go-nncf/nncf/zoo"
)

// Exported files in the libraries that users deploy to: everything between input
// and output in int8, and the predictions of the model that was simulated.

// deployed is a network, images for it, and what the runtimes make of it.
type deployed struct {
	name    string
	model   func(testing.TB) *nncf.Model
	images  func(t testing.TB, split data.Split, first int) *data.Loader
	options quantization.Options

	compared int // images; with NNCF_SLOW=1 all there are

	// untrained networks have no predictions worth the name: scores are compared
	// with what quantization itself changes.
	untrained bool
	// ort and openvino are what runs in float besides the quantizer of the input,
	// by the runtimes' names, with the reason.
	ort, openvino map[string]string
}

var deployments = []deployed{
	{name: "quickstart", model: committed("examples/quickstart/fashion_resnet8.onnx"), images: fashion, compared: 2000},
	{name: "weights of 8 bits", model: committed("examples/quickstart/fashion_resnet8.onnx"), images: fashion, compared: 2000,
		options: quantization.Options{OverflowFix: "disable"}},
	{name: "asymmetric activations", model: committed("examples/quickstart/fashion_resnet8.onnx"), images: fashion, compared: 2000,
		options: quantization.Options{Preset: "mixed"}},
	{name: "resnet20", model: shared("cifar-resnet/resnet20_jpeg_bn.onnx"), images: cifar(imagenetPixels), compared: 2000},
	{name: "resnet20 folded", model: shared("cifar-resnet/resnet20_jpeg_folded.onnx"), images: cifar(imagenetPixels), compared: 1000},
	{name: "resnet56", model: shared("cifar-resnet/resnet56_jpeg_bn.onnx"), images: cifar(imagenetPixels), compared: 500},
	{name: "resnet8", model: shared("mlperf-tiny/resnet8_jpeg_bn.onnx"), images: cifar(data.Normalize{Raw: true}), compared: 2000},
	{name: "depthwise-separable", model: shared("mlperf-tiny/kws_dscnn_bn.onnx"), images: keywords, compared: 800},
	{name: "depthwise-separable folded", model: shared("mlperf-tiny/kws_dscnn_folded.onnx"), images: keywords, compared: 800},
	{name: "mobilenet_v1", model: shared("mlperf-tiny/vww_mobilenetv1_025_bn.onnx"), images: imagenet(96, data.Normalize{}), compared: 700},
	{name: "squeezenet", model: shared("squeezenet/squeezenet1_0.onnx"), images: imagenet(227, data.Normalize{Raw: true, BGR: true, Mean: []float64{104, 117, 123}}), compared: 100,
		ort:      map[string]string{"GlobalAveragePool": "gives the model's output", "DequantizeLinear": "before it", "Flatten": "behind it"},
		openvino: map[string]string{"Reorder": "behind the last layer", "Reshape": "behind the last layer"}},
	{name: "mobilenet_v2", model: random("mobilenet_v2", zoo.Options{Classes: 10, Size: 96}), images: imagenet(96, imagenetPixels), compared: 40, untrained: true},
	{name: "resnet18", model: random("resnet18", zoo.Options{Classes: 10, Size: 64}), images: imagenet(64, imagenetPixels), compared: 40, untrained: true},
}

// The share of images with the prediction of the simulated model. ONNX Runtime
// computes what the file says. OpenVINO fuses the sum of a residual block into a
// convolution and drops the rounding in between, whatever it is asked.
const (
	ortAgreement      = 0.995
	openvinoAgreement = 0.99
)

func TestDeployment(t *testing.T) {
	needRuntimes(t)
	for _, d := range deployments {
		t.Run(d.name, d.test)
	}
}

func (d deployed) test(t *testing.T) {
	m := d.model(t)
	compared := d.compared
	if os.Getenv("NNCF_SLOW") != "" {
		compared = math.MaxInt32
	}
	c := compressed(t, m, d.images(t, data.Train, 2000), 300, d.options)
	images := batchesOf(t, d.images(t, data.Test, compared))
	want := scores{d: d, images: images, simulated: outputs(t, c.Graph, images), all: compared > d.compared}
	if d.untrained {
		want.float = outputs(t, withoutQuantizers(t, c.Graph), images)
	}
	convs := 0
	for _, n := range m.Graph.Nodes() {
		if _, ok := n.Op.(op.Conv); ok {
			convs++
		}
	}
	dir := t.TempDir()
	for _, form := range []string{nncf.QDQ, nncf.FakeQuantize} {
		path := filepath.Join(dir, form+".onnx")
		if err := c.Export(path, nncf.ExportOptions{Format: form}); err != nil {
			t.Fatal(err)
		}
		if form == nncf.QDQ { // ONNX Runtime does not know the other operator
			t.Run("onnxruntime "+form, func(t *testing.T) {
				s := runtimestest.ORT(t, path, runtimes.Options{Threads: 2, Profiling: true, Wide8Bit: true})
				want.compare(t, s, ortAgreement)
				checkLayers(t, s, convs, d.ort, "QuantizeLinear")
			})
		}
		t.Run("openvino "+form, func(t *testing.T) {
			s := runtimestest.OpenVINO(t, path, runtimes.Options{Threads: 2, Profiling: true})
			if d.options.OverflowFix == "disable" && cpu.Int8Saturates() {
				t.Log("OpenVINO saturates on this processor: scores are not compared")
				want.run(t, s, images[0])
			} else {
				want.compare(t, s, openvinoAgreement)
			}
			checkLayers(t, s, convs, d.openvino, "FakeQuantize")
		})
	}
}

// needRuntimes skips the test before it does work if a runtime is absent.
func needRuntimes(t *testing.T) {
	t.Helper()
	for _, open := range []func([]byte, runtimes.Options) (*runtimes.Session, error){ort.OpenBytes, openvino.OpenBytes} {
		_, err := open([]byte{0}, runtimes.Options{})
		runtimestest.SkipIfAbsent(t, err)
	}
}

// compressed quantizes m. Where runtimes saturate, weights get 7 bits, as the
// default of configurations has it.
func compressed(t testing.TB, m *nncf.Model, l *data.Loader, samples int, o quantization.Options) *nncf.Compressed {
	t.Helper()
	perChannel := true
	o.Weights.PerChannel = &perChannel
	if o.OverflowFix == "" && cpu.Int8Saturates() {
		o.OverflowFix = "enable"
	}
	cal := nncf.Calibration(t.Context(), l)
	limited := compress.Calibration{Batches: func(n int) compress.Batches { return cal.Batches(min(n, samples)) }}
	c, err := nncf.Compress(t.Context(), m, []compress.Algorithm{quantization.New(o)}, nncf.CompressOptions{Calibration: limited, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.RoundBiases(); err != nil {
		t.Fatal(err)
	}
	return c
}

// batchesOf returns all images of a loader, as the model reads them.
func batchesOf(t testing.TB, l *data.Loader) (list []*tensor.Tensor) {
	t.Helper()
	for b, err := range l.Batches(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, b.Images.Clone())
	}
	return list
}

// outputs returns the first output of a graph for each batch.
func outputs(t testing.TB, g *ir.Graph, images []*tensor.Tensor) (list []*tensor.Tensor) {
	t.Helper()
	feed := func(yield func([]*tensor.Tensor, error) bool) {
		for _, b := range images {
			if !yield([]*tensor.Tensor{b}, nil) {
				return
			}
		}
	}
	err := nncf.Run(t.Context(), g, g.Outputs[:1], feed, engine.Options{Threads: 2}, func(got []*tensor.Tensor) error {
		list = append(list, got[0].Clone())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// withoutQuantizers is the graph in float, with the same statistics.
func withoutQuantizers(t testing.TB, g *ir.Graph) *ir.Graph {
	t.Helper()
	g = g.Clone()
	p := rewrite.New(g, "float", nil)
	for _, n := range slices.Clone(g.Nodes()) {
		switch n.Op.(type) {
		case op.FakeQuantizeSymmetric, op.FakeQuantizeAsymmetric:
			p.Replace(n.Out[0], n.In[0])
		}
	}
	if err := p.Commit(); err != nil {
		t.Fatal(err)
	}
	return g
}

// scores are the outputs of a network on images.
type scores struct {
	d                        deployed
	images, simulated, float []*tensor.Tensor
	all                      bool // images
}

// run returns a session's first output for a batch.
func (w scores) run(t *testing.T, s *runtimes.Session, x *tensor.Tensor) *tensor.Tensor {
	t.Helper()
	res, err := s.Run(map[string]*tensor.Tensor{s.Inputs()[0].Name: x})
	if err != nil {
		t.Fatal(err)
	}
	return res[s.Outputs()[0].Name]
}

// compare runs a file on the images and wants the largest score of each where
// the simulated model has it.
func (w scores) compare(t *testing.T, s *runtimes.Session, agreement float64) {
	t.Helper()
	total, same, count := 0, 0, 0
	var sum, largest, spread, quantized float64
	for i, x := range w.images {
		got, want := w.run(t, s, x), w.simulated[i]
		if !got.Shape().Equal(want.Shape()) {
			t.Fatalf("output: got shape %v, want %v", got.Shape(), want.Shape())
		}
		n := got.Shape()[0]
		row := got.Len() / n
		for k := range n {
			a, b := got.F32()[k*row:][:row], want.F32()[k*row:][:row]
			if slices.Index(a, slices.Max(a)) == slices.Index(b, slices.Max(b)) {
				same++
			}
			mean := 0.0
			for j := range a {
				e := math.Abs(float64(a[j]) - float64(b[j]))
				sum, largest = sum+e, max(largest, e)
				mean += float64(b[j]) / float64(row)
			}
			for j := range b {
				spread += math.Abs(float64(b[j]) - mean)
				if w.float != nil {
					quantized += math.Abs(float64(b[j]) - float64(w.float[i].F32()[k*row+j]))
				}
			}
		}
		total, count = total+n, count+got.Len()
	}
	rate, mean := float64(same)/float64(total), sum/float64(count)
	t.Logf("%s %s: prediction as simulated for %d of %d images (%.2f %%); scores differ by %.4f on average, %.3f at most, where they spread by %.3f",
		s.Runtime(), s.Version(), same, total, 100*rate, mean, largest, spread/float64(count))
	if w.float != nil {
		// Rounding errors that have nothing to do with each other differ by √2 times one.
		if q := math.Sqrt2 * quantized / float64(count); mean > q {
			t.Errorf("scores differ by %.4f on average, want at most %.4f, as two quantizations would", mean, q)
		}
		return
	}
	if !w.all { // by chance, a sample may have two standard deviations fewer
		agreement -= 2 * math.Sqrt(agreement*(1-agreement)/float64(total))
	}
	if rate < agreement {
		t.Errorf("prediction as simulated: got %.2f %%, want at least %.2f %%", 100*rate, 100*agreement)
	}
}

// checkLayers wants the convolutions and everything else in int8 but one
// quantizer of the input and what is allowed.
func checkLayers(t *testing.T, s *runtimes.Session, convs int, allowed map[string]string, quantizer string) {
	t.Helper()
	layers, err := s.Layers()
	if err != nil {
		t.Fatal(err)
	}
	int8, quantizers := 0, 0
	histogram := map[string]int{}
	for _, l := range layers {
		histogram[l.Type+" "+l.Precision]++
		if l.Type == quantizer {
			quantizers++
			continue
		}
		if strings.Contains(l.Type, "Conv") && l.Type != "Convert" && l.Precision == "i8" {
			int8++
		}
		if _, ok := allowed[l.Type]; l.Precision != "i8" && !ok || l.Type == "DequantizeLinear" && !ok {
			t.Errorf("%s runs as %s %s, want int8", l.Node, l.Type, l.Exec)
		}
	}
	t.Logf("%s: %v", s.Runtime(), histogram)
	if int8 != convs {
		t.Errorf("got %d convolutions in int8, want %d", int8, convs)
	}
	if quantizers != 1 {
		t.Errorf("got %d of %s, want 1, at the input", quantizers, quantizer)
	}
}

// --- networks and images -------------------------------------------------------

func committed(path string) func(testing.TB) *nncf.Model {
	return func(t testing.TB) *nncf.Model {
		return load(t, filepath.Join(testkit.RepoRoot(), filepath.FromSlash(path)))
	}
}

func shared(path string) func(testing.TB) *nncf.Model {
	return func(t testing.TB) *nncf.Model { return load(t, testkit.Shared(t, "models", filepath.FromSlash(path))) }
}

func random(name string, o zoo.Options) func(testing.TB) *nncf.Model {
	return func(t testing.TB) *nncf.Model {
		m, err := nncf.Build(name, o)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
}

func load(t testing.TB, path string) *nncf.Model {
	t.Helper()
	m, err := nncf.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

var imagenetPixels = data.Normalize{Mean: []float64{0.485, 0.456, 0.406}, Std: []float64{0.229, 0.224, 0.225}}

func open(t testing.TB, spec string, split data.Split, first int) data.Dataset {
	t.Helper()
	ds, err := data.Open(spec, data.Options{Split: split, First: first})
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

func fashion(t testing.TB, split data.Split, first int) *data.Loader {
	return &data.Loader{Dataset: open(t, "idx:"+filepath.Join(testkit.RepoRoot(), "examples", "quickstart", "data"), split, first),
		Normalize: data.Normalize{Mean: []float64{0.302}, Std: []float64{0.269}}, Batch: 100, Shuffle: split == data.Train}
}

// cifar returns a loader of the shared images, as networks read them.
func cifar(norm data.Normalize) func(testing.TB, data.Split, int) *data.Loader {
	return func(t testing.TB, split data.Split, first int) *data.Loader {
		archive := map[data.Split]string{data.Train: "train_jpeg.tar.gz", data.Test: "test_jpeg.tar.gz"}[split]
		return &data.Loader{Dataset: unpacked(t, testkit.Shared(t, "data", "cifar10", archive), 0, first), Normalize: norm, Batch: 100, Shuffle: split == data.Train}
	}
}

// imagenet returns a loader of centre crops; images to compare on follow those
// to calibrate on.
func imagenet(crop int, norm data.Normalize) func(testing.TB, data.Split, int) *data.Loader {
	return func(t testing.TB, split data.Split, first int) *data.Loader {
		skip := 0
		if split == data.Test {
			skip = 200
		}
		return &data.Loader{Dataset: unpacked(t, testkit.Shared(t, "data", "imagenet-samples", "samples.tar"), skip, min(first, 700)), Normalize: norm, Batch: 20,
			Transforms: data.Transforms{data.Resize{Short: 256 * crop / 227}, data.CentreCrop{Height: crop, Width: crop}}}
	}
}

// unpacked is a folder with count images of an archive, after the first ones.
func unpacked(t testing.TB, archive string, skip, count int) data.Dataset {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(archive, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	root := t.TempDir()
	dir := filepath.Join(root, "image")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	in := tar.NewReader(r)
	for n := 0; n < skip+count; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(h.Name, ".jpg") {
			continue
		}
		if n++; n <= skip {
			continue
		}
		b, err := io.ReadAll(in)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(h.Name)), b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return open(t, "imagefolder:"+root, data.Train, 0)
}

// keywords are spectra of spoken words, 300 of them to calibrate on too.
func keywords(t testing.TB, split data.Split, first int) *data.Loader {
	const record, zero, scale = 1 + 49*10, 83, 0.5847029
	b, err := os.ReadFile(testkit.Shared(t, "data", "kws-mfcc", "kws.bin"))
	if err != nil {
		t.Fatal(err)
	}
	n := min(first, len(b)/record)
	x := make([]float32, 0, n*(record-1))
	for i := range n {
		for _, v := range b[i*record+1 : (i+1)*record] {
			x = append(x, float32(float64(int(int8(v))-zero)*scale))
		}
	}
	path := filepath.Join(t.TempDir(), "kws.npz")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := data.WriteNPZ(f, data.Array{Name: "x", Tensor: tensor.From(x, n, 1, 49, 10)}); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return &data.Loader{Dataset: open(t, "npz:"+path, split, 0), Batch: 100, Normalize: data.Normalize{Raw: true}, Shuffle: split == data.Train}
}

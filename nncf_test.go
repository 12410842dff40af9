package nncf_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/quantization"
	"github.com/go-nncf/nncf/config"
	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/onnx"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
	"github.com/go-nncf/nncf/zoo"
)

func tiny(t testing.TB) *nncf.Model {
	t.Helper()
	m, err := nncf.Build("resnet8_cifar", zoo.Options{Width: 4, Size: 8, Channels: 1})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// noise is a loader of n random images for tiny, whose pixels tell them apart.
func noise(t testing.TB, n, batch int) *data.Loader {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	x := tensor.New(tensor.Float32, n, 1, 8, 8)
	for i := range x.F32() {
		x.F32()[i] = float32(rng.NormFloat64())
	}
	ds, err := data.FromTensors(x, nil, data.NCHW, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &data.Loader{Dataset: ds, Batch: batch, Normalize: data.Normalize{Raw: true}}
}

// outputs runs a graph over all of a loader.
func outputs(t testing.TB, g *ir.Graph, l *data.Loader) (y []float32) {
	t.Helper()
	cal := nncf.Calibration(t.Context(), l)
	err := nncf.Run(t.Context(), g, g.Outputs, cal.Batches(math.MaxInt32), engine.Options{}, func(got []*tensor.Tensor) error {
		y = append(y, got[0].F32()...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return y
}

func compressed(t testing.TB, m *nncf.Model, l *data.Loader) *nncf.Compressed {
	t.Helper()
	c, err := nncf.Compress(t.Context(), m, []compress.Algorithm{quantization.New(quantization.Options{})},
		nncf.CompressOptions{Calibration: nncf.Calibration(t.Context(), l)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// scales counts the quantizers of a graph.
func scales(g *ir.Graph) (n int) {
	for _, node := range g.Nodes() {
		if strings.HasPrefix(node.Op.Kind(), "FakeQuantize") {
			n++
		}
	}
	return n
}

func TestCalibration(t *testing.T) {
	l := noise(t, 10, 4)
	for _, c := range []struct {
		n    int
		want []int // batch sizes
	}{{0, nil}, {1, []int{1}}, {4, []int{4}}, {6, []int{4, 2}}, {10, []int{4, 4, 2}}, {99, []int{4, 4, 2}}} {
		var got []int
		var pixels []float32
		for b, err := range nncf.Calibration(t.Context(), l).Batches(c.n) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, b[0].Shape()[0])
			pixels = append(pixels, b[0].F32()...)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%d samples: got batches of %v, want %v", c.n, got, c.want)
		}
		all := outputs(t, passThrough(), l)
		if !slices.Equal(pixels, all[:len(pixels)]) {
			t.Errorf("%d samples: they are not the first ones", c.n)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range nncf.Calibration(ctx, l).Batches(5) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: got error %v", err)
		}
	}
}

// passThrough gives back its input.
func passThrough() *ir.Graph {
	g := ir.New("copy")
	b := ir.NewBuilder(g, "")
	x := g.AddInput("x", ir.Type{DType: tensor.Float32, Dims: []ir.Dim{ir.Symbol("N"), ir.Len(1), ir.Len(8), ir.Len(8)}})
	g.Outputs = []*ir.Value{b.Op(op.Neg{}, "back", b.Op(op.Neg{}, "there", x))}
	return g
}

func TestRun_Errors(t *testing.T) {
	g := passThrough()
	x := tensor.New(tensor.Float32, 2, 1, 8, 8)
	once := func(in ...*tensor.Tensor) compress.Batches {
		return func(yield func([]*tensor.Tensor, error) bool) { yield(in, nil) }
	}
	stop := errors.New("stop")
	run := func(ctx context.Context, b compress.Batches, f func([]*tensor.Tensor) error) error {
		return nncf.Run(ctx, g, g.Outputs, b, engine.Options{}, f)
	}
	ok := func([]*tensor.Tensor) error { return nil }
	if err := run(t.Context(), once(x), func([]*tensor.Tensor) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error of the callback: got %v", err)
	}
	if err := run(t.Context(), once(x, x), ok); err == nil || !strings.Contains(err.Error(), "got 2 inputs, the model has 1") {
		t.Errorf("two inputs: got error %v", err)
	}
	if err := run(t.Context(), once(tensor.New(tensor.Float32, 2, 3)), ok); err == nil || !strings.Contains(err.Error(), `input "x"`) {
		t.Errorf("wrong shape: got error %v", err)
	}
	if err := run(t.Context(), func(yield func([]*tensor.Tensor, error) bool) { yield(nil, stop) }, ok); !errors.Is(err, stop) {
		t.Errorf("error of the data: got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, once(x), ok); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got error %v", err)
	}
}

// TestCompress leaves the model alone, and what was restored from its state
// computes the same.
func TestCompress(t *testing.T) {
	m, l := tiny(t), noise(t, 32, 8)
	before := outputs(t, m.Graph, l)
	c := compressed(t, m, l)
	if scales(m.Graph) != 0 || scales(c.Graph) == 0 {
		t.Errorf("got %d quantizers in the model and %d in the compressed one, want none and some", scales(m.Graph), scales(c.Graph))
	}
	for v := range c.Graph.Parameters() { // fine-tuning would
		v.Data.F32()[0] *= 1.5
	}
	if !slices.Equal(before, outputs(t, m.Graph, l)) {
		t.Error("the model changed with its compressed copy")
	}

	state, err := c.SaveState()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(state)
	if err != nil {
		t.Fatal(err)
	}
	var read nncf.CompressionState
	if err := json.Unmarshal(raw, &read); err != nil {
		t.Fatal(err)
	}
	r, err := nncf.Restore(m, read, config.RestoreSetup)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range c.Graph.Stored() {
		w := r.Graph.Value(v.Name)
		if w == nil || w.Kind != v.Kind {
			t.Fatalf("restored graph: no %v %q", v.Kind, v.Name)
		}
		if v.Kind == ir.Parameter || v.Kind == ir.State {
			w.Data.CopyFrom(v.Data)
		}
	}
	if !slices.Equal(outputs(t, c.Graph, l), outputs(t, r.Graph, l)) {
		t.Error("the restored model computes something else")
	}
	if r.Stage() != compress.FullyCompressed || len(r.Setups()) != 1 {
		t.Errorf("restored: got stage %v and %d setups", r.Stage(), len(r.Setups()))
	}
	read.Setups[0].Algorithm = "pruning"
	if _, err := nncf.Restore(m, read, config.RestoreSetup); err == nil || !strings.Contains(err.Error(), `unknown algorithm "pruning"`) {
		t.Errorf("unknown algorithm: got error %v", err)
	}
}

// TestCompress_None is a model that nothing compresses.
func TestCompress_None(t *testing.T) {
	m, l := tiny(t), noise(t, 8, 8)
	c, err := nncf.Compress(t.Context(), m, nil, nncf.CompressOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if c.Stage() != compress.Uncompressed || !slices.Equal(outputs(t, m.Graph, l), outputs(t, c.Graph, l)) {
		t.Errorf("got stage %v, want uncompressed and the same outputs", c.Stage())
	}
}

// TestCompressed_Export compares files, read back, with the simulated model.
func TestCompressed_Export(t *testing.T) {
	m, l := tiny(t), noise(t, 32, 8)
	c := compressed(t, m, l)
	want := outputs(t, c.Graph, l)
	text := func() string {
		s, err := ir.Print(c.Graph)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	graph := text()
	dir := t.TempDir()
	largest := 0.0
	for _, v := range want {
		largest = max(largest, math.Abs(float64(v)))
	}
	for _, o := range []nncf.ExportOptions{{}, {Format: nncf.QDQ, Opset: 21}, {Format: nncf.FakeQuantize}} {
		path := filepath.Join(dir, "m.onnx")
		if err := c.Export(path, o); err != nil {
			t.Fatal(err)
		}
		g, err := onnx.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if o.Opset != 0 && g.Meta.Opset != o.Opset {
			t.Errorf("%+v: got opset %d", o, g.Meta.Opset)
		}
		kinds := map[string]int{}
		for _, n := range g.Nodes() {
			kinds[n.Op.Kind()]++
		}
		if qdq := o.Format != nncf.FakeQuantize; (kinds["QuantizeLinear"] > 0) != qdq || kinds["BatchNormalization"] > 0 {
			t.Errorf("%+v: got operators %v", o, kinds)
		}
		back, err := nncf.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		got := outputs(t, back.Graph, l)
		for i, v := range want {
			sum += math.Abs(float64(got[i] - v))
		}
		// A value on the border between two points of a grid may fall to the
		// other side; most do not.
		if mean := sum / float64(len(want)); mean > 0.01*largest {
			t.Errorf("%+v: outputs differ by %g on average, the largest is %g", o, mean, largest)
		}
	}
	if text() != graph || !slices.Equal(want, outputs(t, c.Graph, l)) {
		t.Error("exporting changed the model")
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
		t.Errorf("got %v (%v) in the folder, want the model alone", list, err)
	}
	if err := c.Export(filepath.Join(dir, "x.onnx"), nncf.ExportOptions{Format: "int8"}); err == nil || !strings.Contains(err.Error(), `got "int8", want qdq or fakequantize`) {
		t.Errorf("unknown format: got error %v", err)
	}
	if err := c.Export(filepath.Join(dir, "none", "x.onnx"), nncf.ExportOptions{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such folder: got error %v", err)
	}
}

func TestModel_Export(t *testing.T) {
	m, l := tiny(t), noise(t, 8, 8)
	path := filepath.Join(t.TempDir(), "m.onnx")
	if err := m.Export(path, nncf.ExportOptions{}); err != nil {
		t.Fatal(err)
	}
	back, err := nncf.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(outputs(t, m.Graph, l), outputs(t, back.Graph, l)) {
		t.Error("the file computes something else")
	}
	params := func(g *ir.Graph) (names []string) {
		for v := range g.Parameters() {
			names = append(names, v.Name)
		}
		slices.Sort(names)
		return names
	}
	if a, b := params(m.Graph), params(back.Graph); !slices.Equal(a, b) {
		t.Errorf("parameters: got %v, want %v", b, a)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	read, err := nncf.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	var again bytes.Buffer
	if err := onnx.Write(&again, read.Graph, onnx.Options{Producer: "nncf"}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b, again.Bytes()) {
		t.Error("writing what was read gives another file")
	}
}

func TestLoad_Errors(t *testing.T) {
	if _, err := nncf.Load(filepath.Join(t.TempDir(), "none.onnx")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got error %v", err)
	}
	if _, err := nncf.Read([]byte("no model")); err == nil {
		t.Error("text was read as a model")
	}
	if _, err := nncf.Build("vgg", zoo.Options{}); err == nil || !strings.Contains(err.Error(), `unknown network "vgg"`) {
		t.Errorf("got error %v", err)
	}
}

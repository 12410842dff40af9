package job_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/job"
	"github.com/go-nncf/nncf/onnx"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

const tokens, words, width = 5, 12, 16

// textModel is an attention layer over embedded tokens, of which a mask hides
// some, in a file: ids, mask → scores of three classes.
func textModel(t *testing.T, path string) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	g := ir.New("text")
	b := ir.NewBuilder(g, "")
	param := func(name string, shape ...int) *ir.Value {
		p := tensor.New(tensor.Float32, shape...)
		for i := range p.F32() {
			p.F32()[i] = float32(rng.NormFloat64() / 4)
		}
		return g.AddStored(ir.Constant, name, p)
	}
	in := func(name string) *ir.Value {
		return g.AddInput(name, ir.Type{DType: tensor.Int64, Dims: []ir.Dim{ir.Symbol("N"), ir.Len(tokens)}})
	}
	ids, mask := in("ids"), in("mask")
	x := b.Op(op.Gather{}, "embed", param("table", words, width), ids)
	visible := b.Op(op.Unsqueeze{}, "visible", b.Op(op.Cast{To: tensor.Bool}, "seen", mask), b.ConstInts("axes", 1))
	hide := b.Op(op.Where{}, "hide", visible, b.ConstF32("zero", 0), b.ConstF32("lowest", -3.4028235e38))
	linear := func(name string, x *ir.Value, n int) *ir.Value {
		return b.Op(op.MatMul{}, name, x, param(name+"/w", x.Type.Dims[2].N, n))
	}
	q, k, v := linear("q", x, width), linear("k", x, width), linear("v", x, width)
	scores := b.Op(op.MatMul{}, "scores", q, b.Op(op.Transpose{Perm: []int{0, 2, 1}}, "kt", k))
	y := b.Op(op.MatMul{}, "mix", b.Op(op.Softmax{Axis: -1}, "softmax", b.Op(op.Add{}, "masked", scores, hide)), v)
	y = b.Op(op.Relu{}, "relu", linear("up", b.Op(op.Add{}, "residual", x, y), 2*width))
	y = b.Op(op.ReduceMax{}, "pool", y, b.ConstInts("pool/axes", 1))
	g.Outputs = []*ir.Value{b.Op(op.Gemm{Alpha: 1, Beta: 1}, "classes", y, param("classes/w", 2*width, 3), param("classes/b", 3))}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	if err := onnx.Save(path, g, onnx.Options{}); err != nil {
		t.Fatal(err)
	}
}

// textData writes n texts: the class is that of a word among others, all of which
// may be seen.
func textData(t *testing.T, path string, n int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(3, 4))
	ids, mask, labels := tensor.New(tensor.Int64, n, tokens), tensor.New(tensor.Int64, n, tokens), tensor.New(tensor.Int64, n)
	for i := range n {
		seen := 2 + rng.IntN(tokens-1)
		for k := range tokens {
			ids.I64()[i*tokens+k] = int64(3 + rng.IntN(words-3))
			if k < seen {
				mask.I64()[i*tokens+k] = 1
			}
		}
		labels.I64()[i] = int64(rng.IntN(3))
		ids.I64()[i*tokens+rng.IntN(seen)] = labels.I64()[i]
	}
	writeNPZ(t, path, data.Array{Name: "mask", Tensor: mask}, data.Array{Name: "ids", Tensor: ids}, data.Array{Name: "labels", Tensor: labels})
}

// TestTrain_Arrays trains a model of two inputs from an npz file, in INT8, and
// evaluates what it exports.
func TestTrain_Arrays(t *testing.T) {
	dir := t.TempDir()
	textModel(t, filepath.Join(dir, "text.onnx"))
	textData(t, filepath.Join(dir, "text.npz"), 240)
	c := parse(t, dir, `{
		"model": "text.onnx", "dataset": "npz:text.npz", "batch_size": 24, "epochs": 6,
		"optimizer": {"type": "adam", "base_lr": 0.01},
		"compression": {"algorithm": "quantization", "initializer": {"range": {"num_init_samples": 64}}}
	}`)
	r := mustTrain(t, c, job.Options{})
	if r.Metrics.Top1 < 90 {
		t.Errorf("got %.1f %% after training, want it learnt", r.Metrics.Top1)
	}
	if e := r.Export; e == nil || e.MaxRelativeDifference > 0.05 {
		t.Errorf("the export differs: %+v", e)
	}
	file := filepath.Join(c.Dir, "runs", "model.onnx")
	ds, err := data.Open("npz:"+filepath.Join(dir, "text.npz"), data.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := job.Evaluate(t.Context(), file, &data.Loader{Dataset: ds}, 0, job.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(got.Metrics.Top1-r.Metrics.Top1) > 1 {
		t.Errorf("the file has %.2f %%, training ended with %.2f %%", got.Metrics.Top1, r.Metrics.Top1)
	}
	m, err := nncf.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range m.Graph.Nodes() {
		for _, v := range n.In {
			if n.Op.Kind() == "QuantizeLinear" && strings.Contains(v.Name, "hide") {
				t.Errorf("the mask is quantized by %s", n.Label())
			}
		}
	}
	_, err = job.Evaluate(t.Context(), file, &data.Loader{Dataset: mustImages(t)}, 0, job.Options{})
	wantError(t, err, "2 inputs", "an npz file with an array for each input")
	_, err = job.Evaluate(t.Context(), file, &data.Loader{Dataset: mustArrays(t, "ids")}, 0, job.Options{})
	wantError(t, err, `no array "mask"`, "ids int64[5]")
}

func mustImages(t *testing.T) data.Dataset {
	t.Helper()
	ds, err := data.FromTensors(tensor.New(tensor.Uint8, 2, 4, 4), nil, data.Auto, nil)
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

func mustArrays(t *testing.T, names ...string) data.Dataset {
	t.Helper()
	var all []data.Array
	for _, n := range append(names, fmt.Sprint("other", len(names))) {
		all = append(all, data.Array{Name: n, Tensor: tensor.New(tensor.Int64, 2, tokens)})
	}
	ds, err := data.FromArrays(all, tensor.New(tensor.Int64, 2), nil)
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

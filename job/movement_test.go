package job_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/job"
	"github.com/go-nncf/nncf/onnx"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// encoderFile writes a vision transformer of one block with random weights: 16
// patches of 2×2 pixels of an 8×8 image, 4 heads of 4, 32 neurons, 10 classes.
func encoderFile(t *testing.T) string {
	t.Helper()
	const width, heads, neurons, tokens = 16, 4, 32, 16
	g := ir.New("encoder")
	b := ir.NewBuilder(g, "")
	rng := rand.New(rand.NewPCG(7, 0))
	param := func(name string, fan int, shape ...int) *ir.Value {
		w := tensor.New(tensor.Float32, shape...)
		for i := range w.F32() {
			switch fan {
			case 0:
			case 1:
				w.F32()[i] = 1
			default:
				w.F32()[i] = float32(rng.NormFloat64() / math.Sqrt(float64(fan)))
			}
		}
		return g.AddStored(ir.Parameter, name, w)
	}
	dense := func(name string, x *ir.Value, in, out int) *ir.Value {
		y := b.Op(op.MatMul{}, name+"/MatMul", x, param(name+".weight", in, in, out))
		return b.Op(op.Add{}, name+"/Add", y, param(name+".bias", 0, out))
	}
	norm := func(name string, x *ir.Value) *ir.Value {
		return b.Op(op.LayerNormalization{Axis: -1, Epsilon: 1e-5}, name, x, param(name+".weight", 1, width), param(name+".bias", 0, width))
	}
	reshape := func(name string, x *ir.Value, shape ...int) *ir.Value {
		return b.Op(op.Reshape{}, name, x, b.ConstInts(name+"/shape", shape...))
	}
	split := func(name string, x *ir.Value, perm ...int) *ir.Value {
		return b.Op(op.Transpose{Perm: perm}, name+"/heads", reshape(name+"/split", x, 0, tokens, heads, width/heads))
	}
	batch := ir.MakeType(tensor.Float32, 1, 1, 8, 8)
	batch.Dims[0] = ir.Symbol("N")
	x := g.AddInput("x", batch)
	x = b.Op(op.Conv{Group: 1, Window: op.Window{Strides: []int{2, 2}, Dilations: []int{1, 1}, Pads: []int{0, 0, 0, 0}}}, "patch/Conv", x, param("patch.weight", 4, width, 1, 2, 2))
	x = b.Op(op.Transpose{Perm: []int{0, 2, 1}}, "tokens", reshape("flat", x, 0, width, tokens))
	x = b.Op(op.Add{}, "position", x, param("position.weight", 100, 1, tokens, width))
	n := norm("norm1", x)
	q, k, v := split("q", dense("q", n, width, width), 0, 2, 1, 3), split("k", dense("k", n, width, width), 0, 2, 3, 1), split("v", dense("v", n, width, width), 0, 2, 1, 3)
	a := b.Op(op.Mul{}, "scaled", b.Op(op.MatMul{}, "qk", q, k), b.ConstF32("scale", float32(1/math.Sqrt(width/heads))))
	a = b.Op(op.MatMul{}, "av", b.Op(op.Softmax{Axis: -1}, "attention", a), v)
	a = reshape("joined", b.Op(op.Transpose{Perm: []int{0, 2, 1, 3}}, "joined/tokens", a), 0, tokens, width)
	x = b.Op(op.Add{}, "attended", x, dense("out", a, width, width))
	h := b.Op(op.Gelu{}, "gelu", dense("up", norm("norm2", x), width, neurons))
	x = b.Op(op.Add{}, "block", x, dense("down", h, neurons, width))
	x = b.Op(op.ReduceMean{}, "mean", norm("norm3", x), b.ConstInts("mean/axes", 1))
	g.Outputs = []*ir.Value{b.Op(op.Gemm{Alpha: 1, Beta: 1, TransB: true}, "head/Gemm", x, param("head.weight", width, 10, width), param("head.bias", 0, 10))}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "encoder.onnx")
	if err := onnx.Save(path, g, onnx.Options{}); err != nil {
		t.Fatal(err)
	}
	return path
}

// A trained encoder under movement sparsity: whole heads and neurons go, and are
// not in the file; or single weights. It stays about as accurate as with as many
// zeros by magnitude, and close to dense.
func TestTrain_MovementOfTrainedEncoder(t *testing.T) {
	t.Parallel()
	text := func(model string, epochs int, rate float64, sections ...string) string {
		return edit(t, with(sections...), `"resnet8_cifar"`, strconv.Quote(model), `"model_params": {"width": 4, "size": 8, "channels": 1},`, "",
			`"epochs": 2`, fmt.Sprintf(`"epochs": %d`, epochs), `{"type": "SGD", "base_lr": 0.05, "optimizer_params": {"momentum": 0.9}`, fmt.Sprintf(`{"type": "AdamW", "base_lr": %g`, rate))
	}
	quiet := func(string, ...any) {}
	run := func(text string) *job.Result {
		return mustTrain(t, parse(t, t.TempDir(), text), job.Options{Note: quiet})
	}
	dense := run(text(encoderFile(t), 30, 0.01))
	movement := func(epochs int, structure string, factor float64, more ...string) *job.Result {
		return run(text(dense.Output, epochs, 0.005, append([]string{fmt.Sprintf(`{"algorithm": "movement_sparsity", "ignored_scopes": ["{re}head"], %s
			"params": {"warmup_start_epoch": 0, "warmup_end_epoch": 5, "importance_regularization_factor": %g, "mask_lr": 0.05}}`, structure, factor)}, more...)...))
	}
	const heads = `"sparse_structure_by_scopes": [
		{"mode": "block", "sparse_factors": [4, 16], "target_scopes": ["{re}^[qkv]/MatMul"]}, {"mode": "block", "sparse_factors": [16, 4], "target_scopes": ["{re}^out/MatMul"]},
		{"mode": "per_dim", "axis": 0, "target_scopes": ["{re}^up/MatMul"]}, {"mode": "per_dim", "axis": 1, "target_scopes": ["{re}^down/MatMul"]}],`
	blocks := movement(20, heads, 0.02)
	single := movement(20, "", 0.2)
	level := func(r *job.Result) float64 {
		for _, n := range r.Statistics.Numbers {
			if strings.Contains(n.Name, "sparsified layers") {
				return n.Value / 100
			}
		}
		t.Fatal("no level")
		return 0
	}
	magnitude := func(level float64) *job.Result {
		return run(text(dense.Output, 20, 0.005, fmt.Sprintf(`{"algorithm": "magnitude_sparsity", "ignored_scopes": ["{re}head|patch"],
			"params": {"schedule": "multistep", "multistep_steps": [], "multistep_sparsity_levels": [%g]}}`, level)))
	}
	fine, coarse := magnitude(level(single)), magnitude(level(blocks))
	t.Logf("dense %.1f %%; blocks %.1f %% at %.2f, magnitude %.1f %%; single weights %.1f %% at %.2f, magnitude %.1f %%", dense.Metrics.Top1,
		blocks.Metrics.Top1, level(blocks), coarse.Metrics.Top1, single.Metrics.Top1, level(single), fine.Metrics.Top1)
	for _, x := range []struct {
		name           string
		got, magnitude *job.Result
		least          float64 // zeros
	}{{"blocks", blocks, coarse, 0.7}, {"single weights", single, fine, 0.5}} {
		const points = 8 // ten of the 120 images
		top := x.got.Metrics.Top1
		if l := level(x.got); l < x.least || x.got.Stage != compress.FullyCompressed {
			t.Errorf("%s: got level %.2f, stage %v", x.name, l, x.got.Stage)
		}
		if top < dense.Metrics.Top1-points || top < x.magnitude.Metrics.Top1-points {
			t.Errorf("%s: got top-1 %.1f %%, dense %.1f %%, as many zeros by magnitude %.1f %%", x.name, top, dense.Metrics.Top1, x.magnitude.Metrics.Top1)
		}
		if e := x.got.Export; e.MaxRelativeDifference > 1e-4 || e.Disagreements > 0 {
			t.Errorf("%s: the file differs by %g, and on %d predictions", x.name, e.MaxRelativeDifference, e.Disagreements)
		}
	}
	quantized := movement(6, heads, 0.02, `{"algorithm": "quantization", "initializer": {"range": {"num_init_samples": 64}}}`)
	for _, r := range []*job.Result{blocks, quantized} {
		g, err := onnx.Load(r.Output)
		if err != nil {
			t.Fatal(err)
		}
		shape := func(name string) tensor.Shape { return g.Value(name).Data.Shape() }
		width, neurons := shape("q.weight")[1], shape("up.weight")[1]
		if width >= 16 || width%4 != 0 || neurons >= 32 || neurons == 0 {
			t.Errorf("bits %s: got heads of %d channels in all and %d neurons in the file, want whole heads of 4 and less than 16 and 32", r.Export.Bits, width, neurons)
		}
		for name, want := range map[string]tensor.Shape{"k.weight": {16, width}, "v.weight": {16, width}, "out.weight": {width, 16}, "down.weight": {neurons, 16}} {
			if got := shape(name); !got.Equal(want) {
				t.Errorf("bits %s: %s: got %v, want %v", r.Export.Bits, name, got, want)
			}
		}
	}
}

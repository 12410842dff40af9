package quantization_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/internal/testkit/calibrate"
	"github.com/go-nncf/nncf/internal/testkit/npz"

	"github.com/go-nncf/nncf/autodiff"
	"github.com/go-nncf/nncf/compress/quantization"
	"github.com/go-nncf/nncf/internal/testkit"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/tensor"
)

// TestGradient_Golden compares a training step with the original's, for the
// same quantizer parameters: outputs of quantizers, loss, and the gradients of
// all weights, scales and ranges, with running and with batch statistics.
// The reference is in float64; ours is float32, whose quantizers may round a value
// near a tie to the other side, hence 1e-3 of a tensor's largest gradient.
func TestGradient_Golden(t *testing.T) {
	b, err := os.ReadFile(testkit.Shared(t, "data", "nncf-goldens", "qgrad", "qgrad.json"))
	if err != nil {
		t.Fatal(err)
	}
	var index struct {
		Variants map[string]struct {
			Compression json.RawMessage `json:"compression"`
			Quantizers  []struct {
				ID        string   `json:"id"`
				Parameter string   `json:"parameter"`
				Values    []string `json:"onnx_value"`
			} `json:"quantizers"`
		} `json:"variants"`
	}
	if err := json.Unmarshal(b, &index); err != nil {
		t.Fatal(err)
	}
	x := crop(images(t), 4, 10, 22)
	for _, name := range []string{"sym_8bit", "asym_4bit"} {
		v := index.Variants[name]
		want := npz.Read(t, testkit.Shared(t, "data", "nncf-goldens", "qgrad", name+".npz"))
		for _, mode := range []string{"eval", "train"} {
			t.Run(name+"/"+mode, func(t *testing.T) {
				o := quantization.Options{TargetDevice: "TRIAL", Placement: quantization.PlacementNNCF, ZeroPoint: quantization.ZeroPointNNCF}
				if err := json.Unmarshal(v.Compression, &o); err != nil {
					t.Fatal(err)
				}
				o.Initializer.BatchNorm.Samples = new(int) // the goldens keep the statistics
				g := model(t, "qnet")
				c := apply(t, g, o, calibrate.Samples(x, 4))
				if got := len(c.Setup().Quantizers); got != len(v.Quantizers) {
					t.Fatalf("got %d quantizers, want %d", got, len(v.Quantizers))
				}
				var outputs []*ir.Value // of quantizers
				var params []*ir.Value
				var keys []string
				for p := range g.Parameters() {
					if !strings.Contains(p.Name, "/quantizer/") {
						params, keys = append(params, p), append(keys, "grad|"+p.Name)
					}
				}
				for _, q := range v.Quantizers {
					value := q.Parameter
					if value == "" {
						value = q.Values[0]
					}
					y := g.Value(value + "/quantizer")
					if y == nil {
						t.Fatalf("no quantizer of %s", value)
					}
					outputs = append(outputs, y)
					names := []string{"scale"}
					if strings.HasPrefix(name, "asym") {
						names = []string{"input_low", "input_range"}
					}
					for i, suffix := range names {
						p := y.Def.In[1+i]
						copy(p.Data.F32(), want["q|"+q.ID+"|"+suffix].F32())
						params, keys = append(params, p), append(keys, "gradq|"+q.ID+"|"+suffix)
					}
				}
				s, err := g.Specialize(map[string][]int{g.Inputs[0].Name: x.Shape()})
				if err != nil {
					t.Fatal(err)
				}
				if mode == "train" {
					if err := pass.TrainingMode(s, pass.TrainingOptions{}, nil); err != nil {
						t.Fatal(err)
					}
				}
				bld := ir.NewBuilder(s, "loss")
				labels := bld.Const("labels", tensor.From([]int64{3, 1, 4, 1}, 4))
				loss := bld.Multi(op.SoftmaxCrossEntropyLoss{}, "loss", 1, s.Outputs[0], labels)[0]
				if err := bld.Err(); err != nil {
					t.Fatal(err)
				}
				var wrt []*ir.Value
				for _, p := range params {
					wrt = append(wrt, s.Value(p.Name))
				}
				grads, err := autodiff.Grad(s, loss, wrt)
				if err != nil {
					t.Fatal(err)
				}
				list := []*ir.Value{loss}
				for _, y := range outputs {
					list = append(list, s.Value(y.Name))
				}
				got, err := ir.Eval(t.Context(), s, []*tensor.Tensor{x}, append(list, grads...)...)
				if err != nil {
					t.Fatal(err)
				}
				got = got[len(s.Outputs):]
				if mode == "eval" {
					for i, q := range v.Quantizers {
						compare(t, "out|"+q.ID, got[1+i], want["out|"+q.ID], 1e-6)
					}
				}
				at := mode + "/float64/"
				compare(t, "loss", got[0], want[at+"loss"], 1e-5)
				for i, key := range keys {
					compare(t, key, got[len(list)+i], want[at+key], 1e-3)
				}
			})
		}
	}
}

// crop returns the first n images, their rows and columns from a to b.
func crop(x *tensor.Tensor, n, a, b int) *tensor.Tensor {
	s := x.Shape()
	out := tensor.New(tensor.Float32, n, s[1], b-a, b-a)
	i := 0
	for p := range n * s[1] {
		for r := a; r < b; r++ {
			i += copy(out.F32()[i:], x.F32()[(p*s[2]+r)*s[3]+a:][:b-a])
		}
	}
	return out
}

// compare compares the elements that want has, to a share of its largest.
func compare(t *testing.T, what string, got, want *tensor.Tensor, tolerance float64) {
	t.Helper()
	if want == nil {
		t.Errorf("%s: the goldens have none", what)
		return
	}
	w, err := want.Float64s()
	if err != nil {
		t.Fatal(err)
	}
	if got.Len() < len(w) {
		t.Errorf("%s: got %d elements, want %d", what, got.Len(), len(w))
		return
	}
	largest, worst := 0.0, ""
	for _, v := range w {
		largest = max(largest, math.Abs(v))
	}
	most := tolerance * largest
	for i, v := range w {
		if d := math.Abs(float64(got.F32()[i]) - v); d > most {
			most, worst = d, fmt.Sprintf("element %d is %g, want %g (largest %g)", i, got.F32()[i], v, largest)
		}
	}
	if worst != "" {
		t.Errorf("%s: %s", what, worst)
	}
}

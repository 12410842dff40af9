package op_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// What each operator can do. A line that loses an entry is a facet that
// disappeared, usually by a method with a slightly wrong signature.
func TestFacets(t *testing.T) {
	var b strings.Builder
	b.WriteString("# operator (domain, lowest opset): eval, element, grad or nograd, dims, cost, axes, cut, quant trait, weights, encode\n")
	traits := map[ir.QuantTrait]string{ir.QuantFloat: "float", ir.QuantAgnostic: "agnostic", ir.QuantInputs: "inputs", ir.QuantConcat: "concat"}
	var lines []string
	for _, d := range op.All() {
		where := d.Domain
		if where == "" {
			where = "onnx"
		}
		if d.Since > 0 {
			where += fmt.Sprintf(" %d", d.Since)
		}
		var f []string
		add := func(ok bool, name string) {
			if ok {
				f = append(f, name)
			}
		}
		_, ok := d.Op.(ir.Evaluator)
		add(ok, "eval")
		_, ok = d.Op.(ir.Elementwise)
		add(ok, "element")
		_, ok = d.Op.(ir.Differentiable)
		add(ok, "grad")
		_, ok = d.Op.(ir.NonDifferentiable)
		add(ok, "nograd")
		_, ok = d.Op.(ir.DimsEvaluator)
		add(ok, "dims")
		_, ok = d.Op.(ir.Costed)
		add(ok, "cost")
		_, ok = d.Op.(ir.AxisMapper)
		add(ok, "axes")
		_, ok = d.Op.(ir.AxisCutter)
		add(ok, "cut")
		if q, ok := d.Op.(ir.QuantTraited); ok {
			add(true, "quant="+traits[q.QuantTrait()])
		}
		_, ok = d.Op.(ir.Weighted)
		add(ok, "weights")
		add(d.Encode != nil, "encode")
		lines = append(lines, fmt.Sprintf("%s (%s): %s\n", d.Kind(), where, strings.Join(f, " ")))
	}
	slices.Sort(lines)
	b.WriteString(strings.Join(lines, ""))
	path := filepath.Join("testdata", "facets.golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, old := strings.Split(b.String(), "\n"), strings.Split(string(want), "\n")
	for _, l := range got {
		if !slices.Contains(old, l) {
			t.Errorf("new:  %s", l)
		}
	}
	for _, l := range old {
		if !slices.Contains(got, l) {
			t.Errorf("gone: %s", l)
		}
	}
	if t.Failed() {
		t.Log("go test ./op -run TestFacets -update rewrites the golden file; review the difference")
	}
}

// notFloat lists the operators all of whose outputs are integers or booleans:
// they need neither a gradient nor a reason.
var notFloat = []string{
	"And", "ArgMax", "ArgMin", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "ConvInteger", "Equal", "Greater",
	"GreaterOrEqual", "IsInf", "IsNaN", "Less", "LessOrEqual", "MatMulInteger", "NonMaxSuppression", "NonZero", "Not", "Or",
	"QLinearConv", "QLinearMatMul", "QuantizeLinear", "Shape", "Size", "Xor",
}

// Every operator evaluates; every one with floating-point results has a
// gradient or says why not, and not both.
func TestFacets_Complete(t *testing.T) {
	seen := map[string]bool{}
	for _, d := range op.All() {
		key := d.Domain + ":" + d.Kind()
		if seen[key] {
			t.Errorf("%s is in the table twice", key)
		}
		seen[key] = true
		if _, ok := d.Op.(ir.Evaluator); !ok {
			t.Errorf("%s has no evaluator", d.Kind())
		}
		_, grad := d.Op.(ir.Differentiable)
		no, why := d.Op.(ir.NonDifferentiable)
		switch {
		case grad && why:
			t.Errorf("%s has a gradient and says that it has none", d.Kind())
		case !grad && !why && !slices.Contains(notFloat, d.Kind()):
			t.Errorf("%s has neither a gradient nor a reason", d.Kind())
		case why && no.NoGrad() == "":
			t.Errorf("%s: empty reason", d.Kind())
		}
		if d.Domain == op.Internal {
			if d.Decode != nil || d.Encode != nil {
				t.Errorf("%s is internal, but has a file form", d.Kind())
			}
		} else if d.Decode == nil {
			t.Errorf("%s cannot be decoded", d.Kind())
		}
		if o, ok := op.Of(d.Op); !ok || o.Kind() != d.Kind() {
			t.Errorf("%s is not found by its struct", d.Kind())
		}
	}
}

// Operators survive being printed as JSON, as graphs in text form have them.
func TestNew_RoundTrip(t *testing.T) {
	h := hostile{rand.New(rand.NewPCG(14, 0))}
	for _, d := range op.All() {
		for range 20 {
			o := h.op(d.Op)
			text, err := json.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			back, err := op.New(d.Kind(), text)
			if err != nil || !reflect.DeepEqual(back, o) {
				t.Errorf("%s %s: got %+v (%v), want %+v", d.Kind(), text, back, err, o)
				break
			}
		}
	}
}

package compress

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// fake is an algorithm, setup and controller that writes down what happens to it.
type fake struct {
	name     string
	priority Priority
	stage    Stage
	loss     float32
	log      *[]string
	state    string
	fail     error
}

func (f *fake) note(what string) { *f.log = append(*f.log, f.name+"."+what) }

func (f *fake) Name() string       { return f.name }
func (f *fake) Algorithm() string  { return f.name }
func (f *fake) Priority() Priority { return f.priority }
func (f *fake) Setup(*ir.Graph) (Setup, error) {
	f.note("Setup")
	return f, f.fail
}
func (f *fake) Apply(*ir.Graph, *rewrite.Trace) (Controller, error) {
	f.note("Apply")
	return f, nil
}
func (f *fake) Initialize(context.Context, Runner, Calibration) error {
	f.note("Initialize")
	return f.fail
}
func (f *fake) EpochStep() { f.note("EpochStep") }
func (f *fake) Step()      { f.note("Step") }
func (f *fake) Loss(b *ir.Builder) (*ir.Value, error) {
	if f.loss == 0 {
		return nil, nil
	}
	return b.ConstF32(f.name, f.loss), nil
}
func (f *fake) Statistics() Statistics {
	return Statistics{Numbers: []Number{{Name: f.name, Value: 1}}}
}
func (f *fake) Stage() Stage                    { return f.stage }
func (f *fake) State() (json.RawMessage, error) { return json.Marshal(f.state) }
func (f *fake) LoadState(raw json.RawMessage) error {
	return json.Unmarshal(raw, &f.state)
}
func (f *fake) Strip(*ir.Graph, *rewrite.Trace) error {
	f.note("Strip")
	return nil
}

func TestSetupAll_OrderIsByPriority(t *testing.T) {
	var log []string
	list := []Algorithm{
		&fake{name: "quantize", priority: PriorityQuantize, log: &log},
		&fake{name: "sparsify", priority: PrioritySparsity, log: &log},
		&fake{name: "first", log: &log},
		&fake{name: "prune", priority: PriorityPruning, log: &log},
		&fake{name: "second", log: &log},
	}
	setups, ctrl, err := SetupAll(ir.New("g"), list, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := ctrl.Algorithm(), "first+second+prune+sparsify+quantize"; got != want {
		t.Errorf("order: got %s, want %s", got, want)
	}
	if len(setups) != len(list) || list[0].Name() != "quantize" {
		t.Error("got the caller's list changed, or setups missing")
	}
	// Each algorithm sees the graph as those before it left it.
	if got, want := strings.Join(log[:4], " "), "first.Setup first.Apply second.Setup second.Apply"; got != want {
		t.Errorf("calls: got %s, want %s", got, want)
	}
	log = nil
	ctrl.EpochStep()
	ctrl.Step()
	if err := errors.Join(ctrl.Initialize(t.Context(), nil, Calibration{}), ctrl.Strip(nil, nil)); err != nil {
		t.Fatal(err)
	}
	want := []string{"first.EpochStep", "second.EpochStep", "prune.EpochStep", "sparsify.EpochStep", "quantize.EpochStep"}
	if !slices.Equal(log[:5], want) {
		t.Errorf("got %v, want %v", log[:5], want)
	}
	if got := log[len(log)-5:]; got[0] != "quantize.Strip" || got[4] != "first.Strip" {
		t.Errorf("strip runs as %v, want the reverse of apply", got)
	}
	var names []string
	for _, n := range ctrl.Statistics().Numbers {
		names = append(names, n.Name)
	}
	if got := strings.Join(names, " "); got != "first second prune sparsify quantize" {
		t.Errorf("statistics of %s", got)
	}
}

func TestSetupAll_NamesTheAlgorithmThatFails(t *testing.T) {
	var log []string
	boom := errors.New("boom")
	_, _, err := SetupAll(ir.New("g"), []Algorithm{&fake{name: "a", log: &log}, &fake{name: "b", fail: boom, log: &log}}, nil)
	if !errors.Is(err, boom) || !strings.HasPrefix(err.Error(), "b: ") {
		t.Errorf("got %v, want the error of b under its name", err)
	}
}

func TestCompose_LossesAdd(t *testing.T) {
	var log []string
	for _, c := range []struct {
		losses []float32
		want   float32
	}{{nil, 0}, {[]float32{0, 0}, 0}, {[]float32{2}, 2}, {[]float32{0, 3}, 3}, {[]float32{1, 0, 2, 4}, 7}} {
		var list []Controller
		for i, l := range c.losses {
			list = append(list, &fake{name: fmt.Sprint("a", i), loss: l, log: &log})
		}
		b := ir.NewBuilder(ir.New("g"), "")
		v, err := Compose(list...).Loss(b)
		if err != nil {
			t.Fatal(err)
		}
		if v == nil {
			if c.want != 0 {
				t.Errorf("%v: got no loss, want %g", c.losses, c.want)
			}
			continue
		}
		b.G.Outputs = []*ir.Value{v}
		got, err := ir.Eval(t.Context(), b.G, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got[0].F32()[0] != c.want {
			t.Errorf("%v: got %g, want %g", c.losses, got[0].F32()[0], c.want)
		}
	}
}

func TestCompose_StateRoundTrip(t *testing.T) {
	var log []string
	a, b := &fake{name: "a", state: "x", log: &log}, &fake{name: "b", state: "y", log: &log}
	raw, err := Compose(a, b).State()
	if err != nil {
		t.Fatal(err)
	}
	a.state, b.state = "", ""
	if err := Compose(a, b).LoadState(raw); err != nil {
		t.Fatal(err)
	}
	if a.state != "x" || b.state != "y" {
		t.Errorf("got states %q and %q, want x and y", a.state, b.state)
	}
	if err := Compose(a, b, &fake{name: "c", log: &log}).LoadState(raw); err == nil {
		t.Error("got no error for a state of other algorithms")
	}
}

func TestCompose_Nothing(t *testing.T) {
	c := Compose()
	if c.Algorithm() != "none" || c.Stage() != Uncompressed {
		t.Errorf("got %s at stage %v, want none, uncompressed", c.Algorithm(), c.Stage())
	}
	c.EpochStep()
	c.Step()
	raw, err := c.State()
	if err := errors.Join(err, c.LoadState(raw), c.Initialize(t.Context(), nil, Calibration{})); err != nil {
		t.Error(err)
	}
}

func TestStage(t *testing.T) {
	for _, c := range []struct{ a, b, want Stage }{
		{Uncompressed, Uncompressed, Uncompressed},
		{Uncompressed, PartiallyCompressed, PartiallyCompressed},
		{Uncompressed, FullyCompressed, PartiallyCompressed},
		{PartiallyCompressed, PartiallyCompressed, PartiallyCompressed},
		{PartiallyCompressed, FullyCompressed, PartiallyCompressed},
		{FullyCompressed, FullyCompressed, FullyCompressed},
	} {
		if got := c.a.And(c.b); got != c.want || c.b.And(c.a) != c.want {
			t.Errorf("%v and %v: got %v, want %v", c.a, c.b, got, c.want)
		}
	}
	for _, c := range []struct {
		stage  Stage
		metric float64
		want   bool
	}{{FullyCompressed, 10, true}, {PartiallyCompressed, 71, true}, {PartiallyCompressed, 70, false}, {Uncompressed, 99, false}} {
		if got := Better(c.stage, c.metric, PartiallyCompressed, 70); got != c.want {
			t.Errorf("%v with %g beats partial with 70: got %v, want %v", c.stage, c.metric, got, c.want)
		}
	}
	for _, s := range []Stage{Uncompressed, PartiallyCompressed, FullyCompressed} {
		b, err := s.MarshalText()
		var back Stage
		if err = errors.Join(err, back.UnmarshalText(b)); err != nil || back != s {
			t.Errorf("%v: got %v back, error %v", s, back, err)
		}
	}
	if err := new(Stage).UnmarshalText([]byte("half")); err == nil {
		t.Error("got no error for a stage that does not exist")
	}
}

func TestEntries_JSON(t *testing.T) {
	for _, c := range []struct {
		json string
		want Entries
	}{{`"a"`, Entries{"a"}}, {`["a","b"]`, Entries{"a", "b"}}, {`[]`, Entries{}}} {
		var e Entries
		if err := json.Unmarshal([]byte(c.json), &e); err != nil || !slices.Equal(e, c.want) {
			t.Errorf("%s: got %q, error %v", c.json, e, err)
		}
	}
	var e Entries
	if err := json.Unmarshal([]byte(`{"a":1}`), &e); err == nil {
		t.Error("got no error for an object")
	}
}

// evalRunner runs graphs by their reference evaluators and carries out assigns.
type evalRunner struct{}

func (evalRunner) Run(ctx context.Context, g *ir.Graph, want []*ir.Value, data Batches, f func([]*tensor.Tensor) error) error {
	all := slices.Clone(want)
	for _, a := range g.Assigns {
		all = append(all, a.Src)
	}
	for in, err := range data {
		if err != nil {
			return err
		}
		out, err := ir.Eval(ctx, g, in, all...)
		if err != nil {
			return err
		}
		out = out[len(g.Outputs):]
		for i, a := range g.Assigns {
			a.Dst.Data.CopyFrom(out[len(want)+i])
		}
		if err := f(out[:len(want)]); err != nil {
			return err
		}
	}
	return nil
}

func bnGraph(t *testing.T) *ir.Graph {
	t.Helper()
	g := ir.New("g")
	x := g.AddInput("x", ir.Type{DType: tensor.Float32, Dims: []ir.Dim{ir.Symbol("N"), ir.Len(1)}})
	b := ir.NewBuilder(g, "")
	one := func(kind ir.ValueKind, name string, v float32) *ir.Value {
		return g.AddStored(kind, name, tensor.From([]float32{v}, 1))
	}
	y := b.Op(op.BatchNormalization{Epsilon: 1e-5, Momentum: 0.75}, "bn", x,
		one(ir.Parameter, "scale", 1), one(ir.Parameter, "bias", 0), one(ir.State, "mean", 8), one(ir.State, "var", 1))
	g.Outputs = []*ir.Value{y}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	return g
}

// constant yields batches of size samples with the given value.
func constant(v float32, size int, count *int) Calibration {
	return Calibration{Batches: func(n int) Batches {
		return func(yield func([]*tensor.Tensor, error) bool) {
			for n > 0 {
				k := min(size, n)
				x := tensor.New(tensor.Float32, k, 1)
				for i := range x.F32() {
					x.F32()[i] = v
				}
				n -= k
				*count += k
				if !yield([]*tensor.Tensor{x}, nil) {
					return
				}
			}
		}
	}}
}

func TestBatchNormAdaptation(t *testing.T) {
	n := func(i int) *int { return &i }
	for _, c := range []struct {
		name    string
		a       BatchNormAdaptation
		samples int
		mean    float32 // from 8 towards 0, three quarters left by each batch, a tenth by a forgetting one
	}{
		{"off", BatchNormAdaptation{Samples: n(0)}, 0, 8},
		{"two batches", BatchNormAdaptation{Samples: n(8)}, 8, 4.5},
		{"last batch is cut", BatchNormAdaptation{Samples: n(5)}, 5, 4.5},
		{"steps", BatchNormAdaptation{Steps: n(1)}, 4, 6},
		{"forget", BatchNormAdaptation{Samples: n(4), ForgetSteps: 1}, 8, 0.6},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := bnGraph(t)
			count := 0
			if err := c.a.Run(t.Context(), evalRunner{}, g, constant(0, 4, &count)); err != nil {
				t.Fatal(err)
			}
			if got := g.Value("mean").Data.F32()[0]; got < c.mean-1e-5 || got > c.mean+1e-5 {
				t.Errorf("mean: got %g, want %g", got, c.mean)
			}
			if count != c.samples {
				t.Errorf("got %d samples, want %d", count, c.samples)
			}
			if len(g.Assigns) != 0 || g.Nodes()[0].Op.(op.BatchNormalization).Training {
				t.Error("the graph was changed")
			}
			if g.Value("scale").Data.F32()[0] != 1 || g.Value("bias").Data.F32()[0] != 0 {
				t.Error("a parameter was changed")
			}
		})
	}
	t.Run("training data", func(t *testing.T) {
		g := bnGraph(t)
		plain, training := 0, 0
		data := constant(0, 4, &plain)
		data.Training = constant(16, 4, &training).Batches
		if err := (BatchNormAdaptation{Samples: n(4)}).Run(t.Context(), evalRunner{}, g, data); err != nil {
			t.Fatal(err)
		}
		if got := g.Value("mean").Data.F32()[0]; got != 10 || plain != 0 || training != 4 {
			t.Errorf("got a mean of %g from %d samples and %d of training, want 10 from 4 of training", got, plain, training)
		}
	})
	if err := (BatchNormAdaptation{Samples: n(-1), Steps: n(1), ForgetSteps: -2}).Validate(); err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("got %v, want three problems", err)
	}
}

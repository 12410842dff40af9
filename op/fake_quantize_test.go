package op_test

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/internal/testkit"
	"github.com/go-nncf/nncf/internal/testkit/gradcheck"
	"github.com/go-nncf/nncf/internal/testkit/npz"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// The original implementation's quantizers: values and input gradients bit by
// bit, parameter gradients to 1e-5 of the largest.
func TestFakeQuantize_Golden(t *testing.T) {
	var index struct {
		Cases []struct {
			Key    string
			Low    int `json:"level_low"`
			High   int `json:"level_high"`
			Levels int
		}
	}
	js, err := os.ReadFile(testkit.Shared(t, "data", "nncf-goldens", "qgrad", "operators.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(js, &index); err != nil {
		t.Fatal(err)
	}
	arrays := npz.Read(t, testkit.Shared(t, "data", "nncf-goldens", "qgrad", "operators.npz"))
	if len(index.Cases) < 50 || arrays["x"] == nil || arrays["g"] == nil {
		t.Fatalf("got %d cases", len(index.Cases))
	}
	// The weight layout takes the tensor whose axis 0 is the channel.
	axes := map[string]int{"tensor": -1, "weight_channel": 0, "activation_channel": 1}
	for _, c := range index.Cases {
		t.Run(c.Key, func(t *testing.T) {
			layout, _, _ := strings.Cut(c.Key, "|")
			get := func(name string) *tensor.Tensor { return arrays[c.Key+"|"+name] }
			flat := func(name string) *tensor.Tensor { a := get(name); return a.Reshape(a.Len()) }
			x, g := arrays["x"], arrays["g"]
			if get("scale") != nil {
				q := op.FakeQuantizeSymmetric{Levels: c.Levels, Low: c.Low, High: c.High, Axis: axes[layout]}
				y := eval(t, q, x, flat("scale"))[0]
				equalBits(t, "q", y, get("q"))
				d := eval(t, op.FakeQuantizeSymmetricGrad(q), x, flat("scale"), g)
				equalBits(t, "dx", d[0], get("dx"))
				closeTo(t, "dscale", d[1], flat("dscale"), 1e-5)
				return
			}
			// The goldens tune with levels-1 and without the clamp.
			q := op.FakeQuantizeAsymmetric{Levels: c.Levels, Axis: axes[layout], Compatible: true}
			low, width := flat("input_low"), flat("input_range")
			for i := range low.F32() {
				l, w := op.TuneRange(low.F32()[i], width.F32()[i]+1e-16, c.Levels, true)
				wl, ww := get("tuned_low").F32()[i], get("tuned_range").F32()[i]
				if math.Abs(float64(l-wl)) > 1e-6*float64(ww) || math.Abs(float64(w-ww)) > 1e-6*float64(ww) {
					t.Errorf("TuneRange(%v, %v) = %v, %v, want %v, %v", low.F32()[i], width.F32()[i], l, w, wl, ww)
				}
			}
			y := eval(t, q, x, low, width)[0]
			closeTo(t, "q", y, get("q"), 1e-6)
			d := eval(t, op.FakeQuantizeAsymmetricGrad(q), x, low, width, g)
			equalBits(t, "dx", d[0], get("dx"))
			closeTo(t, "dinput_low", d[1], flat("dinput_low"), 1e-5)
			closeTo(t, "dinput_range", d[2], flat("dinput_range"), 1e-5)
		})
	}
}

// Hand-computed cases: x and g = 1 for scale 1, in exact arithmetic. Instead of
// the end 1, which float32 may round outside the grid, x is 1-1e-6; and .5 is a tie
// in every row, which must go to one of its neighbours.
func TestFakeQuantizeSymmetric_Values(t *testing.T) {
	x := tensor.From([]float32{-2, -1, -.6, -.26, 0, .13, .5, .99, 1 - 1e-6, 3}, 10)
	g := tensor.From([]float32{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, 10)
	one := tensor.From([]float32{1}, 1)
	for _, c := range []struct {
		name      string
		low, high int
		y         []float64
		inside    string
		ds        float64
	}{
		{"8 bit signed weight", -127, 127, []float64{-1, -1, -.598425, -.259843, 0, .133858, .496063, .992126, 1, 1}, "0111111110", .001890},
		{"8 bit signed", -128, 127, []float64{-1.007874, -1, -.598425, -.259843, 0, .133858, .503937, .992126, 1, 1}, "0111111110", -.002070},
		{"8 bit unsigned", 0, 255, []float64{0, 0, 0, 0, 0, .129412, .501961, .988235, 1, 1}, "0000111110", .999608},
		{"4 bit signed weight", -7, 7, []float64{-1, -1, -.571429, -.285714, 0, .142857, .428571, 1, 1, 1}, "0111111110", -.022857},
		{"4 bit signed", -8, 7, []float64{-1.142857, -1, -.571429, -.285714, 0, .142857, .571429, 1, 1, 1}, "0111111110", -.097524},
		{"4 bit unsigned", 0, 15, []float64{0, 0, 0, 0, 0, .133333, .533333, 1, 1, 1}, "0000111110", 1.046667},
		{"2 bit signed weight", -1, 1, []float64{-1, -1, -1, 0, 0, 0, 1, 1, 1, 1}, "0111111110", .12},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := op.FakeQuantizeSymmetric{Low: c.low, High: c.high, Axis: -1}
			ds := c.ds
			for i, v := range eval(t, q, x, one)[0].F32() {
				want := c.y[i]
				if x.F32()[i] == .5 { // half a step from both neighbours
					ds += (float64(v) - want) / (1 - float64(c.low)/float64(c.high))
					if math.Abs(float64(v)-.5) < .51/float64(c.high) {
						want = float64(v)
					}
				}
				if math.Abs(float64(v)-want) > 2e-6 {
					t.Errorf("q(%v) = %v, want %v", x.F32()[i], v, want)
				}
			}
			d := eval(t, op.FakeQuantizeSymmetricGrad(q), x, one, g)
			for i, v := range d[0].F32() {
				if want := float32(c.inside[i] - '0'); v != want {
					t.Errorf("dx at %v = %v, want %v", x.F32()[i], v, want)
				}
			}
			if got := float64(d[1].F32()[0]); math.Abs(got-ds) > 3e-6 {
				t.Errorf("dscale = %v, want %v", got, ds)
			}
		})
	}
}

// The corrected tuning rule keeps zero on the grid and the interval within 1.5
// times its width; the compatible rule gives the original's numbers.
func TestTuneRange(t *testing.T) {
	for _, c := range []struct {
		low, width float32
		levels     int
		wantLow    float32
		wantWidth  float32
	}{
		{.3, 1, 256, 0, 1.3},
		{-3, 1, 256, -3, 3},
		{-1, 3, 16, -1, 3},
		{-1, 2, 4, -2, 3},
		{-.06396, 2.69222, 16, -.1877, 2.8160}, // zero point clamped to 1
	} {
		low, width := op.TuneRange(c.low, c.width, c.levels, false)
		if math.Abs(float64(low-c.wantLow)) > 1e-4 || math.Abs(float64(width-c.wantWidth)) > 1e-4 {
			t.Errorf("TuneRange(%v, %v, %d) = %v, %v, want %v, %v", c.low, c.width, c.levels, low, width, c.wantLow, c.wantWidth)
		}
	}
	lows, widths := gradcheck.Uniform(1, -3, 1, 4000), gradcheck.Uniform(2, .01, 4, 4000)
	for i, low := range lows.F32() {
		width := widths.F32()[i]
		raw := max(low+width, 0) - min(low, 0)
		for _, levels := range []int{4, 16, 256} {
			l, w := op.TuneRange(low, width, levels, false)
			zp := -float64(l) / float64(w) * float64(levels-1)
			if math.Abs(zp-math.Round(zp)) > 1e-3 || l > 0 || l+w < 0 || w > 1.51*raw || w < raw*(1-1e-6) {
				t.Fatalf("TuneRange(%v, %v, %d) = %v, %v: zero at %v, %v of the width", low, width, levels, l, w, zp, w/raw)
			}
		}
	}
}

// The exact straight-through gradient of the scale is that of
// y = S/H·rne(x·H/S) with rne's derivative 1: (q-x)/S; logarithmic storage
// multiplies by the scale.
func TestFakeQuantizeSymmetricGrad_Forms(t *testing.T) {
	x, g := gradcheck.Uniform(1, -.9, .9, 40), gradcheck.Rand(2, 40)
	scale, logScale := tensor.From([]float32{-1.3}, 1), tensor.From([]float32{float32(math.Log(1.3))}, 1)
	q := op.FakeQuantizeSymmetricGrad{Low: -8, High: 7, Axis: -1}
	range1 := eval(t, q, x, scale, g)[1].F32()[0]
	q.ExactSTE = true
	exact := eval(t, q, x, scale, g)[1].F32()[0]
	if want := range1 * (1 + 8.0/7); math.Abs(float64(exact-want)) > 1e-5*math.Abs(float64(want)) {
		t.Errorf("exact gradient %v, want %v", exact, want)
	}
	q.LogScale = true
	if got, want := eval(t, q, x, logScale, g)[1].F32()[0], -exact*1.3; math.Abs(float64(got-want)) > 1e-4*math.Abs(float64(want)) {
		t.Errorf("logarithmic: got %v, want %v", got, want)
	}
	y1 := eval(t, op.FakeQuantizeSymmetric{Low: -8, High: 7, Axis: -1}, x, scale)[0]
	y2 := eval(t, op.FakeQuantizeSymmetric{Low: -8, High: 7, Axis: -1, LogScale: true}, x, logScale)[0]
	closeTo(t, "logarithmic values", y2, y1, 1e-6)
}

// OpenVINO's form equals the trainable one where zero is on the grid, and its
// gradient is the straight-through one.
func TestFakeQuantize_File(t *testing.T) {
	x := gradcheck.Uniform(3, -1.5, 1.5, 2, 3, 50)
	scale := tensor.From([]float32{.7, 1, 1.2}, 3)
	low, high := tensor.New(tensor.Float32, 3, 1), tensor.New(tensor.Float32, 3, 1)
	for i, s := range scale.F32() {
		low.F32()[i], high.F32()[i] = -s, s
	}
	want := eval(t, op.FakeQuantizeSymmetric{Low: -127, High: 127, Axis: 1}, x, scale)[0]
	got := eval(t, op.FakeQuantize{Levels: 255}, x, low, high, low, high)[0]
	ties := 0
	for i, w := range want.F32() {
		if d := math.Abs(float64(got.F32()[i] - w)); d > 5e-7*1.2 {
			ties++
		}
	}
	if ties > 1 {
		t.Errorf("%d of %d values differ", ties, want.Len())
	}

	g := ir.New("g")
	b := ir.NewBuilder(g, "")
	xv := g.AddInput("x", ir.TypeOf(x))
	lv, hv := b.Const("low", low), b.Const("high", high)
	y := b.Op(op.FakeQuantize{Levels: 255}, "y", xv, lv, hv, lv, hv)
	u := gradcheck.Rand(4, 2, 3, 50)
	grads, err := op.FakeQuantize{Levels: 255}.Grad(b, y.Def, []*ir.Value{b.Const("u", u)}, []bool{true, false, false, false, false})
	if err != nil || b.Err() != nil {
		t.Fatal(err, b.Err())
	}
	out, err := ir.Eval(context.Background(), g, []*tensor.Tensor{x}, grads[0])
	if err != nil {
		t.Fatal(err)
	}
	dx := eval(t, op.FakeQuantizeSymmetricGrad{Low: -127, High: 127, Axis: 1}, x, scale, u)[0]
	closeTo(t, "dx", out[0], dx, 1e-6)
}

// eval runs an operator's evaluator.
func eval(t *testing.T, o ir.Op, in ...*tensor.Tensor) []*tensor.Tensor {
	t.Helper()
	out, err := o.(ir.Evaluator).Eval(in)
	if err != nil {
		t.Fatalf("%s %+v: %v", o.Kind(), o, err)
	}
	return out
}

func equalBits(t *testing.T, what string, got, want *tensor.Tensor) {
	t.Helper()
	if got.Equal(want) {
		return
	}
	bad := 0
	for i, w := range want.F32() {
		if g := got.F32()[i]; g != w {
			if bad++; bad <= 3 {
				t.Errorf("%s[%d] = %v, want %v", what, i, g, w)
			}
		}
	}
	t.Errorf("%s: %d of %d differ, got %v, want %v", what, bad, want.Len(), got, want)
}

// closeTo compares to tol times the largest element.
func closeTo(t *testing.T, what string, got, want *tensor.Tensor, tol float64) {
	t.Helper()
	if !got.Shape().Equal(want.Shape()) {
		t.Errorf("%s: got %v, want %v", what, got, want)
		return
	}
	gv, err := got.Float64s()
	if err != nil {
		t.Fatal(err)
	}
	wv, err := want.Float64s()
	if err != nil {
		t.Fatal(err)
	}
	largest := 0.0
	for _, v := range wv {
		largest = max(largest, math.Abs(v))
	}
	for i, w := range wv {
		if d := math.Abs(gv[i] - w); !(d <= tol*largest) {
			t.Errorf("%s[%d] = %v, want %v (largest %v)", what, i, gv[i], w, largest)
			return
		}
	}
}

// Quantizers that are off pass values on and teach their parameters nothing.
func TestFakeQuantizeOff(t *testing.T) {
	x, s := gradcheck.Rand(1, 2, 3), gradcheck.Rand(2, 3)
	if got := eval(t, op.FakeQuantizeOff{}, x, s)[0]; !got.Equal(x) {
		t.Errorf("got %v, want the input", got)
	}
}

package data

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// ramp is an image whose byte at (y, x, c) tells its place: 16y + x + 100c.
func ramp(h, w, c int) *Image {
	m := &Image{}
	pix := m.SetBytes(h, w, c)
	for i := range pix {
		pix[i] = uint8(16*(i/(w*c)) + i/c%w + 100*(i%c))
	}
	return m
}

// asFloats is the same image with real values.
func asFloats(m *Image) *Image {
	f := &Image{}
	v := f.SetFloats(m.H, m.W, m.C)
	for i, p := range m.Pix {
		v[i] = float32(p)
	}
	return f
}

func TestCrop(t *testing.T) {
	for _, c := range []struct {
		name       string
		y, x, h, w int
		want       []uint8
	}{
		{"inside", 1, 1, 2, 2, []uint8{17, 18, 33, 34}},
		{"top left", -1, -1, 2, 3, []uint8{9, 9, 9, 9, 0, 1}},
		{"bottom right", 2, 2, 2, 3, []uint8{34, 9, 9, 9, 9, 9}},
		{"around", -1, -1, 5, 5, []uint8{9, 9, 9, 9, 9, 9, 0, 1, 2, 9, 9, 16, 17, 18, 9, 9, 32, 33, 34, 9, 9, 9, 9, 9, 9}},
		{"beside", 0, 7, 1, 2, []uint8{9, 9}},
		{"before", 0, -5, 1, 2, []uint8{9, 9}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := ramp(3, 3, 1)
			crop(m, NewScratch(0), c.y, c.x, c.h, c.w, 9)
			if !slices.Equal(m.Pix, c.want) || m.H != c.h || m.W != c.w {
				t.Errorf("got %s %v, want %v", m.dims(), m.Pix, c.want)
			}
			f := asFloats(ramp(3, 3, 1))
			crop(f, NewScratch(0), c.y, c.x, c.h, c.w, 9)
			for i, v := range c.want {
				if f.Values[i] != float32(v) {
					t.Fatalf("real: got %v, want %v", f.Values, c.want)
				}
			}
		})
	}
}

func TestCentreCrop(t *testing.T) {
	for _, c := range []struct {
		h, w, th, tw int
		first        uint8 // the first pixel: 16·top + left
	}{
		{6, 8, 2, 4, 16*2 + 2},
		{5, 5, 2, 2, 16*2 + 2}, // 1.5 rounds to even
		{7, 5, 4, 4, 16*2 + 0}, // 1.5 and 0.5
		{4, 4, 4, 4, 0},
	} {
		m := ramp(c.h, c.w, 1)
		if err := (CentreCrop{c.th, c.tw}).Apply(m, NewScratch(0)); err != nil {
			t.Fatal(err)
		}
		if m.H != c.th || m.W != c.tw || m.Pix[0] != c.first {
			t.Errorf("%d×%d to %d×%d: got %s from %d, want from %d", c.h, c.w, c.th, c.tw, m.dims(), m.Pix[0], c.first)
		}
	}
	m := ramp(2, 2, 1)
	m.Pix[0] = 5
	if err := (CentreCrop{Height: 4}).Apply(m, NewScratch(0)); err != nil {
		t.Fatal(err)
	}
	if want := []uint8{0, 0, 0, 0, 0, 5, 1, 0, 0, 16, 17, 0, 0, 0, 0, 0}; !slices.Equal(m.Pix, want) {
		t.Errorf("smaller image: got %v, want %v", m.Pix, want)
	}
}

// Every position of the crop must come up, about equally often, and each must
// be a piece of the padded image.
func TestRandomCrop(t *testing.T) {
	s := NewScratch(3)
	seen := map[[4]uint8]int{}
	const n = 9000
	for range n {
		m := ramp(2, 2, 1)
		for i := range m.Pix {
			m.Pix[i] += 50
		}
		if err := (RandomCrop{Height: 2, Padding: 1, Fill: 7}).Apply(m, s); err != nil {
			t.Fatal(err)
		}
		seen[[4]uint8(m.Pix)]++
	}
	if len(seen) != 9 || seen[[4]uint8{50, 51, 66, 67}] == 0 || seen[[4]uint8{7, 7, 7, 50}] == 0 {
		t.Errorf("got %v, want 9 positions", seen)
	}
	for k, got := range seen {
		if math.Abs(float64(got)-n/9) > 6*math.Sqrt(n/9) {
			t.Errorf("%v: got %d times of %d, want about %d", k, got, n, n/9)
		}
	}
	if err := (RandomCrop{Height: 8, Padding: 2}).Apply(ramp(3, 20, 1), s); err == nil {
		t.Error("image smaller than the crop: got no error")
	}
}

func TestHorizontalFlip(t *testing.T) {
	m := ramp(2, 3, 3)
	if err := (HorizontalFlip{P: 1}).Apply(m, NewScratch(0)); err != nil {
		t.Fatal(err)
	}
	want := []uint8{2, 102, 202, 1, 101, 201, 0, 100, 200, 18, 118, 218, 17, 117, 217, 16, 116, 216}
	if !slices.Equal(m.Pix, want) {
		t.Errorf("got %v, want %v", m.Pix, want)
	}
	flips := 0
	s := NewScratch(1)
	for range 4000 {
		m := ramp(1, 2, 1)
		if err := (HorizontalFlip{}).Apply(m, s); err != nil {
			t.Fatal(err)
		}
		flips += int(m.Pix[0])
	}
	if flips < 1800 || flips > 2200 {
		t.Errorf("got %d flips of 4000, want about half", flips)
	}
}

func TestRandomResizedCrop(t *testing.T) {
	s := NewScratch(5)
	c := RandomResizedCrop{Height: 8, Width: 9}
	areas := 0.0
	for range 2000 {
		m := &Image{H: 60, W: 80, C: 1}
		y, x, h, w := c.rectangle(m, s)
		if y < 0 || x < 0 || y+h > 60 || x+w > 80 {
			t.Fatalf("got rectangle %d %d %d %d outside 60×80", y, x, h, w)
		}
		area, ratio := float64(h*w)/(60*80), float64(w)/float64(h)
		areas += area / 2000
		if area < 0.07 || ratio < 0.7 || ratio > 1.4 {
			t.Fatalf("got area %v, ratio %v", area, ratio)
		}
	}
	if areas < 0.4 || areas > 0.56 { // the mean of 0.08..1, less the rectangles that do not fit
		t.Errorf("got mean area %v", areas)
	}
	// No rectangle of an allowed ratio has this area: the fallback.
	wide := &Image{H: 2, W: 100, C: 1}
	if y, x, h, w := (RandomResizedCrop{Height: 1, Scale: [2]float64{1, 1}}).rectangle(wide, s); y != 0 || x != 48 || h != 2 || w != 3 {
		t.Errorf("got fallback %d %d %d %d, want 0 48 2 3", y, x, h, w)
	}
	for _, m := range []*Image{ramp(12, 13, 3), asFloats(ramp(12, 13, 3)), ramp(1, 1, 1)} {
		if err := c.Apply(m, s); err != nil {
			t.Fatal(err)
		}
		if m.H != 8 || m.W != 9 {
			t.Errorf("got %s", m.dims())
		}
	}
}

func TestResize_Short(t *testing.T) {
	for _, c := range []struct{ h, w, short, wantH, wantW int }{
		{375, 500, 256, 256, 341}, {500, 375, 256, 341, 256}, {10, 10, 7, 7, 7}, {3, 9, 3, 3, 9},
	} {
		m := &Image{}
		m.SetBytes(c.h, c.w, 1)
		if err := (Resize{Short: c.short}).Apply(m, NewScratch(0)); err != nil {
			t.Fatal(err)
		}
		if m.H != c.wantH || m.W != c.wantW {
			t.Errorf("%d×%d with short %d: got %s, want %d×%d", c.h, c.w, c.short, m.dims(), c.wantH, c.wantW)
		}
	}
}

// Real images in 0..1 follow the byte arithmetic to within its rounding.
func TestColor_FloatFollowsBytes(t *testing.T) {
	arrays := pillow(t)
	for _, c := range []struct {
		name  string
		apply func(m *Image, f float64)
		f     float64
		tol   float64 // in bytes
	}{
		{"brightness", adjustBrightness, 0.6, 1.01},
		{"brightness up", adjustBrightness, 1.5, 1.01},
		{"contrast", adjustContrast, 1.4, 2.01},
		{"saturation", adjustSaturation, 0.3, 2.01},
	} {
		b := imageOf(arrays["src"])
		f := asFloats(b)
		for i := range f.Values {
			f.Values[i] /= 255
		}
		c.apply(b, c.f)
		c.apply(f, c.f)
		for i := range b.Pix {
			if d := math.Abs(float64(f.Values[i])*255 - float64(b.Pix[i])); d > c.tol {
				t.Fatalf("%s element %d: got %v, want %d", c.name, i, f.Values[i]*255, b.Pix[i])
			}
		}
	}
	// A third of the circle turns red into green into blue.
	f := &Image{}
	copy(f.SetFloats(1, 3, 3), []float32{1, 0, 0, 0, 1, 0, 0.25, 0.25, 0.75})
	adjustHue(f, 1./3)
	want := []float32{0, 1, 0, 0, 0, 1, 0.75, 0.25, 0.25}
	for i := range want {
		if math.Abs(float64(f.Values[i]-want[i])) > 1e-6 {
			t.Errorf("hue: got %v, want %v", f.Values, want)
			break
		}
	}
}

func TestColorJitter(t *testing.T) {
	j := ColorJitter{Brightness: 0.4, Contrast: 0.4, Saturation: 0.4, Hue: 0.1}
	results := map[string]bool{}
	for seed := range 20 {
		a, b := ramp(5, 5, 3), ramp(5, 5, 3)
		for _, m := range []*Image{a, b} {
			if err := j.Apply(m, NewScratch(uint64(seed))); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(a.Pix, b.Pix) {
			t.Fatalf("seed %d: two results", seed)
		}
		results[string(a.Pix)] = true
	}
	if len(results) < 19 {
		t.Errorf("20 seeds gave %d images", len(results))
	}
	m := ramp(4, 4, 3)
	if err := (ColorJitter{}).Apply(m, NewScratch(0)); err != nil || !slices.Equal(m.Pix, ramp(4, 4, 3).Pix) {
		t.Errorf("the zero value changed the image, or failed: %v", err)
	}
	if err := j.Apply(ramp(2, 2, 4), NewScratch(0)); err == nil {
		t.Error("four channels: got no error")
	}
}

func TestTransforms_JSON(t *testing.T) {
	want := Transforms{
		Resize{Short: 256, Filter: Bicubic}, CentreCrop{Height: 224}, RandomCrop{Height: 32, Width: 30, Padding: 4, Fill: 1},
		RandomResizedCrop{Height: 224, Scale: [2]float64{0.5, 1}}, HorizontalFlip{}, ColorJitter{Hue: 0.1}, Channels{Count: 3},
	}
	if len(want) != len(TransformNames()) {
		t.Errorf("the test has %d transforms of %d", len(want), len(TransformNames()))
	}
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Transforms
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s came back different (-want +got):\n%s", b, d)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
	err = json.Unmarshal([]byte(`[{"random_crop": {"hight": 32}}, {"mirror": {}}, {}]`), &got)
	for _, w := range []string{"hight", `"mirror"`, "horizontal_flip", "transform 3"} {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("got error %v, want %q in it", err, w)
		}
	}
}

func TestTransforms_Validate(t *testing.T) {
	bad := Transforms{
		Resize{}, Resize{Short: 3, Height: 3, Filter: "cubic"}, CentreCrop{}, RandomCrop{Height: 3, Padding: -1},
		RandomResizedCrop{Height: 3, Scale: [2]float64{0.5, 2}, Ratio: [2]float64{2, 1}}, HorizontalFlip{P: math.NaN()},
		ColorJitter{Brightness: -1, Hue: 0.6}, Channels{Count: 2}, Resize{Height: 1 << 30},
	}
	err := bad.Validate()
	if err == nil {
		t.Fatal("got no error")
	}
	for _, w := range []string{"transform 1", "transform 2", "cubic", "transform 3", "padding", "scale", "ratio", "p: got NaN", "brightness", "hue", "count", "transform 9"} {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error lacks %q:\n%v", w, err)
		}
	}
	if err := (Normalize{Mean: []float64{math.Inf(1)}, Std: []float64{1, 0}}).Validate(); err == nil ||
		!strings.Contains(err.Error(), "mean of channel 0") || !strings.Contains(err.Error(), "std of channel 1") {
		t.Errorf("normalize: got %v", err)
	}
}

func TestNormalize(t *testing.T) {
	mean, std := []float64{0.5, 0.25, 0.1}, []float64{0.2, 0.3, 0.4}
	f32 := func(p uint8, c int) float32 { return (float32(p)/255 - float32(mean[c])) / float32(std[c]) }
	m := &Image{}
	copy(m.SetBytes(1, 2, 3), []uint8{10, 20, 30, 40, 50, 60})
	for _, c := range []struct {
		name string
		n    Normalize
		last bool
		want []float32
	}{
		{"zero value", Normalize{}, false, []float32{10. / 255, 40. / 255, 20. / 255, 50. / 255, 30. / 255, 60. / 255}},
		{"mean and std", Normalize{Mean: mean, Std: std}, false, []float32{f32(10, 0), f32(40, 0), f32(20, 1), f32(50, 1), f32(30, 2), f32(60, 2)}},
		{"one for all", Normalize{Mean: mean[:1], Std: std[:1]}, false, []float32{f32(10, 0), f32(40, 0), f32(20, 0), f32(50, 0), f32(30, 0), f32(60, 0)}},
		{"channels last", Normalize{Mean: mean, Std: std}, true, []float32{f32(10, 0), f32(20, 1), f32(30, 2), f32(40, 0), f32(50, 1), f32(60, 2)}},
		{"raw BGR", Normalize{Raw: true, BGR: true, Mean: []float64{1, 2, 3}}, false, []float32{29, 59, 18, 48, 7, 37}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := c.n.prepare(3)
			got := make([]float32, 6)
			p.write(got, m, c.last)
			if !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
			if !c.n.Raw {
				return // bytes are divided, real values are not
			}
			p.write(got, asFloats(m), c.last)
			if !slices.Equal(got, c.want) {
				t.Errorf("real: got %v, want %v", got, c.want)
			}
		})
	}
}

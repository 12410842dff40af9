package data

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/tensor"
)

// pillow returns the arrays of testdata/pillow.npz, made by testdata/pillow.py.
func pillow(t *testing.T) map[string]*tensor.Tensor {
	t.Helper()
	return npzOf(t, "pillow.npz")
}

func npzOf(t *testing.T, name string) map[string]*tensor.Tensor {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	arrays, err := ReadNPZ(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]*tensor.Tensor{}
	for _, a := range arrays {
		m[a.Name] = a.Tensor
	}
	return m
}

func imageOf(t *tensor.Tensor) *Image {
	s := t.Shape()
	c := 1
	if len(s) == 3 {
		c = s[2]
	}
	m := &Image{}
	if t.DType() == tensor.Float32 {
		copy(m.SetFloats(s[0], s[1], c), t.F32())
	} else {
		copy(m.SetBytes(s[0], s[1], c), tensor.Data[uint8](t))
	}
	return m
}

// samePixels fails on the first element that differs.
func samePixels(t *testing.T, got *Image, want *tensor.Tensor) {
	t.Helper()
	w := imageOf(want)
	if got.dims() != w.dims() || got.IsFloat() != w.IsFloat() {
		t.Fatalf("got %s float %t, want %s float %t", got.dims(), got.IsFloat(), w.dims(), w.IsFloat())
	}
	for i := range w.Pix {
		if got.Pix[i] != w.Pix[i] {
			t.Fatalf("element %d (row %d column %d channel %d): got %d, want %d",
				i, i/(w.W*w.C), i/w.C%w.W, i%w.C, got.Pix[i], w.Pix[i])
		}
	}
	for i := range w.Values {
		if math.Float32bits(got.Values[i]) != math.Float32bits(w.Values[i]) {
			t.Fatalf("element %d: got %v, want %v", i, got.Values[i], w.Values[i])
		}
	}
}

func TestResize_Pillow(t *testing.T) {
	arrays := pillow(t)
	n := 0
	for _, f := range []Filter{Nearest, Box, Bilinear, Bicubic, Lanczos} {
		for name, want := range arrays {
			source := "src"
			rest, ok := strings.CutPrefix(name, string(f)+"_")
			if !ok {
				if rest, ok = strings.CutPrefix(name, "real_"+string(f)+"_"); !ok {
					continue
				}
				source = "real"
			}
			n++
			t.Run(name, func(t *testing.T) {
				m := imageOf(arrays[source])
				r := Resize{Height: want.Shape()[0], Width: want.Shape()[1], Filter: f}
				if err := r.Apply(m, NewScratch(1)); err != nil {
					t.Fatalf("%s: %v", rest, err)
				}
				samePixels(t, m, want)
			})
		}
	}
	if n != 80 {
		t.Errorf("compared %d arrays, want 80", n)
	}
}

func TestColor_Pillow(t *testing.T) {
	arrays := pillow(t)
	for _, c := range []struct {
		name   string
		source string
		apply  func(m *Image, f float64)
		at     map[string]float64
	}{
		{"brightness", "src", adjustBrightness, map[string]float64{"0.0": 0, "0.35": 0.35, "1.0": 1, "1.8": 1.8}},
		{"contrast", "src", adjustContrast, map[string]float64{"0.0": 0, "0.35": 0.35, "1.0": 1, "1.8": 1.8}},
		{"saturation", "src", adjustSaturation, map[string]float64{"0.0": 0, "0.35": 0.35, "1.0": 1, "1.8": 1.8}},
		{"hue", "cube", adjustHue, map[string]float64{"-0.5": -0.5, "-0.1": -0.1, "0.0": 0, "0.25": 0.25, "0.5": 0.5}},
	} {
		for text, f := range c.at {
			t.Run(c.name+"_"+text, func(t *testing.T) {
				m := imageOf(arrays[c.source])
				c.apply(m, f)
				samePixels(t, m, arrays[c.name+"_"+text])
			})
		}
	}
	t.Run("luma", func(t *testing.T) {
		m := imageOf(arrays["src"])
		if err := (Channels{Count: 1}).Apply(m, NewScratch(0)); err != nil {
			t.Fatal(err)
		}
		samePixels(t, m, arrays["luma"])
	})
}

func TestDecodePNG_Pillow(t *testing.T) {
	arrays := pillow(t)
	for _, form := range []string{"rgb", "gray", "rgba", "grayalpha", "palette", "bilevel"} {
		t.Run(form, func(t *testing.T) {
			path := filepath.Join("testdata", "form_"+form+".png")
			if err := checkImageFile(path); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var m Image
			if err := decodeImage(b, &m); err != nil {
				t.Fatal(err)
			}
			samePixels(t, &m, arrays["form_"+form])
		})
	}
}

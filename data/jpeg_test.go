package data

import (
	"os"
	"path/filepath"
	"testing"
)

// Pillow decodes with libjpeg-turbo. The two libraries' inverse cosine
// transforms round differently, by one step of luma or chroma at a time, which
// the conversion of colours carries to at most three; repeated instead of
// interpolated chroma differs by dozens in this image.
func TestDecodeJPEG_Pillow(t *testing.T) {
	arrays := npzOf(t, "jpeg.npz")
	for _, form := range []string{"444", "422", "420", "440", "gray", "narrow"} {
		t.Run(form, func(t *testing.T) {
			b, err := os.ReadFile(filepath.Join("testdata", "chroma_"+form+".jpg"))
			if err != nil {
				t.Fatal(err)
			}
			var m Image
			if err := decodeImage(b, &m); err != nil {
				t.Fatal(err)
			}
			want := imageOf(arrays[form])
			if m.dims() != want.dims() {
				t.Fatalf("got %s, want %s", m.dims(), want.dims())
			}
			other := 0
			for i, v := range m.Pix {
				d := int(v) - int(want.Pix[i])
				if max(d, -d) > 3 {
					t.Fatalf("row %d column %d channel %d: got %d, want %d", i/(m.W*3), i/3%m.W, i%3, v, want.Pix[i])
				}
				if d != 0 {
					other++
				}
			}
			if share := float64(other) / float64(len(m.Pix)); share > 0.2 {
				t.Errorf("%.0f %% of the values differ, want at most 20 %%", 100*share)
			}
		})
	}
}

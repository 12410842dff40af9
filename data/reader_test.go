package data

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/go-nncf/nncf/internal/testkit"
	"github.com/go-nncf/nncf/tensor"
)

// folder writes files into a new folder; names may have sub-folders.
func folder(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func gz(b []byte) []byte {
	var w bytes.Buffer
	z := gzip.NewWriter(&w)
	z.Write(b)
	z.Close()
	return w.Bytes()
}

func encode(write func(io.Writer) error) []byte {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func idx(t *tensor.Tensor) []byte {
	return encode(func(w io.Writer) error { return WriteIDX(w, t) })
}

func npz(arrays ...Array) []byte {
	return encode(func(w io.Writer) error { return WriteNPZ(w, arrays...) })
}

// cifarRecord has red, green and blue planes that start at the given values
// and grow by one per pixel.
func cifarRecord(labels []byte, red, green, blue byte) []byte {
	rec := bytes.Clone(labels)
	for _, start := range []byte{red, green, blue} {
		for i := range cifarPixels {
			rec = append(rec, start+byte(i))
		}
	}
	return rec
}

func mustOpen(t *testing.T, spec string, o Options) Dataset {
	t.Helper()
	ds, err := Open(spec, o)
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

func labelsOf(ds Dataset) []int {
	l := make([]int, ds.Len())
	for i := range l {
		l[i] = ds.Label(i)
	}
	return l
}

func TestOpen_CIFAR10(t *testing.T) {
	dir := folder(t, map[string][]byte{
		"data_batch_1.bin":    slices.Concat(cifarRecord([]byte{3}, 1, 2, 3), cifarRecord([]byte{9}, 4, 5, 6)),
		"data_batch_2.bin.gz": gz(cifarRecord([]byte{0}, 7, 8, 9)),
		"data_batch_1.bin.gz": []byte("not read beside the plain file"),
		"test_batch.bin":      cifarRecord([]byte{5}, 10, 20, 30),
		"readme.html":         nil,
	})
	train := mustOpen(t, "cifar10:"+dir, Options{})
	if got := labelsOf(train); !slices.Equal(got, []int{3, 9, 0}) {
		t.Errorf("got labels %v, want 3 9 0", got)
	}
	if c := train.Classes(); len(c) != 10 || c[3] != "cat" {
		t.Errorf("got classes %v", c)
	}
	var m Image
	if err := train.Image(2, &m); err != nil {
		t.Fatal(err)
	}
	if m.dims() != "32×32×3" || !slices.Equal(m.Pix[3*33:3*34], []byte{7 + 33, 8 + 33, 9 + 33}) {
		t.Errorf("got %s, pixel 33 %v", m.dims(), m.Pix[3*33:3*34])
	}
	if got, want := Name(train, 2), filepath.Join(dir, "data_batch_2.bin.gz")+" record 0"; got != want {
		t.Errorf("got name %q, want %q", got, want)
	}
	for _, s := range []Split{Test, Val} {
		if got := labelsOf(mustOpen(t, "cifar10:"+dir, Options{Split: s})); !slices.Equal(got, []int{5}) {
			t.Errorf("%s: got labels %v, want 5", s, got)
		}
	}
	one := mustOpen(t, "cifar10:"+filepath.Join(dir, "test_batch.bin"), Options{})
	if got := labelsOf(one); !slices.Equal(got, []int{5}) {
		t.Errorf("one file: got labels %v, want 5", got)
	}
}

func TestOpen_CIFAR100(t *testing.T) {
	dir := folder(t, map[string][]byte{
		"cifar-100-binary/train.bin":              slices.Concat(cifarRecord([]byte{19, 99}, 0, 0, 0), cifarRecord([]byte{2, 40}, 0, 0, 0)),
		"cifar-100-binary/test.bin.gz":            gz(cifarRecord([]byte{0, 1}, 0, 0, 0)),
		"cifar-100-binary/coarse_label_names.txt": []byte(strings.Repeat("group\n", 20)),
	})
	for _, c := range []struct {
		o    Options
		want []int
		n    int
	}{
		{Options{}, []int{99, 40}, 100},
		{Options{Coarse: true}, []int{19, 2}, 20},
		{Options{Split: Test}, []int{1}, 100},
	} {
		ds := mustOpen(t, "cifar100:"+dir, c.o)
		if got := labelsOf(ds); !slices.Equal(got, c.want) || len(ds.Classes()) != c.n {
			t.Errorf("%+v: got labels %v of %d classes, want %v of %d", c.o, got, len(ds.Classes()), c.want, c.n)
		}
	}
}

func TestOpen_IDX(t *testing.T) {
	images := tensor.From([]uint8{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, 2, 2, 3)
	labels := tensor.From([]uint8{1, 0}, 2)
	other := tensor.From([]uint8{2, 2}, 2)
	for _, c := range []struct {
		name        string
		train, test string // prefixes
		zip         bool
	}{
		{"MNIST", "train-", "t10k-", false},
		{"MNIST gz", "train-", "t10k-", true},
		{"t3k", "train-", "t3k-", true},
		{"EMNIST", "emnist-letters-train-", "emnist-letters-test-", true},
		{"validation", "train_", "val_", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := map[string][]byte{"note.txt": nil}
			for _, f := range []struct {
				name string
				t    *tensor.Tensor
			}{
				{c.train + "images-idx3-ubyte", images}, {c.train + "labels-idx1-ubyte", labels},
				{c.test + "images-idx3-ubyte", images}, {c.test + "labels-idx1-ubyte", other},
			} {
				if b := idx(f.t); c.zip {
					files[f.name+".gz"] = gz(b)
				} else {
					files[f.name] = b
				}
			}
			dir := folder(t, files)
			train := mustOpen(t, "idx:"+dir, Options{})
			var m Image
			if err := train.Image(1, &m); err != nil {
				t.Fatal(err)
			}
			if got := labelsOf(train); !slices.Equal(got, []int{1, 0}) || m.dims() != "2×3×1" || m.Pix[5] != 11 {
				t.Errorf("got labels %v, %s %v", got, m.dims(), m.Pix)
			}
			if got := labelsOf(mustOpen(t, "idx:"+dir, Options{Split: Test})); !slices.Equal(got, []int{2, 2}) {
				t.Errorf("test: got labels %v, want 2 2", got)
			}
		})
	}
}

func picture(w, h int, at func(x, y int) color.NRGBA) image.Image {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.SetNRGBA(x, y, at(x, y))
		}
	}
	return m
}

func pngFile(w, h int) []byte {
	m := picture(w, h, func(x, y int) color.NRGBA { return color.NRGBA{uint8(x), uint8(y), 7, 255} })
	return encode(func(out io.Writer) error { return png.Encode(out, m) })
}

func jpegFile(w, h int) []byte {
	m := picture(w, h, func(x, y int) color.NRGBA { return color.NRGBA{200, 100, 50, 255} })
	return encode(func(out io.Writer) error { return jpeg.Encode(out, m, &jpeg.Options{Quality: 95}) })
}

func TestOpen_ImageFolder(t *testing.T) {
	dir := folder(t, map[string][]byte{
		"train/dog/b.png":       pngFile(5, 4),
		"train/dog/a.JPG":       jpegFile(16, 8),
		"train/dog/notes.txt":   nil,
		"train/dog/.hidden.png": nil,
		"train/cat/deep/x.jpeg": jpegFile(8, 8),
		"val/cat/1.png":         pngFile(3, 3),
		"val/dog/2.png":         pngFile(3, 3),
	})
	train := mustOpen(t, "imagefolder:"+dir, Options{})
	if !slices.Equal(train.Classes(), []string{"cat", "dog"}) || !slices.Equal(labelsOf(train), []int{0, 1, 1}) {
		t.Errorf("got classes %v, labels %v", train.Classes(), labelsOf(train))
	}
	var m Image
	if err := train.Image(2, &m); err != nil {
		t.Fatal(err)
	}
	if m.dims() != "4×5×3" || !slices.Equal(m.Pix[3*7:3*8], []byte{2, 1, 7}) {
		t.Errorf("b.png: got %s, pixel (2, 1) %v", m.dims(), m.Pix[3*7:3*8])
	}
	if err := train.Image(1, &m); err != nil {
		t.Fatal(err)
	}
	for c, want := range []int{200, 100, 50} {
		if got := int(m.Pix[c]); m.dims() != "8×16×3" || got < want-3 || got > want+3 {
			t.Errorf("a.JPG: got %s, channel %d %d, want about %d", m.dims(), c, got, want)
		}
	}
	if got := labelsOf(mustOpen(t, "imagefolder:"+dir, Options{Split: Test})); !slices.Equal(got, []int{0, 1}) {
		t.Errorf("test from val: got labels %v", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "classes.txt"), []byte("dog\nbird\ncat\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	listed := mustOpen(t, "imagefolder:"+dir, Options{Split: Val})
	if got := labelsOf(listed); !slices.Equal(got, []int{2, 0}) || listed.Classes()[1] != "bird" {
		t.Errorf("with classes.txt: got labels %v of %v", got, listed.Classes())
	}
	flat := mustOpen(t, "imagefolder:"+filepath.Join(dir, "val", "cat"), Options{Split: Val})
	if flat.Len() != 1 || flat.Label(0) != -1 || len(flat.Classes()) != 0 {
		t.Errorf("without classes: got %d images, label %d", flat.Len(), flat.Label(0))
	}
}

func TestOpen_ImageFolder_Bad(t *testing.T) {
	whole := jpegFile(32, 32)
	huge := pngFile(1, 1)
	copy(huge[16:24], []byte{0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff}) // width and height of the header
	files := map[string][]byte{
		"a/good.png": pngFile(2, 2), "a/empty.png": nil, "a/text.jpg": []byte("hello"),
		"b/huge.png": huge, "b/short.jpg": whole[:20], "b/cut.jpg": whole[:len(whole)-10],
	}
	dir := folder(t, files)
	_, err := Open("imagefolder:"+dir, Options{})
	if err == nil {
		t.Fatal("got no error")
	}
	for _, want := range []string{"4 of 6", "empty.png", "text.jpg", "huge.png", "short.jpg"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %q:\n%v", want, err)
		}
	}
	ds := mustOpen(t, "imagefolder:"+dir, Options{SkipCheck: true})
	err = Check(t.Context(), ds)
	if err == nil || !strings.Contains(err.Error(), "5 of 6") || !strings.Contains(err.Error(), "cut.jpg") {
		t.Errorf("Check: got %v, want 5 of 6 with cut.jpg", err)
	}
	// Rewriting the header without its checksum is caught by it; the limit must
	// hold as well.
	if err := checkSize(image.Config{Width: 65535, Height: 65535}, 100); err == nil {
		t.Error("65535×65535 pixels in 100 bytes: got no error")
	}
}

func TestOpen_NPZ(t *testing.T) {
	planar := tensor.New(tensor.Float32, 2, 3, 4, 5)
	for i := range planar.F32() {
		planar.F32()[i] = float32(i)
	}
	bytesNHWC := tensor.New(tensor.Uint8, 2, 4, 5, 3)
	for i := range bytesNHWC.Len() {
		tensor.Data[uint8](bytesNHWC)[i] = uint8(i)
	}
	y := tensor.From([]int64{4, 1}, 2)
	for _, c := range []struct {
		name   string
		arrays []Array
		o      Options
		labels []int
		shape  tensor.Shape
		first  []float32 // of example 1 as a batch has it
	}{
		{"images and labels", []Array{{"images", planar}, {"labels", y}}, Options{}, []int{4, 1}, tensor.Shape{3, 4, 5}, []float32{60, 61}},
		{"bytes NHWC", []Array{{"x", bytesNHWC}, {"y", tensor.From([]uint8{4, 1}, 2, 1)}}, Options{}, []int{4, 1}, tensor.Shape{3, 4, 5}, []float32{60. / 255, 63. / 255}},
		{"parts", []Array{{"x_train", bytesNHWC}, {"y_train", y}, {"x_test", planar}, {"y_test", tensor.From([]int32{0, 2}, 2)}}, Options{Split: Test}, []int{0, 2}, tensor.Shape{3, 4, 5}, []float32{60}},
		{"medical names", []Array{{"val_images", planar}, {"val_labels", tensor.From([]float32{0, 2}, 2, 1)}}, Options{Split: Val}, []int{0, 2}, tensor.Shape{3, 4, 5}, []float32{60}},
		{"forced layout", []Array{{"x", planar}}, Options{Layout: NHWC}, []int{-1, -1}, tensor.Shape{5, 3, 4}, []float32{60, 65}},
		{"vectors", []Array{{"x", planar.Reshape(2, 60)}}, Options{}, []int{-1, -1}, tensor.Shape{60}, []float32{60, 61}},
		{"gray", []Array{{"x", planar.Reshape(2, 6, 10)}}, Options{}, []int{-1, -1}, tensor.Shape{1, 6, 10}, []float32{60, 61}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(folder(t, map[string][]byte{"d.npz": npz(c.arrays...)}), "d.npz")
			ds := mustOpen(t, "npz:"+path, c.o)
			if got := labelsOf(ds); !slices.Equal(got, c.labels) {
				t.Errorf("got labels %v, want %v", got, c.labels)
			}
			l := Loader{Dataset: ds, Batch: 2}
			for b, err := range l.Batches(t.Context(), 0) {
				if err != nil {
					t.Fatal(err)
				}
				if got := b.Images.Shape()[1:]; !got.Equal(c.shape) {
					t.Fatalf("got shape %v, want %v", got, c.shape)
				}
				if got := b.Images.F32()[c.shape.Numel():][:len(c.first)]; !slices.Equal(got, c.first) {
					t.Errorf("got %v, want %v", got, c.first)
				}
			}
		})
	}
}

func TestOpen_Errors(t *testing.T) {
	good := cifarRecord([]byte{1}, 0, 0, 0)
	dir := folder(t, map[string][]byte{
		"cut/test_batch.bin":          good[:3000],
		"label/test_batch.bin":        append(bytes.Clone(good), cifarRecord([]byte{10}, 0, 0, 0)...),
		"gz/test_batch.bin.gz":        gz(good)[:40],
		"none/other.txt":              nil,
		"idx/t10k-images-idx3-ubyte":  idx(tensor.New(tensor.Uint8, 3, 2, 2)),
		"idx/t10k-labels-idx1-ubyte":  idx(tensor.New(tensor.Uint8, 2)),
		"idx/train-images-idx3-ubyte": {0, 0, 8, 3, 0xff, 0xff, 0xff, 0xff, 0, 0, 0xff, 0xff, 0, 0, 0, 1, 0},
		"idx/train-labels-idx1-ubyte": {0, 0, 8},
		"two/t10k-images-idx3-ubyte":  nil,
		"two/t10k-labels-idx1-ubyte":  nil,
		"two/t3k-images-idx3-ubyte":   nil,
		"two/t3k-labels-idx1-ubyte":   nil,
		"f.npz":                       npz(Array{"y", tensor.New(tensor.Uint8, 1)}),
		"labels.npz":                  npz(Array{"x", tensor.New(tensor.Uint8, 2, 2, 2)}, Array{"y", tensor.From([]int32{0, -1}, 2)}),
		"rank.npz":                    npz(Array{"x", tensor.New(tensor.Uint8, 2)}),
		"junk.npz":                    []byte("junk"),
		"parts/train/a/x.png":         pngFile(1, 1),
		"nothing/sub/readme.txt":      nil,
		"listed/classes.txt":          []byte("a"),
		"listed/b/x.png":              pngFile(1, 1),
		"listed/c/x.png":              pngFile(1, 1),
	})
	for _, c := range []struct {
		spec string
		o    Options
		want []string
	}{
		{"cifar10", Options{}, []string{"kind:path"}},
		{"mnist:" + dir, Options{}, []string{`"mnist"`, "idx", "imagefolder"}},
		{"idx:" + filepath.Join(dir, "absent"), Options{}, []string{"absent"}},
		{"cifar10:" + dir, Options{Split: "dev", First: -1, Layout: "HWC"}, []string{"split", "first", "layout"}},
		{"cifar10:" + filepath.Join(dir, "cut"), Options{Split: Test}, []string{"test_batch.bin", "record 0", "3073"}},
		{"cifar10:" + filepath.Join(dir, "label"), Options{Split: Test}, []string{"record 1 (byte 3073)", "label 10"}},
		{"cifar10:" + filepath.Join(dir, "gz"), Options{Split: Test}, []string{"test_batch.bin.gz", "unexpected EOF"}},
		{"cifar10:" + filepath.Join(dir, "none"), Options{}, []string{"data_batch_*.bin", "other.txt"}},
		{"idx:" + filepath.Join(dir, "idx"), Options{Split: Test}, []string{"t10k-images", "shape [2] for 3 examples"}},
		{"idx:" + filepath.Join(dir, "idx"), Options{}, []string{"train-images", "train-labels", "magic"}},
		{"idx:" + filepath.Join(dir, "none"), Options{}, []string{"train-images-idx3-ubyte", "other.txt"}},
		{"idx:" + filepath.Join(dir, "two"), Options{Split: Test}, []string{"t10k-images", "t3k-images"}},
		{"idx:" + filepath.Join(dir, "f.npz"), Options{}, []string{"folder"}},
		{"npz:" + filepath.Join(dir, "f.npz"), Options{}, []string{"got y", "x_train"}},
		{"npz:" + filepath.Join(dir, "labels.npz"), Options{}, []string{"class -1 for example 1"}},
		{"npz:" + filepath.Join(dir, "rank.npz"), Options{}, []string{"shape [2]"}},
		{"npz:" + filepath.Join(dir, "junk.npz"), Options{}, []string{"junk.npz", "zip"}},
		{"npz:" + dir, Options{}, []string{"not a folder"}},
		{"imagefolder:" + filepath.Join(dir, "parts"), Options{Split: Test}, []string{"test part", "train"}},
		{"imagefolder:" + filepath.Join(dir, "listed"), Options{}, []string{filepath.Join("listed", "b"), filepath.Join("listed", "c"), "classes.txt"}},
		{"imagefolder:" + filepath.Join(dir, "nothing"), Options{}, []string{".png", "sub"}},
	} {
		t.Run(filepath.Base(c.spec), func(t *testing.T) {
			ds, err := Open(c.spec, c.o)
			if err == nil {
				t.Fatalf("got %d examples, want an error", ds.Len())
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("got error %q, want %q in it", err, w)
				}
			}
		})
	}
	if _, err := Open("npz:absent.npz", Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent file: got %v, want fs.ErrNotExist", err)
	}
}

func TestReadIDX_RoundTrip(t *testing.T) {
	for _, want := range []*tensor.Tensor{
		tensor.From([]uint8{1, 2, 3, 4}, 2, 2), tensor.From([]int8{-1}, 1), tensor.From([]int16{-300, 7}, 1, 2),
		tensor.From([]int32{1 << 30}, 1), tensor.From([]float32{0.1, -3}, 2), tensor.From([]float64{math.E}, 1, 1, 1),
	} {
		got, err := ReadIDX(bytes.NewReader(idx(want)))
		if err != nil || !got.Equal(want) {
			t.Errorf("%v: got %v, error %v", want, got, err)
		}
		if _, err := ReadIDX(bytes.NewReader(append(idx(want), 0))); err == nil {
			t.Errorf("%v with a byte more: got no error", want)
		}
	}
	// The bytes as the format's page gives them, not as WriteIDX does.
	got, err := ReadIDX(bytes.NewReader([]byte{0, 0, 0x0b, 1, 0, 0, 0, 2, 0x01, 0x02, 0xff, 0xfe}))
	if want := tensor.From([]int16{258, -2}, 2); err != nil || !got.Equal(want) {
		t.Errorf("got %v, %v", got, err)
	}
}

func FuzzReadIDX(f *testing.F) {
	f.Add([]byte{0, 0, 8, 1, 0, 0, 0, 2, 1, 2})
	f.Add([]byte{0, 0, 13, 2, 0, 0, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4})
	f.Add([]byte{0, 0, 8, 255, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ReadIDX(bytes.NewReader(b))
		if err != nil {
			return
		}
		if w := idx(got); !bytes.Equal(w, b) {
			t.Fatalf("read %v from % x, wrote % x", got, b, w)
		}
	})
}

func FuzzDecodeImage(f *testing.F) {
	f.Add(pngFile(3, 2))
	f.Add(jpegFile(9, 9))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Image
		if decodeImage(b, &m) == nil && len(m.Pix) != m.H*m.W*3 {
			t.Fatalf("got %d bytes for %s", len(m.Pix), m.dims())
		}
	})
}

func TestQuickstartSlice(t *testing.T) {
	dir := filepath.Join(testkit.RepoRoot(), "examples", "quickstart", "data")
	for _, c := range []struct {
		split Split
		n     int
		mean  float64
	}{{Train, 10000, 0.3020}, {Test, 2500, 0.3032}} {
		ds := mustOpen(t, "idx:"+dir, Options{Split: c.split})
		st, err := Describe(t.Context(), ds)
		if err != nil {
			t.Fatal(err)
		}
		for l, n := range st.Counts {
			if n != c.n/10 {
				t.Errorf("%s: got %d images of %s, want %d", c.split, n, st.Classes[l], c.n/10)
			}
		}
		if st.Examples != c.n || len(st.Counts) != 10 || st.Largest != [3]int{28, 28, 1} || math.Abs(st.Mean[0]-c.mean) > 5e-5 {
			t.Errorf("%s: got %v", c.split, st)
		}
	}
	if c := mustOpen(t, "idx:"+dir, Options{}).Classes(); c[9] != "ankle boot" {
		t.Errorf("got classes %v", c)
	}
}

// The shared CIFAR-10 images, decoded here and written in the binary layout,
// have the published hash, and a batch has the bits that the reference input of
// the CIFAR networks has.
func TestCIFAR10_Shared(t *testing.T) {
	if testing.Short() {
		t.Skip("decodes 10,000 images")
	}
	archive := testkit.Shared(t, "data", "cifar10", "test_jpeg.tar.gz")
	b, err := readFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	var records []byte
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		file, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		// The records are defined by package image/jpeg and its colours.
		m, err := jpeg.Decode(bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		var index, label int
		if _, err := fmt.Sscanf(filepath.Base(h.Name), "%d_%d.jpg", &index, &label); err != nil {
			t.Fatal(err)
		}
		records = append(records, byte(label))
		for c := range 3 {
			for i := range 32 * 32 {
				r, g, b, _ := m.At(i%32, i/32).RGBA()
				records = append(records, byte([]uint32{r, g, b}[c]>>8))
			}
		}
	}
	const want = "b09affab6f80fe745e532cd2f139921c567ef16ed36df0ed34ee92cf105f1e3a"
	if got := fmt.Sprintf("%x", sha256.Sum256(records)); got != want {
		t.Fatalf("got hash %s, want %s", got, want)
	}
	dir := folder(t, map[string][]byte{"test_batch.bin": records})
	ds := mustOpen(t, "cifar10:"+dir, Options{Split: Test})
	counts := make([]int, 10)
	for _, l := range labelsOf(ds) {
		counts[l]++
	}
	if !slices.Equal(counts, slices.Repeat([]int{1000}, 10)) {
		t.Errorf("got class counts %v, want 1000 each", counts)
	}

	ref, err := os.ReadFile(testkit.Shared(t, "models", "cifar-resnet", "refs", "cifar_input.pb"))
	if err != nil {
		t.Fatal(err)
	}
	l := Loader{Dataset: ds, Batch: 8, Normalize: Normalize{Mean: []float64{0.485, 0.456, 0.406}, Std: []float64{0.229, 0.224, 0.225}}}
	for b, err := range l.Batches(context.Background(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		compareRaw(t, b.Images.F32(), rawData(t, ref))
		break
	}
}

// rawData returns the float32 elements of field raw_data of a TensorProto.
func rawData(t *testing.T, b []byte) []float32 {
	t.Helper()
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		if num == 9 && typ == protowire.BytesType {
			raw, _ := protowire.ConsumeBytes(b[n:])
			out := make([]float32, len(raw)/4)
			for i := range out {
				out[i] = math.Float32frombits(uint32(raw[4*i]) | uint32(raw[4*i+1])<<8 | uint32(raw[4*i+2])<<16 | uint32(raw[4*i+3])<<24)
			}
			return out
		}
		m := protowire.ConsumeFieldValue(num, typ, b[n:])
		if m < 0 {
			t.Fatal(protowire.ParseError(m))
		}
		b = b[n+m:]
	}
	t.Fatal("no raw_data")
	return nil
}

func compareRaw(t *testing.T, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %d elements, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("element %d: got %v, want %v", i, got[i], want[i])
		}
	}
}

package train_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/tensor"
	"github.com/go-nncf/nncf/train"
)

func sampleCheckpoint() *train.Checkpoint {
	return &train.Checkpoint{
		Meta: json.RawMessage(`{"epoch":3,"name":"ü"}`),
		Tensors: []train.NamedTensor{
			{Name: "weight", Tensor: tensor.From([]float32{1, -0.5, float32(math.Inf(1)), math.MaxFloat32, math.Float32frombits(0x7fc12345), math.Float32frombits(1)}, 2, 3)},
			{Name: "odd bytes", Tensor: tensor.From([]uint8{1, 2, 3, 4, 5}, 5)},
			{Name: "empty", Tensor: tensor.From([]float32{}, 0, 4)},
			{Name: "scalar", Tensor: tensor.Scalar(int64(math.MinInt64))},
			{Name: "", Tensor: tensor.From([]float32{7}, 1)},
		},
	}
}

func encode(t testing.TB, c *train.Checkpoint) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := c.Encode(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// sameCheckpoint compares bit by bit.
func sameCheckpoint(t *testing.T, got, want *train.Checkpoint) {
	t.Helper()
	if string(got.Meta) != string(want.Meta) {
		t.Errorf("meta: got %s, want %s", got.Meta, want.Meta)
	}
	if len(got.Tensors) != len(want.Tensors) {
		t.Fatalf("got %d tensors, want %d", len(got.Tensors), len(want.Tensors))
	}
	if !bytes.Equal(encode(t, got), encode(t, want)) {
		t.Error("the tensors differ")
	}
	for i, w := range want.Tensors {
		if g := got.Tensors[i]; g.Name != w.Name || !g.Tensor.Equal(w.Tensor) {
			t.Errorf("tensor %d: got %q %v, want %q %v", i, g.Name, g.Tensor, w.Name, w.Tensor)
		}
	}
}

func TestCheckpoint_RoundTrip(t *testing.T) {
	for _, c := range []*train.Checkpoint{sampleCheckpoint(), {Meta: json.RawMessage(`null`)}} {
		got, err := train.DecodeCheckpoint(encode(t, c))
		if err != nil {
			t.Fatal(err)
		}
		sameCheckpoint(t, got, c)
	}
	c := sampleCheckpoint()
	if c.Tensor("scalar") != c.Tensors[3].Tensor || c.Tensor("none") != nil {
		t.Error("Tensor does not find by name")
	}
}

// TestCheckpoint_Layout pins the format: files must stay readable.
func TestCheckpoint_Layout(t *testing.T) {
	got := encode(t, &train.Checkpoint{Meta: json.RawMessage(`{}`), Tensors: []train.NamedTensor{{Name: "b", Tensor: tensor.From([]uint8{9}, 1)}}})
	head := `{"meta":{},"tensors":[{"name":"b","dtype":"uint8","shape":[1],"offset":0}]}`
	want := "NNCFCKPT" + "\x01\x00\x00\x00" + string(rune(len(head))) + "\x00\x00\x00\x00\x00\x00\x00" + head + "\x09\x00\x00\x00\x00\x00\x00\x00"
	sum := crc32.Checksum([]byte(want), crc32.MakeTable(crc32.Castagnoli))
	want = string(binary.LittleEndian.AppendUint32([]byte(want), sum))
	if string(got) != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestDecodeCheckpoint_Truncated(t *testing.T) {
	whole := encode(t, sampleCheckpoint())
	for n := range whole {
		if _, err := train.DecodeCheckpoint(whole[:n]); err == nil {
			t.Errorf("the first %d of %d bytes decode", n, len(whole))
		}
	}
	if _, err := train.DecodeCheckpoint(append(bytes.Clone(whole), 0)); err == nil {
		t.Error("a byte too many decodes")
	}
}

func TestDecodeCheckpoint_BitFlips(t *testing.T) {
	whole := encode(t, sampleCheckpoint())
	for i := range whole {
		for bit := range 8 {
			b := bytes.Clone(whole)
			b[i] ^= 1 << bit
			if _, err := train.DecodeCheckpoint(b); err == nil {
				t.Errorf("bit %d of byte %d flipped: it decodes", bit, i)
			}
		}
	}
}

// sealed builds a file with a right checksum around a header and a payload.
func sealed(header string, payload string) []byte {
	b := []byte("NNCFCKPT\x01\x00\x00\x00")
	b = binary.LittleEndian.AppendUint64(b, uint64(len(header)))
	b = append(append(b, header...), payload...)
	return reseal(append(b, 0, 0, 0, 0))
}

// reseal sets the checksum at the end of b.
func reseal(b []byte) []byte {
	body := b[:len(b)-4]
	binary.LittleEndian.PutUint32(b[len(b)-4:], crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
	return b
}

func TestDecodeCheckpoint_Hostile(t *testing.T) {
	entry := func(dtype, shape, offset string) string {
		return `{"meta":1,"tensors":[{"name":"x","dtype":"` + dtype + `","shape":` + shape + `,"offset":` + offset + `}]}`
	}
	eight := "01234567"
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"another file", []byte("PK\x03\x04 something else altogether"), "not a checkpoint"},
		{"empty", nil, "not a checkpoint"},
		{"prefix only", []byte("NNCFCKPT\x01\x00\x00\x00"), "cut short"},
		{"newer format", reseal(append([]byte("NNCFCKPT\x02\x00\x00\x00"), make([]byte, 20)...)), "format 2"},
		{"long header", reseal(append([]byte("NNCFCKPT\x01\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"), make([]byte, 20)...)), "header is longer"},
		{"no JSON", sealed("tensors", ""), "checkpoint header"},
		{"unknown type", sealed(entry("float7", "[2]", "0"), eight), "float7"},
		{"type not kept", sealed(entry("float64", "[1]", "0"), eight), "float64"},
		{"negative axis", sealed(entry("float32", "[-2]", "0"), eight), "negative axis"},
		{"huge shape", sealed(entry("float32", "[4611686018427387904,4611686018427387904]", "0"), eight), "too many"},
		{"large shape", sealed(entry("int64", "[1000000000000]", "0"), eight), "at most 8 bytes"},
		{"negative offset", sealed(entry("float32", "[2]", "-8"), eight), "want offset 0"},
		{"late offset", sealed(entry("float32", "[2]", "8"), eight+eight), "want offset 0"},
		{"left over", sealed(entry("float32", "[2]", "0"), eight+eight), "16 bytes of tensors"},
		{"same name", sealed(`{"tensors":[{"name":"x","dtype":"uint8","shape":[0],"offset":0},{"name":"x","dtype":"uint8","shape":[0],"offset":0}]}`, ""), "twice"},
		{"overlap", sealed(`{"tensors":[{"name":"x","dtype":"uint8","shape":[8],"offset":0},{"name":"y","dtype":"uint8","shape":[8],"offset":0}]}`, eight), "want offset 8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := train.DecodeCheckpoint(c.file)
			wantError(t, err, c.want)
		})
	}
}

// TestDecodeCheckpoint_Memory decodes files whose headers claim much more than
// they have.
func TestDecodeCheckpoint_Memory(t *testing.T) {
	payload := strings.Repeat("01234567", 1<<15)
	var h strings.Builder
	h.WriteString(`{"tensors":[`)
	for i := range 1000 {
		if i > 0 {
			h.WriteString(",")
		}
		h.WriteString(`{"name":"` + strings.Repeat("x", i) + `","dtype":"uint8","shape":[262144],"offset":0}`)
	}
	file := sealed(h.String()+"]}", payload)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := train.DecodeCheckpoint(file)
	runtime.ReadMemStats(&after)
	wantError(t, err, "want offset")
	if got, most := after.TotalAlloc-before.TotalAlloc, uint64(16*len(file)); got > most {
		t.Errorf("decoding %d bytes allocated %d, want at most %d", len(file), got, most)
	}
}

func FuzzDecodeCheckpoint(f *testing.F) {
	f.Add(encode(f, sampleCheckpoint()))
	f.Add(encode(f, &train.Checkpoint{}))
	f.Add([]byte("NNCFCKPT"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 24 {
			b = reseal(bytes.Clone(b)) // get past the checksum
		}
		c, err := train.DecodeCheckpoint(b)
		if err != nil {
			return
		}
		again, err := train.DecodeCheckpoint(encode(t, c))
		if err != nil {
			t.Fatalf("what was decoded does not decode again: %v", err)
		}
		if len(again.Tensors) != len(c.Tensors) {
			t.Fatalf("got %d tensors again, want %d", len(again.Tensors), len(c.Tensors))
		}
	})
}

func TestCheckpoint_EncodeErrors(t *testing.T) {
	c := &train.Checkpoint{Tensors: []train.NamedTensor{
		{Name: "a", Tensor: tensor.New(tensor.Int32, 2)}, {Name: "b", Tensor: tensor.New(tensor.Float32, 2)}, {Name: "b", Tensor: tensor.New(tensor.Float32, 2)}}}
	err := c.Encode(io.Discard)
	wantError(t, err, `tensor "a": got int32`)
	wantError(t, err, `two tensors are named "b"`)
	wantError(t, (&train.Checkpoint{Meta: json.RawMessage(`{`)}).Encode(io.Discard), "JSON")
}

// files lists a folder.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func TestCheckpoint_Save(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "last.ckpt")
	want := sampleCheckpoint()
	for range 2 { // the second replaces the first
		if err := want.Save(path); err != nil {
			t.Fatal(err)
		}
	}
	got, err := train.LoadCheckpoint(path)
	if err != nil {
		t.Fatal(err)
	}
	sameCheckpoint(t, got, want)

	bad := &train.Checkpoint{Tensors: []train.NamedTensor{{Name: "a", Tensor: tensor.New(tensor.Bool, 2)}}}
	if err := bad.Save(path); err == nil {
		t.Error("a tensor of booleans was saved")
	}
	if got, err = train.LoadCheckpoint(path); err != nil {
		t.Fatal(err)
	}
	sameCheckpoint(t, got, want)
	if l := files(t, dir); len(l) != 1 {
		t.Errorf("a failed write left %v", l)
	}
	wantError(t, want.Save(filepath.Join(dir, "none", "x.ckpt")), "none")
	if _, err := train.LoadCheckpoint(filepath.Join(dir, "none.ckpt")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("loading a file that is not there: got %v", err)
	}
}

func TestRemovePartial(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "odd [name*")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "last.ckpt")
	keep := []string{".last.ckpt", "best.ckpt", "last.ckpt", "last.ckpt.partial-1"}
	for _, name := range append([]string{".last.ckpt.partial-1", ".last.ckpt.partial-22"}, keep...) {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := train.RemovePartial(path); err != nil {
		t.Fatal(err)
	}
	if got := files(t, dir); strings.Join(got, " ") != strings.Join(keep, " ") {
		t.Errorf("got %v left, want %v", got, keep)
	}
	if err := train.RemovePartial(filepath.Join(dir, "none", "x")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want that the folder does not exist", err)
	}
}

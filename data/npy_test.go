package data

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/tensor"
)

func TestReadNPY_NumPy(t *testing.T) {
	arrays := pillow(t)
	types := map[string]tensor.DType{
		"f2": tensor.Float16, "f4": tensor.Float32, "f8": tensor.Float64,
		"i1": tensor.Int8, "i2": tensor.Int16, "i4": tensor.Int32, "i8": tensor.Int64,
		"u1": tensor.Uint8, "u2": tensor.Uint16, "u4": tensor.Uint32, "u8": tensor.Uint64, "b1": tensor.Bool,
	}
	for short, d := range types {
		for _, order := range []string{"c", "f"} {
			t.Run(short+"_"+order, func(t *testing.T) {
				a := arrays["order_"+order+"_"+short]
				if a.DType() != d || !a.Shape().Equal(tensor.Shape{2, 3, 4}) {
					t.Fatalf("got %v, want %v[2 3 4]", a, d)
				}
				got, err := a.Float64s()
				if err != nil {
					t.Fatal(err)
				}
				for i, v := range got {
					want := float64(i - 7)
					switch {
					case d == tensor.Bool:
						want = min(1, math.Abs(want))
					case d.IsUnsigned() && want < 0 && d != tensor.Uint64:
						want += math.Pow(2, float64(d.Bits()))
					case d == tensor.Uint64 && want < 0:
						continue // Ints wraps these back to negative numbers
					}
					if v != want {
						t.Fatalf("element %d: got %v, want %v", i, v, want)
					}
				}
			})
		}
	}
	if s := arrays["scalar"]; s.Rank() != 0 || s.F32()[0] != 1.5 {
		t.Errorf("scalar: got %v", s)
	}
	if e := arrays["empty"]; !e.Shape().Equal(tensor.Shape{0, 3}) {
		t.Errorf("empty: got %v", e)
	}
}

func TestNPY_RoundTrip(t *testing.T) {
	for _, want := range []*tensor.Tensor{
		tensor.From([]float32{1, 2, float32(math.NaN()), 4, 5, 6}, 2, 3),
		tensor.From([]float64{math.Pi}),
		tensor.From([]int64{-1, 1 << 62}, 2),
		tensor.From([]uint8{0, 255, 7}, 1, 1, 3, 1),
		tensor.From([]bool{true, false}, 2),
		tensor.Wrap(tensor.Float16, []uint16{0x3c00}, 1),
		tensor.New(tensor.Int32, 3, 0, 2),
		tensor.New(tensor.Uint16, 300, 301),
	} {
		t.Run(want.String(), func(t *testing.T) {
			var b bytes.Buffer
			if err := WriteNPY(&b, want); err != nil {
				t.Fatal(err)
			}
			if start := b.Len() - want.DType().Bytes(want.Len()); start%npyAlign != 0 {
				t.Errorf("data start at byte %d, want a multiple of %d", start, npyAlign)
			}
			got, err := ReadNPY(bytes.NewReader(b.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			if !got.Equal(want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
	if err := WriteNPY(io.Discard, tensor.New(tensor.BFloat16, 1)); err == nil {
		t.Error("bfloat16: got no error")
	}
}

// npy builds a file of the given version with any header text.
func npy(version byte, header string, data []byte) []byte {
	b := []byte(npyMagic + string([]byte{version, 0}))
	if version == 1 {
		b = binary.LittleEndian.AppendUint16(b, uint16(len(header)))
	} else {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(header)))
	}
	return append(append(b, header...), data...)
}

func TestReadNPY_Versions(t *testing.T) {
	for _, v := range []byte{1, 2, 3} {
		for _, header := range []string{
			"{'descr': '<i2', 'fortran_order': False, 'shape': (2,), }   \n",
			`{"shape":(2,),"descr":"<i2","fortran_order":False}`,
			"{'descr': '<i2', 'fortran_order': True, 'shape': (2L,)}\n",
		} {
			got, err := ReadNPY(bytes.NewReader(npy(v, header, []byte{1, 0, 2, 1})))
			if err != nil {
				t.Errorf("version %d %s: %v", v, header, err)
				continue
			}
			if want := tensor.From([]int16{1, 258}, 2); !got.Equal(want) {
				t.Errorf("version %d %s: got %v", v, header, got)
			}
		}
	}
}

func TestReadNPY_Bad(t *testing.T) {
	plain := func(descr, shape string) string {
		return fmt.Sprintf("{'descr': %s, 'fortran_order': False, 'shape': %s}", descr, shape)
	}
	for _, c := range []struct {
		name string
		file []byte
		want string // in the error
	}{
		{"empty", nil, "magic"},
		{"not npy", []byte("PK\x03\x04 and so on"), "magic"},
		{"version 9", npy(9, plain("'<f4'", "()"), nil), "version"},
		{"no data", npy(1, plain("'<f4'", "(2,)"), nil), "elements 0 to 1 of 2"},
		{"cut off", npy(1, plain("'<f4'", "(2,)"), []byte{1, 2, 3, 4, 5}), "elements 0 to 1 of 2"},
		{"huge shape", npy(1, plain("'<f8'", "(1000000000000,)"), make([]byte, 100)), "unexpected EOF"},
		{"overflow", npy(1, plain("'<f8'", "(4611686018427387904, 4611686018427387904)"), nil), "too many"},
		{"number too big", npy(1, plain("'<f8'", "(99999999999999999999,)"), nil), "whole number"},
		{"negative", npy(1, plain("'<f8'", "(-1,)"), nil), "whole number"},
		{"big-endian", npy(1, plain("'>f4'", "(1,)"), make([]byte, 4)), "astype"},
		{"object", npy(1, plain("'|O'", "(1,)"), make([]byte, 4)), "descr"},
		{"structured", npy(1, plain("[('a', '<f4')]", "(1,)"), make([]byte, 4)), "structured"},
		{"missing key", npy(1, "{'descr': '<f4', 'shape': ()}", make([]byte, 4)), "fortran_order"},
		{"unknown key", npy(1, "{'x': '<f4'}", nil), "unknown key"},
		{"open text", npy(1, "{'descr", nil), "without an end"},
		{"huge header", npy(2, strings.Repeat(" ", npyMaxHeader+1), nil), "header length"},
		{"header cut off", append(npy(2, "", nil)[:8], 0, 0, 8, 0), "npy header"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ReadNPY(bytes.NewReader(c.file))
			if err == nil {
				t.Fatalf("got %v, want an error", got)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %q, want one with %q", err, c.want)
			}
		})
	}
}

// A header that claims a terabyte must not allocate it.
func TestReadNPY_BoundedMemory(t *testing.T) {
	file := npy(1, "{'descr': '<f8', 'fortran_order': False, 'shape': (125000000000,)}", make([]byte, 1000))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := ReadNPY(bytes.NewReader(file))
	runtime.ReadMemStats(&after)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got error %v, want unexpected EOF", err)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
		t.Errorf("allocated %d bytes for a file of %d", grown, len(file))
	}
}

func TestNPZ_RoundTrip(t *testing.T) {
	want := []Array{
		{"b", tensor.From([]float32{1, 2}, 2)},
		{"a/nested", tensor.From([]int64{3}, 1, 1)},
	}
	var b bytes.Buffer
	if err := WriteNPZ(&b, want...); err != nil {
		t.Fatal(err)
	}
	got, err := ReadNPZ(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("got %d arrays, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i].Name != want[i].Name || !got[i].Tensor.Equal(want[i].Tensor) {
			t.Errorf("array %d: got %q %v, want %q %v", i, got[i].Name, got[i].Tensor, want[i].Name, want[i].Tensor)
		}
	}
	// Damaged files: errors, no panic.
	for cut := 0; cut < b.Len(); cut += 7 {
		if _, err := ReadNPZ(bytes.NewReader(b.Bytes()[:cut]), int64(cut)); err == nil {
			t.Errorf("cut to %d of %d bytes: got no error", cut, b.Len())
		}
	}
	for at := range b.Len() {
		broken := bytes.Clone(b.Bytes())
		broken[at] ^= 0x41
		ReadNPZ(bytes.NewReader(broken), int64(len(broken)))
	}
}

// A small archive of zeros must not fill the memory.
func TestReadNPZ_Bomb(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 64 MB")
	}
	var b bytes.Buffer
	if err := WriteNPZ(&b, Array{"x", tensor.New(tensor.Uint8, 64<<20)}); err != nil {
		t.Fatal(err)
	}
	_, err := ReadNPZ(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err == nil || !strings.Contains(err.Error(), "grows too much") {
		t.Errorf("%d bytes that grow to 64 MiB: got error %v", b.Len(), err)
	}
}

func FuzzReadNPY(f *testing.F) {
	f.Add(npy(1, "{'descr': '<i2', 'fortran_order': False, 'shape': (2,), }", []byte{1, 0, 2, 1}))
	f.Add(npy(2, "{'descr': '|b1', 'fortran_order': True, 'shape': (2, 1, 3)}", []byte{1, 0, 2, 1, 0, 0}))
	f.Add(npy(3, "{'descr': '<f8', 'fortran_order': True, 'shape': (0, 9999999)}", nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ReadNPY(bytes.NewReader(b))
		if err != nil {
			return
		}
		if got.DType().Bytes(got.Len()) > len(b) {
			t.Fatalf("got %v from %d bytes", got, len(b))
		}
		var w bytes.Buffer
		if err := WriteNPY(&w, got); err != nil {
			t.Fatal(err)
		}
		again, err := ReadNPY(&w)
		if err != nil {
			t.Fatal(err)
		}
		if !again.Equal(got) {
			t.Fatalf("wrote %v, read %v", got, again)
		}
	})
}

package testkit

import (
	"archive/zip"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
)

// Array is a NumPy array in C order; one of its slices is set, by its type.
type Array struct {
	Shape []int
	F32   []float32
	U8    []uint8
	I64   []int64
}

// NPZ reads the float32, uint8 and int64 arrays of an .npz file by name; arrays of
// other types are left out.
func NPZ(t testing.TB, path string) map[string]*Array {
	t.Helper()
	z, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	m := map[string]*Array{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			t.Fatal(err)
		}
		a, err := parseNPY(b)
		if err != nil {
			t.Fatalf("%s: %s: %v", path, f.Name, err)
		}
		if a != nil {
			m[strings.TrimSuffix(f.Name, ".npy")] = a
		}
	}
	return m
}

func parseNPY(b []byte) (*Array, error) {
	if len(b) < 10 || string(b[:6]) != "\x93NUMPY" {
		return nil, fmt.Errorf("not a npy file")
	}
	n := int(binary.LittleEndian.Uint16(b[8:]))
	head, rest := string(b[10:10+n]), b[10+n:]
	if strings.Contains(head, "'fortran_order': True") {
		return nil, fmt.Errorf("header %q", head)
	}
	a := &Array{}
	for s := range strings.SplitSeq(head[strings.Index(head, "(")+1:strings.Index(head, ")")], ",") {
		k := 0
		if _, err := fmt.Sscan(s, &k); err == nil {
			a.Shape = append(a.Shape, k)
		}
	}
	switch {
	case strings.Contains(head, "'<f4'"):
		for i := 0; i+4 <= len(rest); i += 4 {
			a.F32 = append(a.F32, math.Float32frombits(binary.LittleEndian.Uint32(rest[i:])))
		}
	case strings.Contains(head, "'|u1'"), strings.Contains(head, "'|b1'"):
		a.U8 = rest
	case strings.Contains(head, "'<i8'"):
		for i := 0; i+8 <= len(rest); i += 8 {
			a.I64 = append(a.I64, int64(binary.LittleEndian.Uint64(rest[i:])))
		}
	default:
		return nil, nil
	}
	return a, nil
}

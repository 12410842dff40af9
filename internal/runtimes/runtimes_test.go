package runtimes

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/tensor"
)

// fake is a backend that returns its inputs.
type fake struct {
	closed int
	err    error
}

func (f *fake) Run(in []*tensor.Tensor) ([]*tensor.Tensor, error) { return in, f.err }
func (f *fake) Layers() ([]Layer, error)                          { return nil, f.err }
func (f *fake) Close() error                                      { f.closed++; return nil }

func TestSession_Run(t *testing.T) {
	ports := []Port{
		{Name: "a", DType: tensor.Float32, Dims: []int{-1, 3}, Ranked: true},
		{Name: "b", DType: tensor.Int64},
	}
	b := &fake{}
	s := NewSession("fake", "1", ports, ports, b)
	a := tensor.From([]float32{1, 2, 3}, 1, 3)
	scalar := tensor.Scalar(int64(4))

	out, err := s.Run(map[string]*tensor.Tensor{"a": a, "b": scalar})
	if err != nil || out["a"] != a || out["b"] != scalar {
		t.Fatalf("got %v, %v, want the inputs in their places", out, err)
	}

	_, err = s.Run(map[string]*tensor.Tensor{"a": tensor.New(tensor.Float32, 2, 4), "c": a})
	for _, want := range []string{`input "a": got shape [2 4], want [-1 3]`, `input "b": got none`, `input "c": the model has only "a", "b"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to contain %s", err, want)
		}
	}
	_, err = s.Run(map[string]*tensor.Tensor{"a": tensor.New(tensor.Float64, 1, 3), "b": scalar})
	if err == nil || !strings.Contains(err.Error(), "got float64 elements, want float32") {
		t.Errorf("got %v, want a complaint about the type", err)
	}

	b.err = errors.New("reason of the library")
	if _, err := s.Run(map[string]*tensor.Tensor{"a": a, "b": scalar}); !errors.Is(err, b.err) {
		t.Errorf("got %v, want the library's error", err)
	}
	for range 2 {
		if err := s.Close(); err != nil || b.closed != 1 {
			t.Errorf("close: got %v, %d closes of the backend, want 1", err, b.closed)
		}
	}
	if _, err := s.Run(nil); err == nil {
		t.Error("run after close: got no error")
	}
}

func TestOptions_Validate(t *testing.T) {
	err := Options{Threads: -1, Shapes: map[string][]int{"x": {-1, 3}, "y": {2}}}.Validate()
	if err == nil || !strings.Contains(err.Error(), "threads") || !strings.Contains(err.Error(), `"x"`) || strings.Contains(err.Error(), `"y"`) {
		t.Errorf("got %v, want complaints about threads and x", err)
	}
	if err := (Options{}).Validate(); err != nil {
		t.Errorf("zero value: %v", err)
	}
}

func TestCopy(t *testing.T) {
	for _, c := range []struct {
		name string
		t    *tensor.Tensor
		want []byte // little-endian
	}{
		{"uint16", tensor.From([]uint16{0x0102, 0xfffe}, 2), []byte{2, 1, 0xfe, 0xff}},
		{"bool", tensor.From([]bool{true, false, true}, 3), []byte{1, 0, 1}},
		{"float32", tensor.Scalar(float32(1)), []byte{0, 0, 0x80, 0x3f}},
		{"int4 odd", tensor.Wrap(tensor.Int4, []int8{-8, 7, -1}, 3), []byte{0x78, 0x0f}},
		{"uint4", tensor.Wrap(tensor.Uint4, []uint8{15, 1}, 2), []byte{0x1f}},
		{"empty", tensor.New(tensor.Float32, 0, 3), []byte{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := make([]byte, len(c.want))
			if err := CopyTo(got, c.t); err != nil || !slices.Equal(got, c.want) {
				t.Fatalf("got % x, %v, want % x", got, err, c.want)
			}
			back := tensor.New(c.t.DType(), c.t.Shape()...)
			if err := CopyFrom(back, got); err != nil || !back.Equal(c.t) {
				t.Fatalf("got %v, %v, want %v", back, err, c.t)
			}
		})
	}
	if err := CopyTo(nil, tensor.From([]string{"a"}, 1)); err == nil {
		t.Error("strings: got no error")
	}
}

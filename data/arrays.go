package data

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-nncf/nncf/tensor"
)

// Field is one of the arrays that examples of a data set consist of, such as the
// token ids of a text: its name, element type, and shape for one example.
type Field struct {
	Name  string
	DType tensor.DType
	Shape tensor.Shape
}

// arraySet is a data set of examples that are arrays rather than images.
type arraySet struct {
	memory // labels and names
	fields []Field
	data   []*tensor.Tensor // by field, [N …]
}

// FromArrays returns the data set whose example i is entry i along the first axis
// of every array. Labels are integers [N] or [N, 1], or nil for none; classes
// names them, as in [FromTensors].
func FromArrays(arrays []Array, labels *tensor.Tensor, classes []string) (Dataset, error) {
	if len(arrays) == 0 {
		return nil, errors.New("got no arrays")
	}
	s := &arraySet{}
	var errs []error
	for _, a := range arrays {
		shape := a.Tensor.Shape()
		switch {
		case len(shape) == 0:
			errs = append(errs, fmt.Errorf("array %q: got a single number, want examples along the first axis", a.Name))
			continue
		case len(s.data) > 0 && shape[0] != s.n:
			errs = append(errs, fmt.Errorf("array %q: got %d examples, %q has %d", a.Name, shape[0], s.fields[0].Name, s.n))
			continue
		}
		s.n = shape[0]
		s.fields = append(s.fields, Field{a.Name, a.Tensor.DType(), shape[1:]})
		s.data = append(s.data, a.Tensor)
	}
	if labels != nil {
		if err := s.label(labels, classes); err != nil {
			errs = append(errs, fmt.Errorf("labels: %w", err))
		}
	}
	return s, errors.Join(errs...)
}

// Image returns an error: examples are arrays.
func (s *arraySet) Image(int, *Image) error {
	return fmt.Errorf("examples are arrays (%s), not images", s.list())
}

// list names the fields.
func (s *arraySet) list() string {
	var names []string
	for _, f := range s.fields {
		names = append(names, fmt.Sprintf("%s %v%v", f.Name, f.DType, f.Shape))
	}
	return strings.Join(names, ", ")
}

// arraysOf returns the set of arrays that ds is, or is a subset of, with the place
// of example i there; nil if examples are images.
func arraysOf(ds Dataset) (s *arraySet, place func(i int) int) {
	place = func(i int) int { return i }
	for {
		switch d := ds.(type) {
		case *arraySet:
			return d, place
		case *subset:
			outer := place
			ds, place = d.ds, func(i int) int { return d.indices[outer(i)] }
		default:
			return nil, nil
		}
	}
}

// Fields returns the arrays that examples of ds consist of, nil if they are images.
func Fields(ds Dataset) []Field {
	s, _ := arraysOf(ds)
	if s == nil {
		return nil
	}
	return slices.Clone(s.fields)
}

// Select returns ds with the wanted fields only, in their order and as their
// element types; shapes are not looked at. A single field may have any name. All
// that ds lacks is reported together.
func Select(ds Dataset, want []Field) (Dataset, error) {
	if d, ok := ds.(*subset); ok {
		inner, err := Select(d.ds, want)
		if err != nil {
			return nil, err
		}
		return &subset{inner, d.indices}, nil
	}
	s, ok := ds.(*arraySet)
	if !ok {
		return nil, fmt.Errorf("examples are images, want the arrays of %d inputs: an npz file with one for each", len(want))
	}
	picked := &arraySet{memory: s.memory}
	var errs []error
	for _, w := range want {
		i := slices.IndexFunc(s.fields, func(f Field) bool { return f.Name == w.Name })
		if i < 0 && len(want) == 1 && len(s.fields) == 1 {
			i = 0
		}
		if i < 0 {
			errs = append(errs, fmt.Errorf("no array %q: got %s", w.Name, s.list()))
			continue
		}
		t, err := convert(s.data[i], w.DType)
		if err != nil {
			errs = append(errs, fmt.Errorf("array %q: %w", s.fields[i].Name, err))
			continue
		}
		picked.fields = append(picked.fields, Field{w.Name, w.DType, s.fields[i].Shape})
		picked.data = append(picked.data, t)
	}
	return picked, errors.Join(errs...)
}

// inBatches reports whether batches have elements of type d.
func inBatches(d tensor.DType) bool {
	return d == tensor.Float32 || d == tensor.Int32 || d == tensor.Int64 || d == tensor.Bool
}

// convert returns t with elements of type d, t itself if it has them.
func convert(t *tensor.Tensor, d tensor.DType) (*tensor.Tensor, error) {
	switch {
	case t.DType() == d && inBatches(d):
		return t, nil
	case d == tensor.Float32:
		v, err := float32s(t)
		if err != nil {
			return nil, err
		}
		return tensor.From(v, t.Shape()...), nil
	case t.DType().IsInteger() && inBatches(d):
		v, err := t.Ints()
		if err != nil {
			return nil, err
		}
		out := tensor.New(d, t.Shape()...)
		for i, n := range v {
			switch d {
			case tensor.Int64:
				out.I64()[i] = int64(n)
			case tensor.Int32:
				if int(int32(n)) != n {
					return nil, fmt.Errorf("got %d, want int32", n)
				}
				tensor.Data[int32](out)[i] = int32(n)
			case tensor.Bool:
				tensor.Data[bool](out)[i] = n != 0
			}
		}
		return out, nil
	}
	return nil, fmt.Errorf("got %v, want %v", t.DType(), d)
}

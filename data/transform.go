package data

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
)

// Transform changes one image. It draws random numbers from s only, and so
// many that depend on its fields and the image's size only.
type Transform interface {
	// Validate reports all invalid fields.
	Validate() error
	// Apply changes m in place. Errors say what is wrong with the image.
	Apply(m *Image, s *Scratch) error
}

// Scratch is what transforms need besides the image: random numbers and
// memory. One goroutine uses it at a time; it must not be copied.
type Scratch struct {
	Rand  *rand.Rand
	spare Image // the next image, swapped with the current one
	x, y  filterTable
	order [4]int
	pcg   rand.PCG
}

// NewScratch returns a Scratch with the given seed.
func NewScratch(seed uint64) *Scratch {
	s := &Scratch{}
	s.pcg.Seed(mix(seed), 0)
	s.Rand = rand.New(&s.pcg)
	return s
}

// next returns the image to write to, of the given size and m's element type;
// swap then makes it the current one.
func (s *Scratch) next(m *Image, h, w, c int) *Image {
	if m.IsFloat() {
		s.spare.SetFloats(h, w, c)
	} else {
		s.spare.SetBytes(h, w, c)
	}
	return &s.spare
}

func (s *Scratch) swap(m *Image) { *m, s.spare = s.spare, *m }

// Transforms are applied in order. In JSON they are a list of objects with one
// key each, the name of the transform:
//
//	[{"random_crop": {"height": 32, "padding": 4}}, {"horizontal_flip": {}}]
//
// The names are those of [TransformNames].
type Transforms []Transform

var transformKinds = []struct {
	name string
	zero Transform
}{
	{"resize", Resize{}},
	{"centre_crop", CentreCrop{}},
	{"random_crop", RandomCrop{}},
	{"random_resized_crop", RandomResizedCrop{}},
	{"horizontal_flip", HorizontalFlip{}},
	{"color_jitter", ColorJitter{}},
	{"channels", Channels{}},
}

// TransformNames lists the transforms that JSON can name.
func TransformNames() []string {
	names := make([]string, len(transformKinds))
	for i, k := range transformKinds {
		names[i] = k.name
	}
	return names
}

// Validate reports the invalid fields of all transforms.
func (t Transforms) Validate() error {
	var errs []error
	for i, x := range t {
		if err := x.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("transform %d (%s): %w", i+1, transformName(x), err))
		}
	}
	return errors.Join(errs...)
}

// Apply applies all transforms to m.
func (t Transforms) Apply(m *Image, s *Scratch) error {
	if len(t) > 0 && m.Vector {
		return errors.New("got a vector of features, want an image: use no transforms")
	}
	for i, x := range t {
		if err := x.Apply(m, s); err != nil {
			return fmt.Errorf("transform %d (%s): %w", i+1, transformName(x), err)
		}
	}
	return nil
}

func transformName(t Transform) string {
	for _, k := range transformKinds {
		if reflect.TypeOf(k.zero) == reflect.TypeOf(t) {
			return k.name
		}
	}
	return fmt.Sprintf("%T", t)
}

// MarshalJSON writes the list; a transform from outside this package is an error.
func (t Transforms) MarshalJSON() ([]byte, error) {
	list := make([]map[string]Transform, len(t))
	for i, x := range t {
		name := transformName(x)
		if !slices.Contains(TransformNames(), name) {
			return nil, fmt.Errorf("transform %d: %s has no name in JSON", i+1, name)
		}
		list[i] = map[string]Transform{name: x}
	}
	return json.Marshal(list)
}

// UnmarshalJSON reads the list and reports all unknown names and fields.
func (t *Transforms) UnmarshalJSON(b []byte) error {
	var list []map[string]json.RawMessage
	if err := json.Unmarshal(b, &list); err != nil {
		return fmt.Errorf("transforms: %w; want a list of objects with one key", err)
	}
	*t = make(Transforms, 0, len(list))
	var errs []error
	for i, entry := range list {
		if len(entry) != 1 {
			errs = append(errs, fmt.Errorf("transform %d: got %d keys, want one", i+1, len(entry)))
			continue
		}
		for name, fields := range entry {
			x, err := decodeTransform(name, fields)
			if err != nil {
				errs = append(errs, fmt.Errorf("transform %d: %w", i+1, err))
				continue
			}
			*t = append(*t, x)
		}
	}
	return errors.Join(errs...)
}

func decodeTransform(name string, fields []byte) (Transform, error) {
	for _, k := range transformKinds {
		if k.name != name {
			continue
		}
		p := reflect.New(reflect.TypeOf(k.zero))
		d := json.NewDecoder(bytes.NewReader(fields))
		d.DisallowUnknownFields()
		if err := d.Decode(p.Interface()); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return p.Elem().Interface().(Transform), nil
	}
	return nil, fmt.Errorf("got %q, want one of %s", name, strings.Join(TransformNames(), ", "))
}

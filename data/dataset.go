package data

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/go-nncf/nncf/tensor"
)

// Dataset is a fixed list of images with labels. Its methods may be called
// from several goroutines at the same time and panic on an index outside
// 0..Len()-1.
type Dataset interface {
	// Len returns the number of examples.
	Len() int
	// Classes returns the class names by label, empty without labels. The
	// caller must not change them.
	Classes() []string
	// Label returns the class of example i, or -1 without labels.
	Label(i int) int
	// Image writes example i to dst, re-using its memory. The pixels belong to
	// dst: changing them does not change the data set.
	Image(i int, dst *Image) error
}

// Named is implemented by data sets that can say where an example is from,
// such as a file or a record number.
type Named interface {
	Name(i int) string
}

// Name says where example i of ds is from.
func Name(ds Dataset, i int) string {
	if n, ok := ds.(Named); ok {
		return n.Name(i)
	}
	return "example " + strconv.Itoa(i)
}

// Image is one example: H rows of W pixels of C interleaved channels, as bytes
// in Pix or as real numbers in Values. Exactly one of the two has length
// H·W·C, the other is empty.
//
// A vector of features is an image with H = W = 1 and Vector set; its batches
// have the shape [N, C].
type Image struct {
	H, W, C int
	Pix     []uint8
	Values  []float32
	Vector  bool
}

// IsFloat reports whether the elements are in Values.
func (m *Image) IsFloat() bool { return len(m.Values) > 0 }

// SetBytes makes m a byte image of the given size and returns its elements,
// whose values are undefined.
func (m *Image) SetBytes(h, w, c int) []uint8 {
	m.H, m.W, m.C, m.Vector = h, w, c, false
	m.Pix = sized(m.Pix, h*w*c)
	m.Values = m.Values[:0]
	return m.Pix
}

// SetFloats makes m a real-valued image of the given size and returns its
// elements, whose values are undefined.
func (m *Image) SetFloats(h, w, c int) []float32 {
	m.H, m.W, m.C, m.Vector = h, w, c, false
	m.Values = sized(m.Values, h*w*c)
	m.Pix = m.Pix[:0]
	return m.Values
}

func (m *Image) dims() string { return fmt.Sprintf("%d×%d×%d", m.H, m.W, m.C) }

// sized returns a slice of n elements, s itself if it is large enough.
func sized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// Layout is the order of the axes of an array of images.
type Layout string

// The layouts. Auto takes the axis that has 1, 3 or 4 entries as channels,
// and where that does not decide, NHWC for bytes and NCHW for real numbers.
const (
	Auto Layout = ""
	NCHW Layout = "NCHW"
	NHWC Layout = "NHWC"
)

// Validate reports an unknown layout.
func (l Layout) Validate() error {
	switch l {
	case Auto, NCHW, NHWC:
		return nil
	}
	return fmt.Errorf("layout: got %q, want NCHW, NHWC or nothing", string(l))
}

// FromTensors returns the data set of the given images, [N, C, H, W] or
// [N, H, W, C] by the layout, [N, H, W] for one channel, [N, F] for vectors,
// of any number type. Labels are integers [N] or [N, 1], or nil for none;
// classes names them, and nil stands for "0", "1", … up to the largest label.
//
// Uint8 images stay bytes; others become float32. The data set may share the
// memory of images.
func FromTensors(images, labels *tensor.Tensor, layout Layout, classes []string) (Dataset, error) {
	if err := layout.Validate(); err != nil {
		return nil, err
	}
	m := &memory{}
	s := images.Shape()
	planar := false
	switch len(s) {
	case 2:
		m.n, m.h, m.w, m.c, m.vector = s[0], 1, 1, s[1], true
	case 3:
		m.n, m.h, m.w, m.c = s[0], s[1], s[2], 1
	case 4:
		planar = isPlanar(s, layout, images.DType())
		m.n, m.h, m.w, m.c = s[0], s[1], s[2], s[3]
		if planar {
			m.n, m.c, m.h, m.w = s[0], s[1], s[2], s[3]
		}
	default:
		return nil, fmt.Errorf("images: got shape %v, want [N C H W], [N H W C], [N H W] or [N F]", s)
	}
	if m.h*m.w*m.c == 0 {
		return nil, fmt.Errorf("images: got shape %v, want no empty axis", s)
	}
	if images.DType() == tensor.Uint8 {
		m.pix = interleave(tensor.Data[uint8](images), m, planar)
	} else {
		v, err := float32s(images)
		if err != nil {
			return nil, fmt.Errorf("images: %w", err)
		}
		m.values = interleave(v, m, planar)
	}
	if labels == nil {
		return m, nil
	}
	if err := m.label(labels, classes); err != nil {
		return nil, fmt.Errorf("labels: %w", err)
	}
	return m, nil
}

// label sets the labels from integers [N] or [N, 1].
func (m *memory) label(labels *tensor.Tensor, classes []string) error {
	s := labels.Shape()
	if labels.Len() != m.n || len(s) == 0 || s[0] != m.n {
		return fmt.Errorf("got shape %v for %d examples, want [%d]", s, m.n, m.n)
	}
	ints, err := labelInts(labels)
	if err != nil {
		return err
	}
	return m.setLabels(ints, classes)
}

func isPlanar(s tensor.Shape, layout Layout, d tensor.DType) bool {
	if layout != Auto {
		return layout == NCHW
	}
	channels := func(n int) bool { return n == 1 || n == 3 || n == 4 }
	if first, last := channels(s[1]), channels(s[3]); first != last {
		return first
	}
	return d != tensor.Uint8
}

// interleave returns src as N × H × W × C.
func interleave[T uint8 | float32](src []T, m *memory, planar bool) []T {
	if !planar || m.c == 1 {
		return src
	}
	dst := make([]T, len(src))
	hw := m.h * m.w
	for o := 0; o < len(src); o += hw * m.c {
		for c := range m.c {
			plane := src[o+c*hw:][:hw]
			for i, v := range plane {
				dst[o+i*m.c+c] = v
			}
		}
	}
	return dst
}

func float32s(t *tensor.Tensor) ([]float32, error) {
	if t.DType() == tensor.Float32 {
		return t.F32(), nil
	}
	f, err := t.Float64s()
	if err != nil {
		return nil, err
	}
	out := make([]float32, len(f))
	for i, v := range f {
		out[i] = float32(v)
	}
	return out, nil
}

func labelInts(t *tensor.Tensor) ([]int, error) {
	if !t.DType().IsFloat() {
		return t.Ints()
	}
	f, err := t.Float64s()
	if err != nil {
		return nil, err
	}
	out := make([]int, len(f))
	for i, v := range f {
		if v != float64(int(v)) {
			return nil, fmt.Errorf("got %v for example %d, want a whole number", v, i)
		}
		out[i] = int(v)
	}
	return out, nil
}

// memory is a data set held in memory.
type memory struct {
	n, h, w, c int
	vector     bool
	pix        []uint8   // n × h × w × c, or
	values     []float32 // the same
	labels     []int32   // n, or empty
	classes    []string
	name       func(i int) string // nil: by number
}

// maxClasses bounds the names made up for labels that come without names.
const maxClasses = 1 << 16

// setLabels checks labels against classes; nil classes are numbered.
func (m *memory) setLabels(labels []int, classes []string) error {
	if classes == nil {
		top := -1
		for _, l := range labels {
			top = max(top, l)
		}
		if top >= maxClasses {
			return fmt.Errorf("got class %d, want below %d", top, maxClasses)
		}
		classes = numbered(top + 1)
	}
	m.classes = classes
	m.labels = make([]int32, len(labels))
	for i, l := range labels {
		if l < 0 || l >= len(classes) {
			return fmt.Errorf("got class %d for example %d, want 0 to %d", l, i, len(classes)-1)
		}
		m.labels[i] = int32(l)
	}
	return nil
}

func numbered(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = strconv.Itoa(i)
	}
	return names
}

func (m *memory) Len() int          { return m.n }
func (m *memory) Classes() []string { return m.classes }

func (m *memory) Label(i int) int {
	if len(m.labels) == 0 {
		return -1
	}
	return int(m.labels[i])
}

func (m *memory) Name(i int) string {
	if m.name == nil {
		return "example " + strconv.Itoa(i)
	}
	return m.name(i)
}

func (m *memory) Image(i int, dst *Image) error {
	n := m.h * m.w * m.c
	if len(m.values) > 0 {
		copy(dst.SetFloats(m.h, m.w, m.c), m.values[i*n:][:n])
	} else {
		copy(dst.SetBytes(m.h, m.w, m.c), m.pix[i*n:][:n])
	}
	dst.Vector = m.vector
	return nil
}

// classList keeps the first n of names, or numbers them if there are fewer.
func classList(names []string, n int) []string {
	if len(names) < n {
		return numbered(n)
	}
	return slices.Clone(names[:n])
}

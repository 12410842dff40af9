package op

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Attr is one ONNX attribute. Value is int64, float32, string, []int64,
// []float32, []string or *tensor.Tensor.
type Attr struct {
	Name  string
	Value any
}

// Decoder is a file's node on its way to an operator: typed access to the
// attributes, and the inputs, which a decoder may extend with constants.
// Problems are collected; Finish reports them together with attributes that
// nobody asked for.
type Decoder struct {
	OpType string
	Opset  int // of the node's domain
	In     []*ir.Value
	NumOut int

	// NewConst adds a constant to the graph; decoders use Const and ConstInts.
	NewConst func(name string, t *tensor.Tensor) *ir.Value

	attrs []Attr
	used  []bool
	errs  []error
}

// NewDecoder returns a decoder over the given attributes.
func NewDecoder(opType string, opset int, attrs []Attr) *Decoder {
	return &Decoder{OpType: opType, Opset: opset, attrs: attrs, used: make([]bool, len(attrs))}
}

// Errorf records a problem.
func (d *Decoder) Errorf(format string, args ...any) {
	d.errs = append(d.errs, fmt.Errorf(format, args...))
}

// Finish returns all problems, unknown attributes included.
func (d *Decoder) Finish() error {
	errs := d.errs
	for i, a := range d.attrs {
		if !d.used[i] {
			errs = append(errs, fmt.Errorf("attribute %q is not known at opset %d", a.Name, d.Opset))
		}
	}
	return errors.Join(errs...)
}

// Has reports whether the attribute is present.
func (d *Decoder) Has(name string) bool {
	return slices.ContainsFunc(d.attrs, func(a Attr) bool { return a.Name == name })
}

// Ignore marks attributes as known and without effect.
func (d *Decoder) Ignore(names ...string) {
	for i, a := range d.attrs {
		if slices.Contains(names, a.Name) {
			d.used[i] = true
		}
	}
}

func attrAs[T any](d *Decoder, name string, def T) T {
	for i, a := range d.attrs {
		if a.Name != name {
			continue
		}
		d.used[i] = true
		v, ok := a.Value.(T)
		if !ok {
			d.Errorf("attribute %q: got %T, want %T", name, a.Value, def)
			return def
		}
		return v
	}
	return def
}

// Int returns an integer attribute or its default.
func (d *Decoder) Int(name string, def int) int {
	v := attrAs(d, name, int64(def))
	if v > math.MaxInt32 || v < math.MinInt32 {
		if v != int64(def) && name != "end" && name != "starts" && name != "ends" {
			d.Errorf("attribute %q: %d is out of range", name, v)
		}
	}
	return int(v)
}

// Bool returns an integer attribute as a flag.
func (d *Decoder) Bool(name string, def bool) bool {
	n := 0
	if def {
		n = 1
	}
	return d.Int(name, n) != 0
}

// Float returns a float attribute or its default.
func (d *Decoder) Float(name string, def float32) float32 { return attrAs(d, name, def) }

// Str returns a string attribute or its default.
func (d *Decoder) Str(name, def string) string { return attrAs(d, name, def) }

// Ints returns an integer list attribute, or nil.
func (d *Decoder) Ints(name string) []int {
	v := attrAs(d, name, []int64(nil))
	if v == nil {
		return nil
	}
	out := make([]int, len(v))
	for i, n := range v {
		out[i] = int(n)
	}
	return out
}

// Floats returns a float list attribute, or nil.
func (d *Decoder) Floats(name string) []float32 { return attrAs(d, name, []float32(nil)) }

// Strs returns a string list attribute, or nil.
func (d *Decoder) Strs(name string) []string { return attrAs(d, name, []string(nil)) }

// Tensor returns a tensor attribute, or nil.
func (d *Decoder) Tensor(name string) *tensor.Tensor { return attrAs(d, name, (*tensor.Tensor)(nil)) }

// Const adds a constant to the graph.
func (d *Decoder) Const(name string, t *tensor.Tensor) *ir.Value { return d.NewConst(name, t) }

// ConstInts adds an int64 constant of rank 1.
func (d *Decoder) ConstInts(name string, v []int) *ir.Value {
	data := make([]int64, len(v))
	for i, n := range v {
		data[i] = int64(n)
	}
	return d.Const(name, tensor.From(data, len(data)))
}

// SetIn makes v input i, extending the inputs with omitted ones as needed.
func (d *Decoder) SetIn(i int, v *ir.Value) {
	for len(d.In) <= i {
		d.In = append(d.In, nil)
	}
	d.In[i] = v
}

// IntsToInput moves an integer list attribute of an older opset to input i; an
// absent attribute leaves the input omitted.
func (d *Decoder) IntsToInput(name string, i int) {
	if v := d.Ints(name); v != nil {
		d.SetIn(i, d.ConstInts(name, v))
	}
}

// Input returns In[i], or nil if omitted.
func (d *Decoder) Input(i int) *ir.Value {
	if i < len(d.In) {
		return d.In[i]
	}
	return nil
}

// Encoder is an operator on its way to a file's node.
type Encoder struct {
	Node   *ir.Node
	Opset  int // the file's opset of the default domain
	OpType string
	Domain string
	In     []*ir.Value
	Attrs  []Attr

	errs []error
}

// Errorf records why the node cannot be written at this opset.
func (e *Encoder) Errorf(format string, args ...any) {
	e.errs = append(e.errs, fmt.Errorf(format, args...))
}

// Err returns all problems.
func (e *Encoder) Err() error { return errors.Join(e.errs...) }

// Set adds an attribute: int, bool, float32, string, []int, []float32,
// []string or *tensor.Tensor. A nil list adds nothing.
func (e *Encoder) Set(name string, value any) {
	switch v := value.(type) {
	case int:
		value = int64(v)
	case bool:
		n := int64(0)
		if v {
			n = 1
		}
		value = n
	case []int:
		if v == nil {
			return
		}
		l := make([]int64, len(v))
		for i, n := range v {
			l[i] = int64(n)
		}
		value = l
	case []float32:
		if v == nil {
			return
		}
	case []string:
		if v == nil {
			return
		}
	case float32, string, *tensor.Tensor:
	default:
		panic(fmt.Sprintf("op: attribute %q of type %T", name, value))
	}
	e.Attrs = append(e.Attrs, Attr{name, value})
}

// InputToInts moves constant integer input i to an attribute, for opsets that
// have it there. An omitted input writes nothing; one that is not constant is
// an error.
func (e *Encoder) InputToInts(i int, name string) {
	if i >= len(e.In) {
		return
	}
	v := e.In[i]
	e.In = slices.Clone(e.In[:i])
	for len(e.In) > 0 && e.In[len(e.In)-1] == nil {
		e.In = e.In[:len(e.In)-1]
	}
	if v == nil {
		return
	}
	ints, ok := v.ConstInts()
	if !ok {
		e.Errorf("input %q must be constant at opset %d", v.Name, e.Opset)
		return
	}
	e.Set(name, ints)
}

// MinOpset records an error unless the file's opset is at least n.
func (e *Encoder) MinOpset(n int) {
	if e.Opset < n {
		e.Errorf("needs opset %d, the file has %d", n, e.Opset)
	}
}

// since is the Encode of an operator without attributes that older opsets lack.
func since(n int) func(*Encoder) { return func(e *Encoder) { e.MinOpset(n) } }

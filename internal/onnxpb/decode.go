package onnxpb

import (
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// MaxDepth is how deep messages may nest in a file that is read.
const MaxDepth = 100

// Decoded structures may use budgetBase + budgetFactor·len(input) bytes. The
// smallest honest messages, attributes of about 12 bytes, need a factor near 25.
const (
	budgetBase   = 32 << 20
	budgetFactor = 32
)

// Error says where a file stops being a protobuf message of the expected kind.
type Error struct {
	Offset  int    // of the field, in bytes from the start of the input
	Message string // such as "GraphProto"
	Reason  string
}

func (e *Error) Error() string {
	return fmt.Sprintf("byte %d, in %s: %s", e.Offset, e.Message, e.Reason)
}

// Bytes of a string or slice in a slice that may be half empty after growth.
const (
	stringSize = 2 * 16
	sliceSize  = 2 * 24
	pointer    = 2 * 8
)

func sizeOf[T any]() int { return int(reflect.TypeFor[T]().Size()) }

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// DecodeModel reads a ModelProto. The result aliases data.
func DecodeModel(data []byte) (*Model, error) {
	m := new(Model)
	d := newDecoder(data)
	if err := d.model(m, 0, len(data)); err != nil {
		return nil, err
	}
	return m, nil
}

// DecodeTensor reads a TensorProto. The result aliases data.
func DecodeTensor(data []byte) (*Tensor, error) {
	t := new(Tensor)
	d := newDecoder(data)
	if err := d.tensor(t, 0, len(data)); err != nil {
		return nil, err
	}
	return t, nil
}

// decoder walks one input. Positions are absolute, so that errors carry offsets.
type decoder struct {
	data   []byte
	depth  int
	budget int
}

func newDecoder(data []byte) *decoder {
	return &decoder{data: data, budget: budgetBase + budgetFactor*len(data)}
}

// field is one tag and its value: data[start:end] is the value (for bytes,
// without the length), data[tag:end] the whole field.
type field struct {
	num        protowire.Number
	typ        protowire.Type
	tag        int
	start, end int
	varint     uint64 // of a varint field
}

// message calls f for each field of the message in data[pos:end].
func (d *decoder) message(name string, pos, end int, f func(field) error) error {
	if d.depth++; d.depth > MaxDepth {
		return &Error{pos, name, "more than " + itoa(MaxDepth) + " messages inside each other"}
	}
	defer func() { d.depth-- }()
	for pos < end {
		v := field{tag: pos}
		var n int
		if v.num, v.typ, n = protowire.ConsumeTag(d.data[pos:end]); n < 0 {
			return &Error{pos, name, "bad field tag: " + protowire.ParseError(n).Error()}
		}
		pos += n
		switch v.typ {
		case protowire.BytesType:
			size, n := protowire.ConsumeVarint(d.data[pos:end])
			if n < 0 {
				return &Error{v.tag, name, "bad length: " + protowire.ParseError(n).Error()}
			}
			pos += n
			if size > uint64(end-pos) {
				return &Error{v.tag, name, fmt.Sprintf("field %d has %d bytes, %d left", v.num, size, end-pos)}
			}
			v.start, v.end = pos, pos+int(size)
		default:
			n := protowire.ConsumeFieldValue(v.num, v.typ, d.data[pos:end])
			if n < 0 {
				return &Error{v.tag, name, fmt.Sprintf("field %d: %v", v.num, protowire.ParseError(n))}
			}
			v.start, v.end = pos, pos+n
			if v.typ == protowire.VarintType {
				v.varint, _ = protowire.ConsumeVarint(d.data[pos:end])
			}
		}
		pos = v.end
		if err := f(v); err != nil {
			if e, ok := err.(*Error); ok && e.Message == "" {
				e.Message = name
			}
			return err
		}
	}
	return nil
}

// charge accounts for size bytes of decoded structure.
func (d *decoder) charge(v field, size int) error {
	if d.budget -= size; d.budget < 0 {
		return &Error{v.tag, "", fmt.Sprintf("too many tiny messages: they need more than %d times the file's size in memory", budgetFactor)}
	}
	return nil
}

func (v field) wrong(want string) error {
	return &Error{v.tag, "", fmt.Sprintf("field %d has wire type %d, want %s", v.num, v.typ, want)}
}

func (d *decoder) raw(v field, p *[]byte) error {
	if v.typ != protowire.BytesType {
		return v.wrong("bytes")
	}
	*p = d.data[v.start:v.end:v.end]
	return nil
}

func (d *decoder) str(v field, p *string) error {
	if v.typ != protowire.BytesType {
		return v.wrong("bytes")
	}
	*p = string(d.data[v.start:v.end])
	return nil
}

func (d *decoder) strs(v field, p *[]string) error {
	var s string
	if err := d.str(v, &s); err != nil {
		return err
	}
	*p = append(*p, s)
	return d.charge(v, stringSize)
}

func (d *decoder) raws(v field, p *[][]byte) error {
	var b []byte
	if err := d.raw(v, &b); err != nil {
		return err
	}
	*p = append(*p, b)
	return d.charge(v, sliceSize)
}

func integer[T ~int32 | ~int64](v field, p *T) error {
	if v.typ != protowire.VarintType {
		return v.wrong("varint")
	}
	*p = T(v.varint)
	return nil
}

func (d *decoder) float(v field, p *float32) error {
	if v.typ != protowire.Fixed32Type {
		return v.wrong("fixed32")
	}
	*p = math.Float32frombits(binary.LittleEndian.Uint32(d.data[v.start:]))
	return nil
}

// varints reads one element or a packed run of a repeated integer field.
func varints[T int32 | int64 | uint64](d *decoder, v field, p *[]T) error {
	switch v.typ {
	case protowire.VarintType:
		*p = append(*p, T(v.varint))
		return nil
	case protowire.BytesType:
	default:
		return v.wrong("varint or packed")
	}
	n := 0
	for _, b := range d.data[v.start:v.end] {
		if b < 0x80 {
			n++
		}
	}
	*p = grow(*p, n)
	for pos := v.start; pos < v.end; {
		u, n := protowire.ConsumeVarint(d.data[pos:v.end])
		if n < 0 {
			return &Error{pos, "", fmt.Sprintf("field %d: %v", v.num, protowire.ParseError(n))}
		}
		*p = append(*p, T(u))
		pos += n
	}
	return nil
}

// fixed reads one element or a packed run of a repeated float or double field.
func fixed[T any](d *decoder, v field, single protowire.Type, size int, at func([]byte) T, p *[]T) error {
	if v.typ != protowire.BytesType && v.typ != single {
		return v.wrong("fixed or packed")
	}
	n := v.end - v.start
	if n%size != 0 {
		return &Error{v.tag, "", fmt.Sprintf("field %d has %d bytes, not a multiple of %d", v.num, n, size)}
	}
	*p = grow(*p, n/size)
	for pos := v.start; pos < v.end; pos += size {
		*p = append(*p, at(d.data[pos:]))
	}
	return nil
}

func floats(d *decoder, v field, p *[]float32) error {
	return fixed(d, v, protowire.Fixed32Type, 4, func(b []byte) float32 {
		return math.Float32frombits(binary.LittleEndian.Uint32(b))
	}, p)
}

func doubles(d *decoder, v field, p *[]float64) error {
	return fixed(d, v, protowire.Fixed64Type, 8, func(b []byte) float64 {
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	}, p)
}

// grow makes room for n more elements: exactly when the field comes packed in
// one piece, by doubling when it comes in many.
func grow[T any](s []T, n int) []T {
	if s == nil {
		return make([]T, 0, n)
	}
	if len(s)+n <= cap(s) {
		return s
	}
	return append(make([]T, 0, max(len(s)+n, 2*cap(s))), s...)
}

// sub decodes an embedded message into *p, which a second occurrence of a
// singular field extends, as protobuf requires.
func sub[T any](d *decoder, v field, p **T, f func(*T, int, int) error) error {
	if v.typ != protowire.BytesType {
		return v.wrong("message")
	}
	if *p == nil {
		*p = new(T)
		if err := d.charge(v, sizeOf[T]()); err != nil {
			return err
		}
	}
	return f(*p, v.start, v.end)
}

// subs decodes one more element of a repeated message field.
func subs[T any](d *decoder, v field, p *[]*T, f func(*T, int, int) error) error {
	var m *T
	if err := d.charge(v, pointer); err != nil {
		return err
	}
	if err := sub(d, v, &m, f); err != nil {
		return err
	}
	*p = append(*p, m)
	return nil
}

// values is subs for small messages kept by value.
func values[T any](d *decoder, v field, p *[]T, f func(*T, int, int) error) error {
	if v.typ != protowire.BytesType {
		return v.wrong("message")
	}
	var m T
	if err := d.charge(v, 2*sizeOf[T]()); err != nil {
		return err
	}
	if err := f(&m, v.start, v.end); err != nil {
		return err
	}
	*p = append(*p, m)
	return nil
}

// keep stores a field that the struct does not name.
func (d *decoder) keep(v field, p *[]byte) error {
	*p = append(*p, d.data[v.tag:v.end]...)
	return nil
}

package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/go-nncf/nncf/internal/onnxpb"
	"github.com/go-nncf/nncf/tensor"
)

// dtypes pairs the element types that tensors and files share.
var dtypes = [...]struct {
	file onnxpb.DataType
	mem  tensor.DType
}{
	{onnxpb.DataFloat, tensor.Float32},
	{onnxpb.DataDouble, tensor.Float64},
	{onnxpb.DataFloat16, tensor.Float16},
	{onnxpb.DataBFloat16, tensor.BFloat16},
	{onnxpb.DataInt4, tensor.Int4},
	{onnxpb.DataInt8, tensor.Int8},
	{onnxpb.DataInt16, tensor.Int16},
	{onnxpb.DataInt32, tensor.Int32},
	{onnxpb.DataInt64, tensor.Int64},
	{onnxpb.DataUint4, tensor.Uint4},
	{onnxpb.DataUint8, tensor.Uint8},
	{onnxpb.DataUint16, tensor.Uint16},
	{onnxpb.DataUint32, tensor.Uint32},
	{onnxpb.DataUint64, tensor.Uint64},
	{onnxpb.DataBool, tensor.Bool},
	{onnxpb.DataString, tensor.String},
}

func fromDataType(d onnxpb.DataType) (tensor.DType, error) {
	for _, p := range dtypes {
		if p.file == d {
			return p.mem, nil
		}
	}
	return tensor.Invalid, fmt.Errorf("element type %v is not supported", d)
}

func toDataType(d tensor.DType) onnxpb.DataType {
	for _, p := range dtypes {
		if p.mem == d {
			return p.file
		}
	}
	panic("onnx: no element type in files for " + d.String())
}

// ReadTensor decodes a TensorProto, the content of a .pb file. External data are
// refused.
func ReadTensor(data []byte) (name string, t *tensor.Tensor, err error) {
	p, err := onnxpb.DecodeTensor(data)
	if err != nil {
		return "", nil, err
	}
	if p.External {
		return "", nil, errors.New("got a tensor with external data, want one that holds its data")
	}
	if t, err = decodeTensor(p, p.RawData); err != nil {
		return "", nil, fmt.Errorf("tensor %s: %w", quote(p.Name), err)
	}
	return p.Name, t, nil
}

// WriteTensor writes t as a TensorProto.
func WriteTensor(w io.Writer, name string, t *tensor.Tensor) error {
	return encodeTensor(name, t).Encode(w)
}

// maxRank bounds the axes of a value. Nobody needs half as many, and type
// inference of a hostile file takes time in proportion.
const maxRank = 64

// tensorShape returns element type and shape of a file's tensor. It promises that
// the number of elements fits an int, but not that they are present.
func tensorShape(p *onnxpb.Tensor) (tensor.DType, tensor.Shape, error) {
	d, err := fromDataType(p.DataType)
	if err != nil {
		return d, nil, err
	}
	if len(p.Dims) > maxRank {
		return d, nil, fmt.Errorf("got %d axes, want at most %d", len(p.Dims), maxRank)
	}
	shape := make(tensor.Shape, len(p.Dims))
	for i, n := range p.Dims {
		if n < 0 || n > math.MaxInt {
			return d, nil, fmt.Errorf("axis %d has length %d", i, n)
		}
		shape[i] = int(n)
	}
	if err := shape.Check(); err != nil {
		return d, nil, err
	}
	return d, shape, nil
}

// decodeTensor converts a file's tensor. raw is its raw data wherever they are
// stored, nil if the elements are in the typed fields. Nothing is allocated
// before the number of elements present is known to be right.
func decodeTensor(p *onnxpb.Tensor, raw []byte) (*tensor.Tensor, error) {
	d, shape, err := tensorShape(p)
	if err != nil {
		return nil, err
	}
	n := shape.Numel()
	if n > math.MaxInt/64 {
		return nil, fmt.Errorf("shape %v has more elements than any file", shape)
	}
	if d == tensor.String {
		if raw != nil {
			return nil, errors.New("string elements in raw data")
		}
		return convert(d, shape, p.StringData, func(s []byte) string { return string(s) })
	}
	if raw != nil {
		if got, want := len(raw), d.Bytes(n); got != want {
			return nil, fmt.Errorf("got %d bytes of raw data for %v%v, want %d", got, d, shape, want)
		}
		t := tensor.New(d, shape...)
		decodeRaw(t, raw)
		return t, nil
	}
	switch d {
	case tensor.Float32:
		return convert(d, shape, p.FloatData, func(v float32) float32 { return v })
	case tensor.Float64:
		return convert(d, shape, p.DoubleData, func(v float64) float64 { return v })
	case tensor.Int64:
		return convert(d, shape, p.Int64Data, func(v int64) int64 { return v })
	case tensor.Uint64:
		return convert(d, shape, p.Uint64Data, func(v uint64) uint64 { return v })
	case tensor.Uint32:
		return convert(d, shape, p.Uint64Data, func(v uint64) uint32 { return uint32(v) })
	case tensor.Int32:
		return convert(d, shape, p.Int32Data, func(v int32) int32 { return v })
	case tensor.Int16:
		return convert(d, shape, p.Int32Data, func(v int32) int16 { return int16(v) })
	case tensor.Int8:
		return convert(d, shape, p.Int32Data, func(v int32) int8 { return int8(v) })
	case tensor.Uint16, tensor.Float16, tensor.BFloat16:
		return convert(d, shape, p.Int32Data, func(v int32) uint16 { return uint16(v) })
	case tensor.Uint8:
		return convert(d, shape, p.Int32Data, func(v int32) uint8 { return uint8(v) })
	case tensor.Bool:
		return convert(d, shape, p.Int32Data, func(v int32) bool { return v != 0 })
	case tensor.Int4, tensor.Uint4: // two elements in each int32, like a byte of raw data
		if got, want := len(p.Int32Data), d.Bytes(n); got != want {
			return nil, fmt.Errorf("got %d packed elements for %v%v, want %d", got, d, shape, want)
		}
		raw := make([]byte, len(p.Int32Data))
		for i, v := range p.Int32Data {
			raw[i] = byte(v)
		}
		t := tensor.New(d, shape...)
		decodeRaw(t, raw)
		return t, nil
	}
	panic("onnx: no typed field for " + d.String())
}

func convert[S any, T tensor.Element](d tensor.DType, shape tensor.Shape, src []S, f func(S) T) (*tensor.Tensor, error) {
	if len(src) != shape.Numel() {
		return nil, fmt.Errorf("got %d elements for %v%v, want %d", len(src), d, shape, shape.Numel())
	}
	t := tensor.New(d, shape...)
	dst := tensor.Data[T](t)
	for i, v := range src {
		dst[i] = f(v)
	}
	return t, nil
}

// decodeRaw fills t from little-endian bytes; the lengths fit.
func decodeRaw(t *tensor.Tensor, raw []byte) {
	le := binary.LittleEndian
	switch t.DType() {
	case tensor.Float32:
		d := tensor.Data[float32](t)
		for i := range d {
			d[i] = math.Float32frombits(le.Uint32(raw[4*i:]))
		}
	case tensor.Float64:
		d := tensor.Data[float64](t)
		for i := range d {
			d[i] = math.Float64frombits(le.Uint64(raw[8*i:]))
		}
	case tensor.Int64:
		d := tensor.Data[int64](t)
		for i := range d {
			d[i] = int64(le.Uint64(raw[8*i:]))
		}
	case tensor.Uint64:
		d := tensor.Data[uint64](t)
		for i := range d {
			d[i] = le.Uint64(raw[8*i:])
		}
	case tensor.Int32:
		d := tensor.Data[int32](t)
		for i := range d {
			d[i] = int32(le.Uint32(raw[4*i:]))
		}
	case tensor.Uint32:
		d := tensor.Data[uint32](t)
		for i := range d {
			d[i] = le.Uint32(raw[4*i:])
		}
	case tensor.Int16:
		d := tensor.Data[int16](t)
		for i := range d {
			d[i] = int16(le.Uint16(raw[2*i:]))
		}
	case tensor.Uint16, tensor.Float16, tensor.BFloat16:
		d := tensor.Data[uint16](t)
		for i := range d {
			d[i] = le.Uint16(raw[2*i:])
		}
	case tensor.Int8:
		d := tensor.Data[int8](t)
		for i := range d {
			d[i] = int8(raw[i])
		}
	case tensor.Uint8:
		copy(tensor.Data[uint8](t), raw)
	case tensor.Bool:
		d := tensor.Data[bool](t)
		for i := range d {
			d[i] = raw[i] != 0
		}
	case tensor.Int4: // the first element is in the low half of the byte
		d := tensor.Data[int8](t)
		for i := range d {
			d[i] = int8(raw[i/2]>>(i%2*4)<<4) >> 4
		}
	case tensor.Uint4:
		d := tensor.Data[uint8](t)
		for i := range d {
			d[i] = raw[i/2] >> (i % 2 * 4) & 15
		}
	default:
		panic("onnx: no raw form of " + t.DType().String())
	}
}

// encodeTensor describes t for writing, with its elements as raw data.
func encodeTensor(name string, t *tensor.Tensor) *onnxpb.Tensor {
	p := &onnxpb.Tensor{Name: name, DataType: toDataType(t.DType())}
	for _, n := range t.Shape() {
		p.Dims = append(p.Dims, int64(n))
	}
	if t.DType() == tensor.String {
		for _, s := range tensor.Data[string](t) {
			p.StringData = append(p.StringData, []byte(s))
		}
		return p
	}
	p.Payload = payload{t}
	return p
}

// payload writes a tensor's elements little-endian, a block at a time.
type payload struct{ t *tensor.Tensor }

func (p payload) Size() int { return p.t.DType().Bytes(p.t.Len()) }

const blockElements = 8192 // even, so that 4-bit blocks end on a byte

func (p payload) WriteTo(w io.Writer) (int64, error) {
	var done int64
	buf := make([]byte, 0, 8*min(blockElements, p.t.Len()))
	for lo := 0; lo < p.t.Len(); lo += blockElements {
		n, err := w.Write(appendRaw(buf, p.t, lo, min(lo+blockElements, p.t.Len())))
		done += int64(n)
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// appendRaw appends elements lo to hi of t as raw data.
func appendRaw(b []byte, t *tensor.Tensor, lo, hi int) []byte {
	le := binary.LittleEndian
	switch t.DType() {
	case tensor.Float32:
		for _, v := range tensor.Data[float32](t)[lo:hi] {
			b = le.AppendUint32(b, math.Float32bits(v))
		}
	case tensor.Float64:
		for _, v := range tensor.Data[float64](t)[lo:hi] {
			b = le.AppendUint64(b, math.Float64bits(v))
		}
	case tensor.Int64:
		for _, v := range tensor.Data[int64](t)[lo:hi] {
			b = le.AppendUint64(b, uint64(v))
		}
	case tensor.Uint64:
		for _, v := range tensor.Data[uint64](t)[lo:hi] {
			b = le.AppendUint64(b, v)
		}
	case tensor.Int32:
		for _, v := range tensor.Data[int32](t)[lo:hi] {
			b = le.AppendUint32(b, uint32(v))
		}
	case tensor.Uint32:
		for _, v := range tensor.Data[uint32](t)[lo:hi] {
			b = le.AppendUint32(b, v)
		}
	case tensor.Int16:
		for _, v := range tensor.Data[int16](t)[lo:hi] {
			b = le.AppendUint16(b, uint16(v))
		}
	case tensor.Uint16, tensor.Float16, tensor.BFloat16:
		for _, v := range tensor.Data[uint16](t)[lo:hi] {
			b = le.AppendUint16(b, v)
		}
	case tensor.Int8:
		for _, v := range tensor.Data[int8](t)[lo:hi] {
			b = append(b, byte(v))
		}
	case tensor.Uint8:
		b = append(b, tensor.Data[uint8](t)[lo:hi]...)
	case tensor.Bool:
		for _, v := range tensor.Data[bool](t)[lo:hi] {
			if v {
				b = append(b, 1)
			} else {
				b = append(b, 0)
			}
		}
	case tensor.Int4:
		b = appendNibbles(b, tensor.Data[int8](t)[lo:hi])
	case tensor.Uint4:
		b = appendNibbles(b, tensor.Data[uint8](t)[lo:hi])
	default:
		panic("onnx: no raw form of " + t.DType().String())
	}
	return b
}

func appendNibbles[T int8 | uint8](b []byte, d []T) []byte {
	for i := 0; i < len(d); i += 2 {
		v := byte(d[i]) & 15
		if i+1 < len(d) {
			v |= byte(d[i+1]) << 4
		}
		b = append(b, v)
	}
	return b
}

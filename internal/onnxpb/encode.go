package onnxpb

import (
	"bufio"
	"fmt"
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// MaxSize is the largest message that protobuf readers accept, in bytes.
const MaxSize = math.MaxInt32

// Size returns the number of bytes that Encode writes.
func (m *Model) Size() int { return size(func(e *encoder) { e.model(m) }) }

// Encode writes the model. It errors without writing if the model is larger
// than [MaxSize]: move weights to an external file then.
func (m *Model) Encode(w io.Writer) error { return encode(w, func(e *encoder) { e.model(m) }) }

// Size returns the number of bytes that Encode writes.
func (t *Tensor) Size() int { return size(func(e *encoder) { e.tensor(t) }) }

// Encode writes the tensor, with the same limit as [Model.Encode].
func (t *Tensor) Encode(w io.Writer) error { return encode(w, func(e *encoder) { e.tensor(t) }) }

func size(f func(*encoder)) int {
	e := &encoder{counting: true}
	f(e)
	return e.n
}

func encode(w io.Writer, f func(*encoder)) error {
	e := &encoder{counting: true}
	f(e)
	if e.n > MaxSize {
		return fmt.Errorf("message of %d bytes, protobuf allows %d: store the weights in an external file", e.n, MaxSize)
	}
	want := e.n
	e.counting, e.n, e.w = false, 0, bufio.NewWriterSize(w, 1<<16)
	f(e)
	if e.err == nil {
		e.err = e.w.Flush()
	}
	if e.err == nil && e.n != want {
		panic(fmt.Sprintf("onnxpb: wrote %d bytes after counting %d", e.n, want))
	}
	return e.err
}

// encoder runs the same description of a message twice: counting, it records
// the size of each embedded message in the order they begin; then it writes and
// takes the sizes from there.
type encoder struct {
	counting bool
	n        int // bytes so far; while counting, of the innermost message
	sizes    []int
	next     int

	w   *bufio.Writer
	err error
	buf []byte // scratch for tags and numbers
}

func (e *encoder) put(b []byte) {
	e.n += len(b)
	if e.err == nil {
		_, e.err = e.w.Write(b)
	}
}

func (e *encoder) tag(num protowire.Number, typ protowire.Type) {
	if e.counting {
		e.n += protowire.SizeTag(num)
		return
	}
	e.buf = protowire.AppendTag(e.buf[:0], num, typ)
	e.put(e.buf)
}

func (e *encoder) uvarint(u uint64) {
	if e.counting {
		e.n += protowire.SizeVarint(u)
		return
	}
	e.buf = protowire.AppendVarint(e.buf[:0], u)
	e.put(e.buf)
}

// varint writes an integer field, present even when zero.
func (e *encoder) varint(num protowire.Number, v int64) {
	e.tag(num, protowire.VarintType)
	e.uvarint(uint64(v))
}

// int writes an integer field unless it is zero.
func (e *encoder) int(num protowire.Number, v int64) {
	if v != 0 {
		e.varint(num, v)
	}
}

func (e *encoder) fixed32(v uint32) {
	if e.counting {
		e.n += 4
		return
	}
	e.buf = protowire.AppendFixed32(e.buf[:0], v)
	e.put(e.buf)
}

func (e *encoder) fixed64(v uint64) {
	if e.counting {
		e.n += 8
		return
	}
	e.buf = protowire.AppendFixed64(e.buf[:0], v)
	e.put(e.buf)
}

// string writes a string, present even when empty.
func (e *encoder) string(num protowire.Number, s string) {
	e.tag(num, protowire.BytesType)
	e.uvarint(uint64(len(s)))
	if e.counting {
		e.n += len(s)
		return
	}
	e.n += len(s)
	if e.err == nil {
		_, e.err = e.w.WriteString(s)
	}
}

// str writes a string field unless it is empty.
func (e *encoder) str(num protowire.Number, s string) {
	if s != "" {
		e.string(num, s)
	}
}

func (e *encoder) strs(num protowire.Number, ss []string) {
	for _, s := range ss {
		e.string(num, s)
	}
}

func (e *encoder) bytes(num protowire.Number, b []byte) {
	e.tag(num, protowire.BytesType)
	e.uvarint(uint64(len(b)))
	if e.counting {
		e.n += len(b)
		return
	}
	e.put(b)
}

func (e *encoder) payload(num protowire.Number, p Payload) {
	size := p.Size()
	e.tag(num, protowire.BytesType)
	e.uvarint(uint64(size))
	e.n += size
	if e.counting || e.err != nil {
		return
	}
	n, err := p.WriteTo(e.w)
	if err == nil && n != int64(size) {
		panic(fmt.Sprintf("onnxpb: payload wrote %d bytes, announced %d", n, size))
	}
	e.err = err
}

// message writes an embedded message whose fields f writes.
func (e *encoder) message(num protowire.Number, f func()) {
	if e.counting {
		i, outer := len(e.sizes), e.n
		e.sizes = append(e.sizes, 0)
		e.n = 0
		f()
		e.sizes[i] = e.n
		e.n += outer + protowire.SizeTag(num) + protowire.SizeVarint(uint64(e.n))
		return
	}
	size := e.sizes[e.next]
	e.next++
	e.tag(num, protowire.BytesType)
	e.uvarint(uint64(size))
	f()
}

// packed writes a packed repeated field whose elements f writes.
func (e *encoder) packed(num protowire.Number, n int, f func()) {
	if n > 0 {
		e.message(num, f)
	}
}

func (e *encoder) unknown(b []byte) {
	if e.counting {
		e.n += len(b)
		return
	}
	e.put(b)
}

func messages[T any](e *encoder, num protowire.Number, s []*T, f func(*T)) {
	for _, m := range s {
		e.message(num, func() { f(m) })
	}
}

func entries(e *encoder, num protowire.Number, s []Entry) {
	for _, m := range s {
		e.message(num, func() {
			e.str(1, m.Key)
			e.str(2, m.Value)
		})
	}
}

package data

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/go-nncf/nncf/tensor"
)

// The NumPy array format, versions 1 to 3: the magic string, two version
// bytes, the length of the header (2 bytes in version 1, 4 in the others), the
// header as a Python dictionary with descr, fortran_order and shape, then the
// elements. https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
const (
	npyMagic     = "\x93NUMPY"
	npyMaxHeader = 1 << 20
	npyAlign     = 64
)

// npyTypes pairs the type strings with element types. Big-endian, complex,
// text and structured arrays are not read.
var npyTypes = []struct {
	descr string
	d     tensor.DType
}{
	{"<f4", tensor.Float32}, {"<f8", tensor.Float64}, {"<f2", tensor.Float16},
	{"|u1", tensor.Uint8}, {"<u2", tensor.Uint16}, {"<u4", tensor.Uint32}, {"<u8", tensor.Uint64},
	{"|i1", tensor.Int8}, {"<i2", tensor.Int16}, {"<i4", tensor.Int32}, {"<i8", tensor.Int64},
	{"|b1", tensor.Bool},
	{"|i1", tensor.Int4}, {"|u1", tensor.Uint4}, // written only: reading finds the 8-bit types first
}

// ReadNPY reads one NumPy array, whatever follows it in r. A Fortran-ordered
// array is put in row-major order. Memory grows with the bytes that come, not
// with what the header claims.
func ReadNPY(r io.Reader) (*tensor.Tensor, error) {
	var head [len(npyMagic) + 2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, fmt.Errorf("npy magic string: %w", noEOF(err))
	}
	if string(head[:len(npyMagic)]) != npyMagic {
		return nil, fmt.Errorf("npy magic string: got %q, want %q", head[:len(npyMagic)], npyMagic)
	}
	size, width := 0, 0
	switch v := head[len(npyMagic)]; v {
	case 1:
		width = 2
	case 2, 3:
		width = 4
	default:
		return nil, fmt.Errorf("npy version: got %d, want 1, 2 or 3", v)
	}
	var length [4]byte
	if _, err := io.ReadFull(r, length[:width]); err != nil {
		return nil, fmt.Errorf("npy header length: %w", noEOF(err))
	}
	size = int(binary.LittleEndian.Uint32(length[:]))
	if size > npyMaxHeader {
		return nil, fmt.Errorf("npy header length: got %d bytes, want at most %d", size, npyMaxHeader)
	}
	text, err := readElements[byte](r, binary.LittleEndian, size, 1)
	if err != nil {
		return nil, fmt.Errorf("npy header: %w", err)
	}
	h, err := parseNPYHeader(string(text))
	if err != nil {
		return nil, fmt.Errorf("npy header %q: %w", clip(string(text), 100), err)
	}
	t, err := readNPYElements(r, h)
	if err != nil {
		return nil, fmt.Errorf("npy data, %s %v: %w", h.descr, h.shape, err)
	}
	return t, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}

func readNPYElements(r io.Reader, h npyHeader) (*tensor.Tensor, error) {
	switch h.dtype {
	case tensor.Float32:
		return readNPYAs[float32](r, h)
	case tensor.Float64:
		return readNPYAs[float64](r, h)
	case tensor.Float16, tensor.Uint16:
		return readNPYAs[uint16](r, h)
	case tensor.Uint8:
		return readNPYAs[uint8](r, h)
	case tensor.Uint32:
		return readNPYAs[uint32](r, h)
	case tensor.Uint64:
		return readNPYAs[uint64](r, h)
	case tensor.Int8:
		return readNPYAs[int8](r, h)
	case tensor.Int16:
		return readNPYAs[int16](r, h)
	case tensor.Int32:
		return readNPYAs[int32](r, h)
	case tensor.Int64:
		return readNPYAs[int64](r, h)
	case tensor.Bool:
		return readNPYAs[bool](r, h)
	}
	panic(fmt.Sprintf("data: npy element type %v", h.dtype))
}

func readNPYAs[T tensor.Element](r io.Reader, h npyHeader) (*tensor.Tensor, error) {
	e, err := readElements[T](r, binary.LittleEndian, h.shape.Numel(), h.dtype.Bytes(1))
	if err != nil {
		return nil, err
	}
	if h.fortran && len(h.shape) > 1 {
		e = rowMajor(e, h.shape)
	}
	return tensor.Wrap(h.dtype, e, h.shape...), nil
}

// rowMajor reorders elements whose first axis is contiguous.
func rowMajor[T any](src []T, shape tensor.Shape) []T {
	dst := make([]T, len(src))
	at := make([]int, len(shape)) // coordinates of dst[i]
	for i, from := 0, 0; i < len(dst); i++ {
		dst[i] = src[from]
		stride := len(src)
		for a := len(shape) - 1; a >= 0; a-- {
			stride /= shape[a]
			at[a]++
			from += stride
			if at[a] < shape[a] {
				break
			}
			from -= at[a] * stride
			at[a] = 0
		}
	}
	return dst
}

type npyHeader struct {
	descr   string
	dtype   tensor.DType
	fortran bool
	shape   tensor.Shape
}

// parseNPYHeader reads the dictionary, of which the format allows exactly
// three entries: a string, True or False, and a tuple of whole numbers.
func parseNPYHeader(s string) (h npyHeader, err error) {
	p := &npyParser{rest: s}
	var descr, order, shape bool
	if err := p.expect("{"); err != nil {
		return h, err
	}
	for !p.accept("}") {
		key, err := p.text()
		if err != nil {
			return h, err
		}
		if err := p.expect(":"); err != nil {
			return h, err
		}
		switch key {
		case "descr":
			if h.descr, err = p.text(); err != nil {
				return h, fmt.Errorf("descr: %w; structured arrays are not read: save one plain array", err)
			}
			descr = true
		case "fortran_order":
			h.fortran = p.accept("True")
			if !h.fortran && !p.accept("False") {
				return h, fmt.Errorf("fortran_order: got %q, want True or False", clip(p.rest, 20))
			}
			order = true
		case "shape":
			if h.shape, err = p.tuple(); err != nil {
				return h, fmt.Errorf("shape: %w", err)
			}
			shape = true
		default:
			return h, fmt.Errorf("unknown key %q", key)
		}
		if !p.accept(",") {
			if err := p.expect("}"); err != nil {
				return h, err
			}
			break
		}
	}
	if !descr || !order || !shape {
		return h, errors.New("want the keys descr, fortran_order and shape")
	}
	if err := h.shape.Check(); err != nil {
		return h, err
	}
	want := h.descr
	if len(want) == 3 && (want[0] == '<' || want[0] == '=') && want[2] == '1' {
		want = "|" + want[1:] // the byte order of one byte is free
	}
	for _, t := range npyTypes {
		if t.descr == want {
			h.dtype = t.d
			return h, nil
		}
	}
	return h, fmt.Errorf("descr: got %q, want little-endian numbers or booleans: convert it, as with a.astype('<f4')", h.descr)
}

type npyParser struct{ rest string }

func (p *npyParser) skip() { p.rest = strings.TrimLeft(p.rest, " \t\r\n") }

func (p *npyParser) accept(token string) bool {
	p.skip()
	rest, ok := strings.CutPrefix(p.rest, token)
	p.rest = rest
	return ok
}

func (p *npyParser) expect(token string) error {
	if !p.accept(token) {
		return fmt.Errorf("got %q, want %q", clip(p.rest, 20), token)
	}
	return nil
}

func (p *npyParser) text() (string, error) {
	for _, quote := range []string{"'", `"`} {
		if p.accept(quote) {
			s, rest, ok := strings.Cut(p.rest, quote)
			if !ok {
				return "", errors.New("text without an end")
			}
			p.rest = rest
			return s, nil
		}
	}
	return "", fmt.Errorf("got %q, want text in quotes", clip(p.rest, 20))
}

func (p *npyParser) tuple() (tensor.Shape, error) {
	if err := p.expect("("); err != nil {
		return nil, err
	}
	shape := tensor.Shape{}
	for !p.accept(")") {
		p.skip()
		digits := p.rest[:len(p.rest)-len(strings.TrimLeft(p.rest, "0123456789"))]
		n, err := strconv.Atoi(digits)
		if err != nil {
			return nil, fmt.Errorf("got %q, want a whole number", clip(p.rest, 20))
		}
		p.rest = strings.TrimPrefix(p.rest[len(digits):], "L") // long integers of Python 2
		if len(shape) == 64 {                                  // as many as NumPy 2 has
			return nil, errors.New("more than 64 axes")
		}
		shape = append(shape, n)
		if !p.accept(",") {
			if err := p.expect(")"); err != nil {
				return nil, err
			}
			break
		}
	}
	return shape, nil
}

// WriteNPY writes t as a NumPy array, version 1, row-major. Int4 and Uint4
// become 8-bit; BFloat16 and String are errors, since NumPy has no such type.
func WriteNPY(w io.Writer, t *tensor.Tensor) error {
	descr := ""
	for _, x := range npyTypes {
		if x.d == t.DType() {
			descr = x.descr
		}
	}
	if descr == "" {
		return fmt.Errorf("npy: got element type %v, which NumPy does not have; convert it to float32", t.DType())
	}
	var shape strings.Builder
	for i, n := range t.Shape() {
		if i > 0 {
			shape.WriteByte(' ')
		}
		fmt.Fprintf(&shape, "%d,", n)
	}
	dims := shape.String()
	if t.Rank() > 1 {
		dims = strings.TrimSuffix(dims, ",")
	}
	dict := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr, dims)
	head := []byte(npyMagic + "\x01\x00")
	pad := npyAlign - (len(head)+2+len(dict)+1)%npyAlign
	dict += strings.Repeat(" ", pad%npyAlign) + "\n"
	if len(dict) > 1<<16-1 {
		return fmt.Errorf("npy: %d axes, too many for the header", t.Rank())
	}
	head = binary.LittleEndian.AppendUint16(head, uint16(len(dict)))
	if _, err := w.Write(append(head, dict...)); err != nil {
		return err
	}
	return writeElements(w, binary.LittleEndian, t)
}

// writeElements writes the elements of any number tensor.
func writeElements(w io.Writer, order binary.ByteOrder, t *tensor.Tensor) error {
	switch t.DType() {
	case tensor.Float32:
		return writeSlice(w, order, t.F32())
	case tensor.Float64:
		return writeSlice(w, order, tensor.Data[float64](t))
	case tensor.Float16, tensor.Uint16:
		return writeSlice(w, order, tensor.Data[uint16](t))
	case tensor.Uint4, tensor.Uint8:
		return writeSlice(w, order, tensor.Data[uint8](t))
	case tensor.Uint32:
		return writeSlice(w, order, tensor.Data[uint32](t))
	case tensor.Uint64:
		return writeSlice(w, order, tensor.Data[uint64](t))
	case tensor.Int4, tensor.Int8:
		return writeSlice(w, order, tensor.Data[int8](t))
	case tensor.Int16:
		return writeSlice(w, order, tensor.Data[int16](t))
	case tensor.Int32:
		return writeSlice(w, order, tensor.Data[int32](t))
	case tensor.Int64:
		return writeSlice(w, order, t.I64())
	case tensor.Bool:
		return writeSlice(w, order, tensor.Data[bool](t))
	}
	panic(fmt.Sprintf("data: writing %v", t.DType()))
}

func writeSlice[T any](w io.Writer, order binary.ByteOrder, s []T) error {
	const chunk = 1 << 14 // elements encoded at a time
	for len(s) > 0 {
		n := min(len(s), chunk)
		if err := binary.Write(w, order, s[:n]); err != nil {
			return err
		}
		s = s[n:]
	}
	return nil
}

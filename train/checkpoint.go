package train

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"

	"github.com/go-nncf/nncf/internal/atomicfile"
	"github.com/go-nncf/nncf/tensor"
)

// NamedTensor is one entry of a checkpoint.
type NamedTensor struct {
	Name   string
	Tensor *tensor.Tensor
}

// Checkpoint is everything a training run needs to go on as if it had not
// stopped, or a model needs to be exported: a JSON document and tensors.
//
// The file has, in order:
//
//	8 bytes   "NNCFCKPT"
//	4 bytes   format version, little-endian
//	8 bytes   length of the header, little-endian
//	header    JSON: meta, and name, element type, shape and offset of each tensor
//	payload   elements, little-endian, every tensor at a multiple of 8 bytes
//	4 bytes   CRC-32C of all before it
//
// Tensors lie in the order of the header without gaps but the padding, which is
// zero. Only float32, int64 and uint8 occur, and no name occurs twice.
type Checkpoint struct {
	Meta    json.RawMessage
	Tensors []NamedTensor
}

const (
	checkpointMagic   = "NNCFCKPT"
	checkpointVersion = 1
	checkpointPrefix  = len(checkpointMagic) + 4 + 8
)

type checkpointHeader struct {
	Meta    json.RawMessage   `json:"meta"`
	Tensors []checkpointEntry `json:"tensors"`
}

type checkpointEntry struct {
	Name   string `json:"name"`
	DType  string `json:"dtype"`
	Shape  []int  `json:"shape"`
	Offset int    `json:"offset"` // from the payload's start
}

// Tensor returns the tensor of the given name, or nil.
func (c *Checkpoint) Tensor(name string) *tensor.Tensor {
	for _, t := range c.Tensors {
		if t.Name == name {
			return t.Tensor
		}
	}
	return nil
}

// Encode writes the checkpoint.
func (c *Checkpoint) Encode(w io.Writer) error {
	h := checkpointHeader{Meta: c.Meta}
	var errs []error
	off, names := 0, map[string]bool{}
	for _, t := range c.Tensors {
		switch t.Tensor.DType() {
		case tensor.Float32, tensor.Int64, tensor.Uint8:
		default:
			errs = append(errs, fmt.Errorf("tensor %q: got %v elements, want float32, int64 or uint8", t.Name, t.Tensor.DType()))
		}
		if names[t.Name] {
			errs = append(errs, fmt.Errorf("two tensors are named %q", t.Name))
		}
		names[t.Name] = true
		h.Tensors = append(h.Tensors, checkpointEntry{t.Name, t.Tensor.DType().String(), t.Tensor.Shape(), off})
		off += padded(t.Tensor.DType().Bytes(t.Tensor.Len()))
	}
	head, err := json.Marshal(h)
	if err := errors.Join(append(errs, err)...); err != nil {
		return err
	}
	sum := crc32.New(castagnoli())
	out := io.MultiWriter(w, sum)
	var prefix [checkpointPrefix]byte
	copy(prefix[:], checkpointMagic)
	binary.LittleEndian.PutUint32(prefix[8:], checkpointVersion)
	binary.LittleEndian.PutUint64(prefix[12:], uint64(len(head)))
	if _, err := out.Write(prefix[:]); err != nil {
		return err
	}
	if _, err := out.Write(head); err != nil {
		return err
	}
	var pad [8]byte
	for _, t := range c.Tensors {
		n := t.Tensor.DType().Bytes(t.Tensor.Len())
		var err error
		switch t.Tensor.DType() {
		case tensor.Float32:
			err = binary.Write(out, binary.LittleEndian, t.Tensor.F32())
		case tensor.Int64:
			err = binary.Write(out, binary.LittleEndian, t.Tensor.I64())
		case tensor.Uint8:
			_, err = out.Write(tensor.Data[uint8](t.Tensor))
		}
		if err == nil {
			_, err = out.Write(pad[:padded(n)-n])
		}
		if err != nil {
			return err
		}
	}
	return binary.Write(w, binary.LittleEndian, sum.Sum32())
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// padded rounds a length up to the next multiple of 8.
func padded(n int) int { return (n + 7) &^ 7 }

// DecodeCheckpoint reads a checkpoint from the bytes of a file. Damage is an
// error, never a panic, and memory is bounded by the size of b.
func DecodeCheckpoint(b []byte) (*Checkpoint, error) {
	if len(b) < len(checkpointMagic) || string(b[:len(checkpointMagic)]) != checkpointMagic {
		return nil, fmt.Errorf("not a checkpoint: it does not start with %s", checkpointMagic)
	}
	if len(b) < checkpointPrefix+4 {
		return nil, errors.New("checkpoint is cut short")
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != checkpointVersion {
		return nil, fmt.Errorf("checkpoint has format %d, this program reads format %d", v, checkpointVersion)
	}
	body := b[:len(b)-4]
	if got, want := crc32.Checksum(body, castagnoli()), binary.LittleEndian.Uint32(b[len(b)-4:]); got != want {
		return nil, errors.New("checkpoint is damaged or cut short: its checksum does not fit")
	}
	n := binary.LittleEndian.Uint64(b[12:])
	if n > uint64(len(body)-checkpointPrefix) {
		return nil, errors.New("checkpoint header is longer than the file")
	}
	var h checkpointHeader
	if err := json.Unmarshal(body[checkpointPrefix:checkpointPrefix+int(n)], &h); err != nil {
		return nil, fmt.Errorf("checkpoint header: %w", err)
	}
	c := &Checkpoint{Meta: h.Meta}
	payload, off, names := body[checkpointPrefix+int(n):], 0, map[string]bool{}
	for _, e := range h.Tensors {
		size, err := e.check(off, len(payload))
		if err == nil && names[e.Name] {
			err = errors.New("occurs twice")
		}
		if err != nil {
			return nil, fmt.Errorf("checkpoint tensor %q: %w", e.Name, err)
		}
		names[e.Name] = true
		c.Tensors = append(c.Tensors, NamedTensor{e.Name, e.read(payload[off:][:size])})
		off += padded(size)
	}
	if off != len(payload) {
		return nil, fmt.Errorf("checkpoint has %d bytes of tensors, its header lists %d", len(payload), off)
	}
	return c, nil
}

// check holds an entry against the offset where it must begin and the length
// of the payload, and returns its size in bytes.
func (e checkpointEntry) check(off, length int) (size int, err error) {
	d, err := tensor.ParseDType(e.DType)
	if err != nil {
		return 0, err
	}
	switch d {
	case tensor.Float32, tensor.Int64, tensor.Uint8:
	default:
		return 0, fmt.Errorf("got %v elements, want float32, int64 or uint8", d)
	}
	s := tensor.Shape(e.Shape)
	if err := s.Check(); err != nil {
		return 0, err
	}
	n := s.Numel()
	if e.Offset != off || n > length || padded(d.Bytes(n)) > length-off {
		return 0, fmt.Errorf("got offset %d and shape %v, want offset %d and at most %d bytes", e.Offset, s, off, length-off)
	}
	return d.Bytes(n), nil
}

// read makes the tensor of a checked entry from its bytes.
func (e checkpointEntry) read(raw []byte) *tensor.Tensor {
	d, _ := tensor.ParseDType(e.DType)
	t := tensor.New(d, e.Shape...)
	switch d {
	case tensor.Float32:
		for i := range t.F32() {
			t.F32()[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
	case tensor.Int64:
		for i := range t.I64() {
			t.I64()[i] = int64(binary.LittleEndian.Uint64(raw[8*i:]))
		}
	case tensor.Uint8:
		copy(tensor.Data[uint8](t), raw)
	}
	return t
}

// Save writes the checkpoint to path atomically: a reader, and a run that is
// killed at any moment, finds either the old file or the new one, whole. A
// killed run may leave a file that [RemovePartial] removes.
func (c *Checkpoint) Save(path string) error {
	err := atomicfile.Write(path, func(f io.Writer) error {
		w := bufio.NewWriterSize(f, 1<<20)
		if err := c.Encode(w); err != nil {
			return err
		}
		return w.Flush()
	})
	if err != nil {
		return fmt.Errorf("checkpoint %s: %w", path, err)
	}
	return nil
}

// RemovePartial removes what killed processes left of unfinished writes to path,
// by Save or by onnx.Save. No other process may be writing there.
func RemovePartial(path string) error { return atomicfile.RemovePartial(path) }

// LoadCheckpoint reads a checkpoint file.
func LoadCheckpoint(path string) (*Checkpoint, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c, err := DecodeCheckpoint(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

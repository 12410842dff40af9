package train

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

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
// Only float32, int64 and uint8 tensors occur.
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
	off := 0
	for _, t := range c.Tensors {
		switch t.Tensor.DType() {
		case tensor.Float32, tensor.Int64, tensor.Uint8:
		default:
			return fmt.Errorf("checkpoint: tensor %q has %v elements", t.Name, t.Tensor.DType())
		}
		h.Tensors = append(h.Tensors, checkpointEntry{t.Name, t.Tensor.DType().String(), t.Tensor.Shape(), off})
		off += (t.Tensor.DType().Bytes(t.Tensor.Len()) + 7) &^ 7
	}
	head, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
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
			_, err = out.Write(pad[:-n&7])
		}
		if err != nil {
			return err
		}
	}
	return binary.Write(w, binary.LittleEndian, sum.Sum32())
}

// DecodeCheckpoint reads a checkpoint from the bytes of a file. Damage is an
// error, never a panic, and memory is bounded by the size of b.
func DecodeCheckpoint(b []byte) (*Checkpoint, error) {
	if len(b) < checkpointPrefix+4 || string(b[:8]) != checkpointMagic {
		return nil, errors.New("not a checkpoint: it does not start with " + checkpointMagic)
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != checkpointVersion {
		return nil, fmt.Errorf("checkpoint of format %d, this program reads format %d", v, checkpointVersion)
	}
	body := b[:len(b)-4]
	if got, want := crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)), binary.LittleEndian.Uint32(b[len(b)-4:]); got != want {
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
	payload := body[checkpointPrefix+int(n):]
	c := &Checkpoint{Meta: h.Meta}
	for _, e := range h.Tensors {
		d, err := tensor.ParseDType(e.DType)
		if err != nil {
			return nil, fmt.Errorf("checkpoint tensor %q: %w", e.Name, err)
		}
		s := tensor.Shape(e.Shape)
		if err := s.Check(); err != nil {
			return nil, fmt.Errorf("checkpoint tensor %q: %w", e.Name, err)
		}
		size := s.Numel()
		if e.Offset < 0 || size > len(payload) || e.Offset > len(payload)-d.Bytes(size) {
			return nil, fmt.Errorf("checkpoint tensor %q lies outside the file", e.Name)
		}
		raw := payload[e.Offset : e.Offset+d.Bytes(size)]
		t := tensor.New(d, s...)
		switch d {
		case tensor.Float32:
			err = binary.Read(bytes.NewReader(raw), binary.LittleEndian, t.F32())
		case tensor.Int64:
			err = binary.Read(bytes.NewReader(raw), binary.LittleEndian, t.I64())
		case tensor.Uint8:
			copy(tensor.Data[uint8](t), raw)
		default:
			err = fmt.Errorf("got %v elements, want float32, int64 or uint8", d)
		}
		if err != nil {
			return nil, fmt.Errorf("checkpoint tensor %q: %w", e.Name, err)
		}
		c.Tensors = append(c.Tensors, NamedTensor{e.Name, t})
	}
	return c, nil
}

// Save writes the checkpoint to path atomically: a reader, and a run that is
// killed at any moment, finds either the old file or the new one, whole.
func (c *Checkpoint) Save(path string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = fmt.Errorf("checkpoint %s: %w", path, err)
		}
	}()
	var buf bytes.Buffer
	if err := c.Encode(&buf); err != nil {
		return err
	}
	if _, err := f.Write(buf.Bytes()); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

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

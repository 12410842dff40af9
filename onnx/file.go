package onnx

import (
	"bufio"
	"io"
	"strconv"

	"github.com/go-nncf/nncf/internal/onnxpb"
)

// Tensors in an external file begin on pages, so that readers can map them;
// small ones stay in the model.
const (
	externalAlign = 4096
	externalMin   = 1024
)

// externalLayout is the content of an external file.
type externalLayout struct {
	payloads []onnxpb.Payload
	offsets  []int64
}

// moveOut lays out the model's large tensors in an external file of the given
// name and makes the model refer to it.
func moveOut(m *onnxpb.Model, name string) *externalLayout {
	x := new(externalLayout)
	end := int64(0)
	for _, t := range m.Graph.Initializers {
		if t.Payload == nil || t.Payload.Size() < externalMin {
			continue
		}
		offset := (end + externalAlign - 1) / externalAlign * externalAlign
		size := int64(t.Payload.Size())
		x.payloads, x.offsets = append(x.payloads, t.Payload), append(x.offsets, offset)
		end = offset + size
		t.Payload, t.External = nil, true
		t.ExternalData = []onnxpb.Entry{
			{Key: "location", Value: name},
			{Key: "offset", Value: strconv.FormatInt(offset, 10)},
			{Key: "length", Value: strconv.FormatInt(size, 10)},
		}
	}
	return x
}

func (x *externalLayout) writeTo(w io.Writer) error {
	b := bufio.NewWriterSize(w, 1<<16)
	at := int64(0)
	for i, p := range x.payloads {
		if _, err := b.Write(make([]byte, x.offsets[i]-at)); err != nil {
			return err
		}
		n, err := p.WriteTo(b)
		if err != nil {
			return err
		}
		at = x.offsets[i] + n
	}
	return b.Flush()
}

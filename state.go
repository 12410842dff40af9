package nncf

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"strings"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/ir"
)

// Keys of the metadata of exported files.
const (
	// stateKey holds a FileState as JSON, compressed and in base 64.
	stateKey = "nncf.compression"
	// summaryKey says the same in a few words, for viewers of ONNX files.
	summaryKey = "nncf.summary"
)

// FileState is what an exported file says about its compression: it can be
// known without the configuration, which algorithms decided what, and how far they
// had come.
type FileState struct {
	CompressionState
	Stage    compress.Stage      `json:"stage"`
	Progress []compress.Progress `json:"progress,omitempty"`
}

// maxState bounds the state of a file, which may be hostile.
const maxState = 64 << 20

// describeState writes the state into the metadata of g, a graph to export.
func (c *Compressed) describeState(g *ir.Graph) error {
	s, err := c.SaveState()
	if err != nil {
		return err
	}
	f := FileState{s, c.Stage(), compress.Progresses(c.Controller)}
	raw, err := json.Marshal(f)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(raw); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	var names []string
	for _, x := range s.Setups {
		names = append(names, x.Algorithm)
	}
	props := maps.Clone(g.Meta.Props) // shared with the model that came in
	if props == nil {
		props = map[string]string{}
	}
	props[stateKey] = base64.StdEncoding.EncodeToString(b.Bytes())
	props[summaryKey] = fmt.Sprintf("%s, %v compression", strings.Join(names, "+"), f.Stage)
	g.Meta.Props = props
	return nil
}

// StateOf returns the compression that a file was exported with, nil if it says
// nothing.
func StateOf(m *Model) (*FileState, error) {
	text, ok := m.Graph.Meta.Props[stateKey]
	if !ok {
		return nil, nil
	}
	fail := func(err error) (*FileState, error) {
		return nil, fmt.Errorf("metadata %q: %w", stateKey, err)
	}
	packed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return fail(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return fail(err)
	}
	raw, err := io.ReadAll(io.LimitReader(z, maxState))
	if err != nil {
		return fail(err)
	}
	var s FileState
	if err := json.Unmarshal(raw, &s); err != nil {
		return fail(err)
	}
	return &s, nil
}

package onnx

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/go-nncf/nncf/internal/atomicfile"
	"github.com/go-nncf/nncf/internal/onnxpb"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// The opsets that can be written.
const (
	minWriteOpset = 7
	maxWriteOpset = maxOpset
)

// keepOpset is the lowest opset of a model that is kept when none is asked for:
// the first with per-channel quantization.
const keepOpset = 13

// builtOpset is the opset of graphs that were built in Go, unless an operator
// needs a higher one.
const builtOpset = 17

// Options says how a graph is written. The zero value keeps the model's opset.
type Options struct {
	// Opset is the version of the default domain, 7 to 25. 0 keeps that of the
	// model if it is 13 or higher, and otherwise takes 13 (17 for graphs built in
	// Go); if an operator cannot be written there, it takes the lowest opset above
	// where all can, or else the model's own.
	Opset int

	// External stores tensors of 1 KiB and more in a second file beside the
	// model, named like it with ".data" appended. That also happens when the
	// model would be larger than 1.9 GiB.
	External bool

	// Types adds the inferred type of every result (value_info).
	Types bool

	// Functions are definitions for operators outside the standard, for runtimes
	// that do not know them. Only those that the graph uses are written.
	Functions []*onnxpb.Function

	// Domains gives versions of further domains; the default is 1.
	Domains map[string]int

	// Producer replaces the model's producer name, ProducerVersion its version.
	Producer, ProducerVersion string
}

// Validate reports options that cannot be followed.
func (o Options) Validate() error {
	if o.Opset != 0 && (o.Opset < minWriteOpset || o.Opset > maxWriteOpset) {
		return fmt.Errorf("opset: got %d, want %d to %d", o.Opset, minWriteOpset, maxWriteOpset)
	}
	return nil
}

// maxInline is the size above which weights move to a second file; protobuf's
// own limit is 2 GiB, and some readers are less exact about it.
const maxInline = 19 << 30 / 10

// Save writes the graph to a file, and its weights to a second one if the
// options say so or the size demands it. Each file appears whole or not at all.
// A graph that cannot be written gives an [*Error].
func Save(path string, g *ir.Graph, opts Options) error {
	m, err := encodeGraph(g, opts)
	if err != nil {
		var e *Error
		if errors.As(err, &e) {
			e.Path = path
		}
		return err
	}
	if opts.External || m.Size() > maxInline {
		name := filepath.Base(path) + ".data"
		layout := moveOut(m, name)
		if err := atomicfile.Write(filepath.Join(filepath.Dir(path), name), layout.writeTo); err != nil {
			return fmt.Errorf("write external data of %s: %w", path, err)
		}
	}
	if err := atomicfile.Write(path, m.Encode); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// Write writes the graph as one message, which may not exceed 2 GiB; the option
// External is refused.
func Write(w io.Writer, g *ir.Graph, opts Options) error {
	if opts.External {
		return errors.New("external data need a file: use Save")
	}
	m, err := encodeGraph(g, opts)
	if err != nil {
		return err
	}
	return m.Encode(w)
}

// opsetsToTry lists the candidates for the default domain in order of preference.
func (o Options) opsetsToTry(g *ir.Graph) []int {
	if o.Opset != 0 {
		return []int{o.Opset}
	}
	first := min(max(g.Meta.Opset, keepOpset), maxWriteOpset)
	if g.Meta.Opset == 0 {
		first = builtOpset
	}
	var list []int
	for v := first; v <= maxWriteOpset; v++ {
		list = append(list, v)
	}
	if own := g.Meta.Opset; own >= minWriteOpset && own < keepOpset {
		list = append(list, own) // what later opsets dropped
	}
	return list
}

// encodeGraph translates a graph to messages that share the tensors' memory.
func encodeGraph(g *ir.Graph, opts Options) (*onnxpb.Model, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	var first error
	for _, opset := range opts.opsetsToTry(g) {
		w := &writer{g: g, opts: opts, opset: opset}
		m := w.write()
		if len(w.problems) == 0 {
			return m, nil
		}
		if first == nil {
			first = &Error{Action: "write", Problems: w.problems}
		}
	}
	return nil, first
}

// writer is the state of one translation.
type writer struct {
	g     *ir.Graph
	opts  Options
	opset int

	names    map[string]int // of nodes: how often used so far
	used     []bool         // stored values that a written node reads, by ID
	domains  map[string]int
	calls    map[functionKey]bool
	problems []Problem
}

func (w *writer) problem(where, format string, args ...any) {
	w.problems = append(w.problems, Problem{Where: where, Reason: fmt.Errorf(format, args...)})
}

func (w *writer) write() *onnxpb.Model {
	g := w.g
	w.names, w.used = map[string]int{}, make([]bool, g.NumValues())
	w.domains, w.calls = map[string]int{"": w.opset}, map[functionKey]bool{}
	if len(g.Outputs) == 0 {
		w.problem("graph", "got no outputs")
	}
	for _, a := range g.Assigns {
		w.problem("state "+quote(a.Dst.Name), "changes in every run, which a file cannot say: strip the graph of training first")
	}
	pg := &onnxpb.Graph{Name: cmp.Or(g.Name, "graph")}
	for _, v := range g.Inputs {
		pg.Inputs = append(pg.Inputs, &onnxpb.ValueInfo{Name: v.Name, Type: toType(v.Type)})
	}
	w.reserveNodeNames()
	for _, n := range g.Nodes() {
		if p := w.node(n); p != nil {
			pg.Nodes = append(pg.Nodes, p)
		}
	}
	for _, v := range g.Outputs {
		if v.IsStored() {
			w.used[v.ID] = true
		}
		pg.Outputs = append(pg.Outputs, &onnxpb.ValueInfo{Name: v.Name, Type: toType(v.Type)})
	}
	for _, v := range g.Stored() {
		// What only became an attribute is left out; what nobody ever used stays.
		if w.used[v.ID] || len(v.Uses()) == 0 {
			pg.Initializers = append(pg.Initializers, encodeTensor(v.Name, v.Data))
		}
	}
	if w.opts.Types {
		pg.ValueInfo = w.valueInfo()
	}
	m := &onnxpb.Model{
		ProducerName:    cmp.Or(w.opts.Producer, g.Meta.Producer),
		ProducerVersion: cmp.Or(w.opts.ProducerVersion, g.Meta.ProducerVersion),
		Domain:          g.Meta.Domain, ModelVersion: g.Meta.ModelVersion, Doc: g.Meta.Doc,
		Graph: pg,
	}
	for _, key := range slices.Sorted(maps.Keys(g.Meta.Props)) {
		m.Metadata = append(m.Metadata, onnxpb.Entry{Key: key, Value: g.Meta.Props[key]})
	}
	w.functions(m)
	for _, domain := range slices.Sorted(maps.Keys(w.domains)) {
		m.OpsetImport = append(m.OpsetImport, onnxpb.OperatorSet{Domain: domain, Version: int64(w.domains[domain])})
	}
	m.IRVersion = irVersion(w.opset, m)
	return m
}

// functions attaches the definitions that nodes, or attached functions, call.
func (w *writer) functions(m *onnxpb.Model) {
	attached := make([]bool, len(w.opts.Functions))
	for again := true; again; {
		again = false
		for i, f := range w.opts.Functions {
			if attached[i] || !w.calls[functionKey{defaultDomain(f.Domain), f.Name, f.Overload}] {
				continue
			}
			attached[i], again = true, true
			m.Functions = append(m.Functions, f)
			for _, n := range f.Nodes {
				w.calls[functionKey{defaultDomain(n.Domain), n.OpType, n.Overload}] = true
			}
			for _, s := range f.OpsetImport {
				if _, ok := w.domains[defaultDomain(s.Domain)]; !ok {
					w.domains[defaultDomain(s.Domain)] = int(s.Version)
				}
			}
		}
	}
}

// irVersions gives the format version that came with each opset, from the
// version table of the ONNX specification. Version 4 is the first in which
// initializers need not be listed as inputs; older opsets are valid in it.
var irVersions = [...]int64{10: 5, 11: 6, 12: 7, 13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11, 24: 12, 25: 13}

// irVersion returns the lowest version of the format that has what the model uses.
func irVersion(opset int, m *onnxpb.Model) int64 {
	v := max(4, irVersions[max(opset, 10)])
	if opset < 10 {
		v = 4
	}
	if len(m.Functions) > 0 {
		v = max(v, 8)
	}
	for _, t := range m.Graph.Initializers {
		if t.DataType == onnxpb.DataInt4 || t.DataType == onnxpb.DataUint4 {
			v = max(v, 10)
		}
	}
	return v
}

// reserveNodeNames notes the names of the graph's nodes, so that a node whose
// name came second gets one that no other has.
func (w *writer) reserveNodeNames() {
	for _, n := range w.g.Nodes() {
		w.names[n.Name] = 0
	}
}

func (w *writer) nodeName(name string) string {
	if name == "" {
		return ""
	}
	if w.names[name] == 0 {
		w.names[name] = 1
		return name
	}
	for {
		unique := name + "_" + strconv.Itoa(w.names[name])
		w.names[name]++
		if _, taken := w.names[unique]; !taken {
			w.names[unique] = 1
			return unique
		}
	}
}

func (w *writer) valueInfo() []*onnxpb.ValueInfo {
	output := map[*ir.Value]bool{}
	for _, v := range w.g.Outputs {
		output[v] = true
	}
	var list []*onnxpb.ValueInfo
	for _, n := range w.g.Nodes() {
		for _, v := range n.Out {
			if v != nil && !output[v] {
				list = append(list, &onnxpb.ValueInfo{Name: v.Name, Type: toType(v.Type)})
			}
		}
	}
	return list
}

// node translates one node, or reports why it cannot.
func (w *writer) node(n *ir.Node) *onnxpb.Node {
	def, ok := op.Of(n.Op)
	e := &op.Encoder{Node: n, Opset: w.opset, OpType: n.Op.Kind(), Domain: def.Domain, In: slices.Clone(n.In)}
	var err error
	switch {
	case !ok:
		err = errors.New("operator is not in the table of package op")
	case def.Domain == op.Internal:
		err = errors.New("operator exists only while training: strip the graph first")
	default:
		if def.Encode != nil {
			def.Encode(e)
		}
		err = errors.Join(e.Err(), elementTypes(n, w.opset))
	}
	if err != nil {
		name := n.Name
		if name == "" && len(n.Out) > 0 && n.Out[0] != nil {
			name = n.Out[0].Name
		}
		w.problems = append(w.problems, Problem{
			Where: "node " + quote(name), Operator: operatorName(e.Domain, e.OpType), Opset: w.version(e.Domain), Reason: err,
		})
		return nil
	}
	p := &onnxpb.Node{Name: w.nodeName(n.Name), OpType: e.OpType, Domain: e.Domain}
	for _, v := range e.In {
		name := ""
		if v != nil {
			name = v.Name
			w.used[v.ID] = true
		}
		p.Inputs = append(p.Inputs, name)
	}
	for _, v := range n.Out {
		name := ""
		if v != nil {
			name = v.Name
		}
		p.Outputs = append(p.Outputs, name)
	}
	p.Inputs, p.Outputs = trimOmitted(p.Inputs), trimOmitted(p.Outputs)
	for _, a := range e.Attrs {
		p.Attributes = append(p.Attributes, encodeAttribute(a))
	}
	w.domains[e.Domain] = w.version(e.Domain)
	w.calls[functionKey{e.Domain, e.OpType, ""}] = true
	return p
}

// elementTypes checks that the opset has the types of a node's values at all;
// what single operators allow is not checked.
func elementTypes(n *ir.Node, opset int) error {
	for _, v := range slices.Concat(n.In, n.Out) {
		if v == nil {
			continue
		}
		need := minWriteOpset
		switch v.Type.DType {
		case tensor.Int4, tensor.Uint4:
			need = 21
		case tensor.BFloat16:
			need = 13
		}
		if opset < need {
			return fmt.Errorf("%v elements need opset %d, the file has %d", v.Type.DType, need, opset)
		}
	}
	return nil
}

func (w *writer) version(domain string) int {
	if domain == "" {
		return w.opset
	}
	return cmp.Or(w.opts.Domains[domain], 1)
}

func trimOmitted(names []string) []string {
	for len(names) > 0 && names[len(names)-1] == "" {
		names = names[:len(names)-1]
	}
	return names
}

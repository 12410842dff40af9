package onnx

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/go-nncf/nncf/internal/onnxpb"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// The opsets of the default domain that are read; each operator may want more.
const (
	minOpset = 1
	maxOpset = 25
)

// maxIRVersion is the newest file format known here; newer ones may change what
// fields mean.
const maxIRVersion = 14

// Load reads a model file and its external data, which must lie in the same
// folder or below. A model that cannot be read gives an [*Error].
func Load(path string) (*ir.Graph, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	g, err := Read(data, filepath.Dir(path))
	var e *Error
	if errors.As(err, &e) {
		e.Path = path
	}
	return g, err
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > onnxpb.MaxSize {
		return nil, fmt.Errorf("read %s: got %d bytes, want at most %d (weights beyond that belong in external data)", path, info.Size(), onnxpb.MaxSize)
	}
	if info.Mode().IsRegular() {
		data := make([]byte, info.Size())
		_, err = io.ReadFull(f, data)
		return data, err
	}
	data, err := io.ReadAll(io.LimitReader(f, onnxpb.MaxSize+1))
	if err == nil && len(data) > onnxpb.MaxSize {
		err = fmt.Errorf("read %s: more than %d bytes", path, onnxpb.MaxSize)
	}
	return data, err
}

// Read decodes a model. dir is the folder of its external data; if it is empty,
// external data are refused. The graph does not alias data.
func Read(data []byte, dir string) (*ir.Graph, error) {
	m, err := onnxpb.DecodeModel(data)
	if err != nil {
		return nil, &Error{Action: "read", Problems: []Problem{{Where: "model", Reason: err}}}
	}
	r := &reader{
		model:    m,
		reserved: map[string]bool{},
		suffix:   map[string]int{},
		clashes:  map[*onnxpb.Node]bool{},
		symbols:  newSymbols(),
		external: external{dir: dir},
		budget:   tensorBase + tensorFactor*int64(len(data)),
		work:     workBase + modelWork(m),
	}
	defer r.external.close()
	g := r.read()
	if len(r.problems) > 0 {
		return nil, &Error{Action: "read", Problems: r.problems}
	}
	return g, nil
}

// Inlining can repeat the nodes and tensors of a function. Together the tensors
// and lists of a graph may need this many bytes more than the file, and the nodes
// this much more work.
const (
	tensorBase   = 64 << 20
	tensorFactor = 16 // a packed 4-bit element needs 2 times its size in the file, a varint 8 times
	workBase     = 1 << 16
)

// nodeWork measures what a node costs: 1, and more for one with many names.
func nodeWork(n *onnxpb.Node) int {
	return 1 + (len(n.Inputs)+len(n.Outputs)+len(n.Attributes))/8
}

// callWork measures what a call of a function costs besides its nodes.
func callWork(f *onnxpb.Function) int {
	return (len(f.Inputs) + len(f.Outputs) + len(f.Attributes) + len(f.Defaults) + len(f.OpsetImport)) / 8
}

// modelWork is the sum over a model with each function called once.
func modelWork(m *onnxpb.Model) int {
	work := 0
	if m.Graph != nil {
		for _, n := range m.Graph.Nodes {
			work += nodeWork(n)
		}
	}
	for _, f := range m.Functions {
		work += callWork(f)
		for _, n := range f.Nodes {
			work += nodeWork(n)
		}
	}
	return work
}

// reader is the state of reading one model.
type reader struct {
	model *onnxpb.Model
	g     *ir.Graph

	functions map[functionKey]*function
	hints     map[string]*onnxpb.Type // declared types of results
	reserved  map[string]bool         // names of the file, so that new ones differ
	suffix    map[string]int          // last number that made a name new
	symbols   *symbols
	external  external
	budget    int64                 // bytes of tensors and lists still allowed
	work      int                   // still allowed
	clashes   map[*onnxpb.Node]bool // nodes that define a name again
	problems  []Problem
}

// maxProblems ends the search for problems: nobody reads more, and each may have
// cost as much as the file is large.
const maxProblems = 1000

func (r *reader) problem(where string, format string, args ...any) {
	r.add(Problem{Where: where, Reason: fmt.Errorf(format, args...)})
}

func (r *reader) add(p Problem) {
	if len(r.problems) < maxProblems {
		r.problems = append(r.problems, p)
	}
}

// charge accounts for memory that inlining can multiply.
func (r *reader) charge(bytes int64) error {
	if r.budget -= bytes; r.budget < 0 {
		return fmt.Errorf("the model's tensors and lists need more than %d times the file's size", tensorFactor)
	}
	return nil
}

// scope is what the nodes of a graph or function body see.
type scope struct {
	values  map[string]*ir.Value // nil for a value that a problem keeps from existing
	opsets  map[string]int
	prefix  string // of names inside an inlined function
	attrs   map[string]*onnxpb.Attribute
	callers []functionKey

	// In a function body: the names its outputs have outside, and the inputs
	// that the call omits.
	rename map[string]string
	absent map[string]bool
}

func (r *reader) read() *ir.Graph {
	m := r.model
	if m.Graph == nil {
		r.problem("model", "got no graph: this is not an ONNX model")
		return nil
	}
	if m.IRVersion < 1 || m.IRVersion > maxIRVersion {
		r.problem("model", "got IR version %d, want 1 to %d", m.IRVersion, maxIRVersion)
	}
	sets := m.OpsetImport
	if len(sets) == 0 && m.IRVersion < 3 {
		sets = []onnxpb.OperatorSet{{Version: 1}} // such files have no opset_import
	}
	top := &scope{values: map[string]*ir.Value{}, opsets: r.opsets("model", sets)}
	r.collectFunctions()

	r.g = ir.New(m.Graph.Name)
	r.g.Meta = ir.Meta{
		Producer: m.ProducerName, ProducerVersion: m.ProducerVersion, Domain: m.Domain,
		ModelVersion: m.ModelVersion, Doc: cmp.Or(m.Doc, m.Graph.Doc), Opset: top.opsets[""],
	}
	if len(m.Metadata) > 0 {
		r.g.Meta.Props = make(map[string]string, len(m.Metadata))
		for _, e := range m.Metadata {
			r.g.Meta.Props[e.Key] = e.Value
		}
	}
	r.reserveNames()
	r.readInputs(top)
	r.readInitializers(top)
	r.readNodes(top, m.Graph.Nodes)
	r.readOutputs(top)
	return r.g
}

// opsets checks an opset_import list and returns it as a map, "" for the default
// domain.
func (r *reader) opsets(where string, sets []onnxpb.OperatorSet) map[string]int {
	out := make(map[string]int, len(sets))
	for _, s := range sets {
		domain := defaultDomain(s.Domain)
		old, ok := out[domain]
		switch {
		case ok && int64(old) != s.Version:
			r.problem(where, "opset_import has versions %d and %d of domain %s", old, s.Version, quote(domain))
			continue
		case domain == "" && (s.Version < minOpset || s.Version > maxOpset):
			r.problem(where, "got opset %d, want %d to %d", s.Version, minOpset, maxOpset)
		case s.Version < 1 || s.Version > 1<<20:
			r.problem(where, "got version %d of domain %s", s.Version, quote(domain))
		}
		out[domain] = int(s.Version)
	}
	return out
}

func defaultDomain(domain string) string {
	if domain == "ai.onnx" {
		return ""
	}
	return domain
}

// reserveNames notes every name of the main graph and the declared types.
func (r *reader) reserveNames() {
	g := r.model.Graph
	r.hints = make(map[string]*onnxpb.Type, len(g.ValueInfo)+len(g.Outputs))
	for _, list := range [][]*onnxpb.ValueInfo{g.ValueInfo, g.Outputs} {
		for _, v := range list {
			r.hints[v.Name] = v.Type
			r.reserved[v.Name] = true
		}
	}
	for _, v := range g.Inputs {
		r.reserved[v.Name] = true
	}
	for _, t := range g.Initializers {
		r.reserved[t.Name] = true
	}
	for _, n := range g.Nodes {
		for _, o := range n.Outputs {
			r.reserved[o] = true
		}
	}
}

// newName returns base, or base with a suffix, such that the file does not use it,
// and reserves it.
func (r *reader) newName(base string) string {
	name := base
	for name == "" || r.reserved[name] || r.g.Value(name) != nil {
		r.suffix[base]++
		name = base + "_" + strconv.Itoa(r.suffix[base])
	}
	r.reserved[name] = true
	return name
}

func (r *reader) readInputs(s *scope) {
	g := r.model.Graph
	stored := make(map[string]bool, len(g.Initializers))
	for _, t := range g.Initializers {
		stored[t.Name] = true
	}
	inputs := slices.Clone(g.Inputs)
	inputs = slices.DeleteFunc(inputs, func(v *onnxpb.ValueInfo) bool { return stored[v.Name] })
	r.symbols.reserveAll(inputs)
	for _, v := range inputs {
		where := "input " + quote(v.Name)
		if !r.define(s, where, v.Name) {
			continue
		}
		t, err := r.symbols.fromType(v.Name, v.Type)
		if err != nil {
			r.problem(where, "%w", err)
			continue
		}
		s.values[v.Name] = r.g.AddInput(v.Name, t)
	}
}

// define enters a new name into a scope; its value follows if there is one.
func (r *reader) define(s *scope, where, name string) bool {
	if name == "" {
		r.problem(where, "has no name")
		return false
	}
	if _, ok := s.values[name]; ok {
		r.problem(where, "second value named %s", quote(name))
		return false
	}
	s.values[name] = nil
	return true
}

func (r *reader) readInitializers(s *scope) {
	for _, p := range r.model.Graph.Initializers {
		where := "initializer " + quote(p.Name)
		if !r.define(s, where, p.Name) {
			continue
		}
		t, err := r.tensor(p)
		if err != nil {
			r.problem(where, "%w", err)
			continue
		}
		s.values[p.Name] = r.g.AddStored(ir.Constant, p.Name, t)
	}
	for _, p := range r.model.Graph.SparseInitializer {
		name := ""
		if p.Values != nil {
			name = p.Values.Name
		}
		where := "initializer " + quote(name)
		if r.define(s, where, name) {
			r.problem(where, "is sparse, want a dense tensor")
		}
	}
}

// tensor converts a tensor of the file, wherever its elements are.
func (r *reader) tensor(p *onnxpb.Tensor) (*tensor.Tensor, error) {
	d, shape, err := tensorShape(p)
	if err != nil {
		return nil, err
	}
	raw := p.RawData
	if p.External {
		if d == tensor.String {
			return nil, errors.New("string elements in external data")
		}
		if n := shape.Numel(); int64(n) <= 1<<40 { // larger than any file; decodeTensor says so
			if raw, err = r.external.bytes(p, int64(d.Bytes(n))); err != nil {
				return nil, err
			}
		} else {
			return nil, fmt.Errorf("shape %v has more elements than any file", shape)
		}
	}
	t, err := decodeTensor(p, raw)
	if err != nil {
		return nil, err
	}
	if !p.External {
		err = r.charge(int64(max(1, d.Bits()/8)) * int64(t.Len()))
	}
	return t, err
}

func (r *reader) readOutputs(s *scope) {
	for _, o := range r.model.Graph.Outputs {
		where := "output " + quote(o.Name)
		v, ok := s.values[o.Name]
		switch {
		case !ok:
			r.problem(where, "no node, input or initializer has this name")
		case v == nil: // its own problem is reported where it is made
		default:
			if o.Type != nil && o.Type.Tensor != nil && o.Type.Tensor.ElemType != onnxpb.DataUndefined {
				if got := toDataType(v.Type.DType); got != o.Type.Tensor.ElemType {
					r.problem(where, "is declared as %v, the operators give %v", o.Type.Tensor.ElemType, got)
				}
			}
			r.g.Outputs = append(r.g.Outputs, v)
		}
	}
	if len(r.model.Graph.Outputs) == 0 {
		r.problem("model", "got no outputs")
	}
}

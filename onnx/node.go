package onnx

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/go-nncf/nncf/internal/onnxpb"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// readNodes translates the nodes of a graph or function body into r.g.
func (r *reader) readNodes(s *scope, nodes []*onnxpb.Node) {
	for _, n := range r.order(s, nodes) {
		if r.exhausted(nodeWork(n)) || r.budget < 0 || len(r.problems) >= maxProblems {
			return
		}
		r.readNode(s, n)
	}
}

// exhausted takes work from what is allowed, and reports once that it is used up.
func (r *reader) exhausted(work int) bool {
	before := r.work
	r.work -= work
	if r.work < 0 && before >= 0 {
		r.problem("model", "inlining its functions gives too many nodes")
	}
	return r.work < 0
}

// order returns the nodes so that each follows those that it depends on, and
// otherwise as they are in the file, which should be so ordered already. Names
// defined twice and cycles are reported.
func (r *reader) order(s *scope, nodes []*onnxpb.Node) []*onnxpb.Node {
	producer := make(map[string]int, len(nodes))
	for i, n := range nodes {
		for _, o := range n.Outputs {
			if o == "" {
				continue
			}
			_, above := s.values[o]
			if _, twice := producer[o]; twice || above {
				r.nodeProblem(s, n, fmt.Errorf("second value named %s", quote(o)))
				r.clashes[n] = true
				continue
			}
			producer[o] = i
		}
	}
	const (
		fresh = iota
		open
		done
	)
	state := make([]uint8, len(nodes))
	next := make([]int, len(nodes)) // input to look at
	out := make([]*onnxpb.Node, 0, len(nodes))
	var stack []int
	for i := range nodes {
		if state[i] != fresh {
			continue
		}
		stack = append(stack[:0], i)
		state[i] = open
	walk:
		for len(stack) > 0 {
			at := stack[len(stack)-1]
			n := nodes[at]
			for next[at] < len(n.Inputs) {
				in := n.Inputs[next[at]]
				next[at]++
				p, ok := producer[in]
				if !ok || in == "" || state[p] == done {
					continue
				}
				if state[p] == open {
					r.nodeProblem(s, n, fmt.Errorf("input %s depends on the node itself", quote(in)))
					s.values[in] = nil
					continue
				}
				state[p] = open
				stack = append(stack, p)
				continue walk
			}
			state[at] = done
			out = append(out, n)
			stack = stack[:len(stack)-1]
		}
	}
	return out
}

func (r *reader) nodeProblem(s *scope, n *onnxpb.Node, reason error) {
	domain := defaultDomain(n.Domain)
	name := n.Name
	if name == "" { // the graph knows such a node by its first output
		for _, o := range n.Outputs {
			if o != "" {
				name = o
				break
			}
		}
	}
	var located *ir.NodeError
	if errors.As(reason, &located) { // the problem says where
		reason = located.Err
	}
	r.add(Problem{
		Where: "node " + quote(s.prefix+name), Operator: operatorName(domain, n.OpType), Opset: s.opsets[domain], Reason: reason,
	})
}

// readNode adds one node, or reports why not. Its outputs are defined either way,
// so that the nodes that use them do not become problems too.
func (r *reader) readNode(s *scope, n *onnxpb.Node) {
	in, ok := r.nodeInputs(s, n)
	known := r.claim(s, n)
	if known == nil {
		r.placeholders(s, n)
		return
	}
	if r.clashes[n] { // reported by order
		r.placeholders(s, n)
		return
	}
	if known.constant {
		r.readConstant(s, n)
		return
	}
	if known.function != nil {
		r.inline(s, n, known.function, in, ok)
		return
	}
	attrs, err := r.attributes(s, n)
	if err != nil {
		r.nodeProblem(s, n, err)
		ok = false
	}
	if !ok {
		r.placeholders(s, n)
		return
	}
	outputs := r.outputNames(s, n)
	d := op.NewDecoder(n.OpType, s.opsets[defaultDomain(n.Domain)], attrs)
	d.In, d.NumOut = in, len(outputs)
	base := cmp.Or(n.Name, n.OpType)
	if len(outputs) > 0 {
		base = outputs[0]
	}
	d.NewConst = func(name string, t *tensor.Tensor) *ir.Value {
		return r.g.AddStored(ir.Constant, r.newName(base+"/"+name), t)
	}
	o := known.def.Decode(d)
	if err := d.Finish(); err != nil {
		r.nodeProblem(s, n, err)
		r.placeholders(s, n)
		return
	}
	name := n.Name
	if name != "" {
		name = s.prefix + name
	}
	node, err := r.g.AddNode(name, o, d.In, outputs)
	if err != nil {
		r.nodeProblem(s, n, err)
		r.placeholders(s, n)
		return
	}
	for i, o := range n.Outputs {
		if o == "" {
			continue
		}
		s.values[o] = node.Out[i]
		if rank := node.Out[i].Type.Rank(); rank > maxRank {
			r.nodeProblem(s, n, fmt.Errorf("output %d would have %d axes, want at most %d", i, rank, maxRank))
			s.values[o] = nil
		}
	}
}

// nodeInputs looks up the inputs, without trailing omitted ones. It reports
// undefined ones; ok is false if any has no value.
func (r *reader) nodeInputs(s *scope, n *onnxpb.Node) (in []*ir.Value, ok bool) {
	ok = true
	last := len(n.Inputs)
	for last > 0 && n.Inputs[last-1] == "" {
		last--
	}
	in = make([]*ir.Value, last)
	for i, name := range n.Inputs[:last] {
		if name == "" {
			continue
		}
		v, defined := s.values[name]
		switch {
		case !defined:
			r.nodeProblem(s, n, fmt.Errorf("input %d: no node, input or initializer is named %s", i, quote(name)))
			s.values[name] = nil
			ok = false
		case v == nil && !s.absent[name]:
			ok = false
		}
		in[i] = v
	}
	for len(in) > 0 && in[len(in)-1] == nil {
		in = in[:len(in)-1]
	}
	return in, ok
}

// outputNames returns the names of the node's outputs in the graph, without
// trailing unwanted ones.
func (r *reader) outputNames(s *scope, n *onnxpb.Node) []string {
	last := len(n.Outputs)
	for last > 0 && n.Outputs[last-1] == "" {
		last--
	}
	names := make([]string, last)
	for i, o := range n.Outputs[:last] {
		if o != "" {
			names[i] = r.outputName(s, o)
		}
	}
	return names
}

func (r *reader) outputName(s *scope, o string) string {
	if s.prefix == "" {
		return o
	}
	if outside, ok := s.rename[o]; ok {
		return outside
	}
	return r.newName(s.prefix + o)
}

// placeholders defines the outputs of a node that was not added. Where the file
// declares their types they get stand-ins, so that the problems of later nodes
// are found too; the graph is not used any more.
func (r *reader) placeholders(s *scope, n *onnxpb.Node) {
	for _, o := range n.Outputs {
		if o == "" {
			continue
		}
		if _, ok := s.values[o]; ok {
			continue
		}
		s.values[o] = nil
		hint := r.hints[o]
		if s.prefix != "" || hint == nil || r.g.Value(o) != nil {
			continue
		}
		if t, err := r.symbols.fromType(o, hint); err == nil {
			s.values[o] = r.g.AddInput(o, t)
		}
	}
}

// claimed is who defines a node's operator: this package for Constant, the
// table of package op, or a function of the model.
type claimed struct {
	constant bool
	def      op.Def
	function *function
}

// claim finds the definition of a node's operator, or reports that there is none.
func (r *reader) claim(s *scope, n *onnxpb.Node) *claimed {
	domain := defaultDomain(n.Domain)
	if domain == "" && n.OpType == "Constant" {
		return &claimed{constant: true}
	}
	opset, imported := s.opsets[domain]
	def, ok := op.Lookup(domain, n.OpType)
	ok = ok && def.Decode != nil && def.Domain != op.Internal
	if f := r.functions[functionKey{domain, n.OpType, n.Overload}]; f != nil && !ok {
		return &claimed{function: f}
	}
	switch {
	case hasGraph(n):
		r.nodeProblem(s, n, errors.New("control flow is not supported: the operator contains a graph"))
	case !ok:
		r.nodeProblem(s, n, errors.New("operator is not supported"))
	case !imported && domain == "":
		r.nodeProblem(s, n, errors.New("opset_import does not name the default domain"))
	case opset < since(def):
		r.nodeProblem(s, n, fmt.Errorf("got opset %d, want at least %d", opset, since(def)))
	default:
		return &claimed{def: def}
	}
	return nil
}

// since returns the lowest opset that the operator's decoder understands. What
// package op declares for opset 7 is read from older files too, because their
// forms of an operator are the same or have attributes that opset 7 does not know
// (broadcast, consumed_inputs, is_test), which is an error; except these.
func since(def op.Def) int {
	if def.Since != 0 || def.Domain != "" {
		return def.Since
	}
	switch def.Kind() {
	case "BatchNormalization", "Dropout": // without is_test they train
		return 7
	case "PRelu": // a slope of rank 1 belongs to the channels
		return 7
	case "Concat": // the default axis is 1
		return 4
	}
	return minOpset
}

func hasGraph(n *onnxpb.Node) bool {
	for _, a := range n.Attributes {
		if a.Type == onnxpb.GraphAttribute || a.Type == onnxpb.Graphs {
			return true
		}
	}
	return false
}

// maxAttributeErrors bounds the problems of one node.
const maxAttributeErrors = 20

// attributes converts a node's attributes, resolving references to those of the
// enclosing function.
func (r *reader) attributes(s *scope, n *onnxpb.Node) ([]op.Attr, error) {
	attrs := make([]op.Attr, 0, len(n.Attributes))
	seen := make(map[string]bool, len(n.Attributes))
	var errs []error
	for _, a := range n.Attributes {
		if len(errs) == maxAttributeErrors {
			break
		}
		if seen[a.Name] {
			errs = append(errs, fmt.Errorf("attribute %s is given twice", quote(a.Name)))
			continue
		}
		seen[a.Name] = true
		a, err := s.resolve(a)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if a == nil {
			continue
		}
		v, err := r.attribute(a)
		if err != nil {
			errs = append(errs, fmt.Errorf("attribute %s: %w", quote(a.Name), err))
			continue
		}
		attrs = append(attrs, op.Attr{Name: a.Name, Value: v})
	}
	return attrs, errors.Join(errs...)
}

func (r *reader) attribute(a *onnxpb.Attribute) (any, error) {
	switch a.Type {
	case onnxpb.Float:
		return a.F, nil
	case onnxpb.Int:
		return a.I, nil
	case onnxpb.String:
		return string(a.S), nil
	case onnxpb.TensorAttribute:
		if a.T == nil {
			return nil, errors.New("has no tensor")
		}
		return r.tensor(a.T)
	case onnxpb.Floats:
		if err := r.charge(4 * int64(len(a.Floats))); err != nil {
			return nil, err
		}
		return append([]float32{}, a.Floats...), nil
	case onnxpb.Ints:
		if err := r.charge(8 * int64(len(a.Ints))); err != nil {
			return nil, err
		}
		return append([]int64{}, a.Ints...), nil
	case onnxpb.Strings:
		if err := r.charge(16 * int64(len(a.Strings))); err != nil {
			return nil, err
		}
		list := make([]string, len(a.Strings))
		for i, s := range a.Strings {
			list[i] = string(s)
		}
		return list, nil
	}
	return nil, fmt.Errorf("type %v is not supported", a.Type)
}

// readConstant makes a Constant node a constant of the graph.
func (r *reader) readConstant(s *scope, n *onnxpb.Node) {
	t, err := r.constant(s, n)
	if err == nil && (len(n.Outputs) != 1 || n.Outputs[0] == "") {
		err = fmt.Errorf("got %d outputs, want 1", len(n.Outputs))
	}
	if err != nil {
		r.nodeProblem(s, n, err)
		r.placeholders(s, n)
		return
	}
	o := n.Outputs[0]
	s.values[o] = r.g.AddStored(ir.Constant, r.outputName(s, o), t)
}

func (r *reader) constant(s *scope, n *onnxpb.Node) (*tensor.Tensor, error) {
	attrs, err := r.attributes(s, n)
	if err != nil {
		return nil, err
	}
	if len(attrs) != 1 {
		return nil, fmt.Errorf("got %d attributes, want 1", len(attrs))
	}
	switch a := attrs[0]; v := a.Value.(type) {
	case *tensor.Tensor:
		if a.Name == "value" {
			return v, nil
		}
	case float32:
		if a.Name == "value_float" {
			return tensor.Scalar(v), nil
		}
	case int64:
		if a.Name == "value_int" {
			return tensor.Scalar(v), nil
		}
	case string:
		if a.Name == "value_string" {
			return tensor.Scalar(v), nil
		}
	case []float32:
		if a.Name == "value_floats" {
			return tensor.From(v, len(v)), nil
		}
	case []int64:
		if a.Name == "value_ints" {
			return tensor.From(v, len(v)), nil
		}
	case []string:
		if a.Name == "value_strings" {
			return tensor.From(v, len(v)), nil
		}
	}
	return nil, fmt.Errorf("attribute %s of type %T is no constant", quote(attrs[0].Name), attrs[0].Value)
}

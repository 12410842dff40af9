package onnx

import (
	"fmt"
	"maps"
	"slices"

	"github.com/go-nncf/nncf/internal/onnxpb"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
)

// functionKey identifies a function of a model.
type functionKey struct{ domain, name, overload string }

// function is a function of the model with what every call needs.
type function struct {
	*onnxpb.Function
	opsets     map[string]int
	attributes map[string]*onnxpb.Attribute // with their defaults, nil without
}

func (k functionKey) String() string { return operatorName(k.domain, k.name) }

func (r *reader) collectFunctions() {
	r.functions = make(map[functionKey]*function, len(r.model.Functions))
	for _, f := range r.model.Functions {
		k := functionKey{defaultDomain(f.Domain), f.Name, f.Overload}
		where := "function " + quote(k.String())
		if r.functions[k] != nil {
			r.problem(where, "is defined twice")
			continue
		}
		fn := &function{f, r.opsets(where, f.OpsetImport), make(map[string]*onnxpb.Attribute, len(f.Attributes)+len(f.Defaults))}
		for _, name := range f.Attributes {
			fn.attributes[name] = nil
		}
		for _, a := range f.Defaults {
			fn.attributes[a.Name] = a
		}
		r.functions[k] = fn
	}
}

// maxCalls bounds how deep functions call functions.
const maxCalls = 64

// maxPrefix bounds what a call adds to the names inside the function.
const maxPrefix = 128

// inline replaces a call by the nodes of the function. Inner names get the call's
// name as prefix; the function's outputs get the names they have in the call.
func (r *reader) inline(s *scope, n *onnxpb.Node, f *function, in []*ir.Value, ok bool) {
	fail := func(format string, args ...any) {
		r.nodeProblem(s, n, fmt.Errorf(format, args...))
		r.placeholders(s, n)
	}
	key := functionKey{defaultDomain(n.Domain), n.OpType, n.Overload}
	switch {
	case r.exhausted(callWork(f.Function)):
		r.placeholders(s, n)
		return
	case slices.Contains(s.callers, key):
		fail("function calls itself")
		return
	case len(s.callers) >= maxCalls:
		fail("functions call each other more than %d deep", maxCalls)
		return
	case len(in) > len(f.Inputs):
		fail("got %d inputs, want at most %d", len(in), len(f.Inputs))
		return
	case len(n.Outputs) > len(f.Outputs):
		fail("got %d outputs, want at most %d", len(n.Outputs), len(f.Outputs))
		return
	}
	base := n.Name
	if base == "" {
		base = n.OpType
		for _, o := range n.Outputs {
			if o != "" {
				base = o
				break
			}
		}
	}
	if len(base) > maxPrefix {
		base = base[:maxPrefix]
	}
	inner := &scope{
		values:  make(map[string]*ir.Value, len(f.Inputs)),
		opsets:  maps.Clone(f.opsets),
		prefix:  s.prefix + base + "/",
		attrs:   maps.Clone(f.attributes),
		callers: append(slices.Clone(s.callers), key),
		rename:  map[string]string{},
		absent:  map[string]bool{},
	}
	for domain, version := range s.opsets { // order does not matter
		if _, ok := inner.opsets[domain]; !ok {
			inner.opsets[domain] = version
		}
	}
	for i, name := range f.Inputs {
		if _, twice := inner.values[name]; twice || name == "" {
			fail("function has two inputs named %s", quote(name))
			return
		}
		inner.values[name] = nil
		if i < len(in) {
			inner.values[name] = in[i]
		}
		// An omitted input has no value; neither has one that a problem took.
		if inner.values[name] == nil && ok {
			inner.absent[name] = true
		}
	}
	if err := bind(s, inner, n, f); err != nil {
		r.nodeProblem(s, n, err)
		r.placeholders(s, n)
		return
	}
	for i, o := range n.Outputs {
		formal := f.Outputs[i]
		if o == "" || formal == "" {
			continue
		}
		if _, again := inner.rename[formal]; !again {
			inner.rename[formal] = r.outputName(s, o)
		}
	}
	r.readNodes(inner, f.Nodes)
	for i, o := range n.Outputs {
		if o == "" || s.values[o] != nil {
			continue
		}
		v, defined := inner.values[f.Outputs[i]]
		if !defined && ok {
			r.nodeProblem(s, n, fmt.Errorf("function does not compute its output %s", quote(f.Outputs[i])))
		}
		s.values[o] = r.named(v, inner.rename[f.Outputs[i]])
	}
}

// named returns v under the given name: itself, or, for a function that returns
// an input or one value twice, a copy.
func (r *reader) named(v *ir.Value, name string) *ir.Value {
	if v == nil || name == "" || v.Name == name || r.g.Value(name) != nil {
		return v
	}
	def, ok := op.Lookup("", "Identity")
	if !ok {
		return v
	}
	n, err := r.g.AddNode("", def.Op, []*ir.Value{v}, []string{name})
	if err != nil {
		return v
	}
	return n.Out[0]
}

// bind gives the function's attributes the values of the call; the others keep
// their defaults.
func bind(s, inner *scope, n *onnxpb.Node, f *function) error {
	for _, a := range n.Attributes {
		if _, known := f.attributes[a.Name]; !known {
			return fmt.Errorf("function has no attribute %s", quote(a.Name))
		}
		v, err := s.resolve(a)
		if err != nil {
			return err
		}
		if v != nil {
			inner.attrs[a.Name] = v
		}
	}
	return nil
}

// resolve returns the attribute, or the one of the enclosing function that it
// refers to, under its own name; nil if the call does not give that one.
func (s *scope) resolve(a *onnxpb.Attribute) (*onnxpb.Attribute, error) {
	if a.RefAttr == "" {
		return a, nil
	}
	if s.attrs == nil {
		return nil, fmt.Errorf("attribute %s refers to a function's attribute %s outside of functions", quote(a.Name), quote(a.RefAttr))
	}
	v := s.attrs[a.RefAttr]
	if v == nil {
		return nil, nil
	}
	if a.Type != onnxpb.Undefined && a.Type != v.Type {
		return nil, fmt.Errorf("attribute %s: got type %v for the function's %s, want %v", quote(a.Name), v.Type, quote(a.RefAttr), a.Type)
	}
	c := *v
	c.Name, c.RefAttr = a.Name, ""
	return &c, nil
}

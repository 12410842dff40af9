package ir

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-nncf/nncf/tensor"
)

// Parse reads the text of [Print]. data holds the stored tensors whose elements
// the text does not give, by name; a tensor that has another type than the text
// says is an error. newOp makes operators from their kind and their JSON
// attributes (package op's New).
//
// The types of results may be left out; where they are given, inference must
// agree. Empty lines and lines that start with # are skipped. All problems are
// reported together, with line numbers.
func Parse(text string, data map[string]*tensor.Tensor, newOp func(kind string, attrs []byte) (Op, error)) (*Graph, error) {
	r := &parser{data: data, newOp: newOp, g: New("")}
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		r.rest = line
		if err := r.line(); err != nil {
			r.errs = append(r.errs, fmt.Errorf("line %d: %w", number, err))
			if len(r.errs) == maxParseErrors {
				break
			}
		}
	}
	if err := errors.Join(r.errs...); err != nil {
		return nil, err
	}
	return r.g, nil
}

// maxParseErrors ends the search for problems: the rest follows from them.
const maxParseErrors = 20

type parser struct {
	g     *Graph
	data  map[string]*tensor.Tensor
	newOp func(kind string, attrs []byte) (Op, error)
	rest  string // of the line
	errs  []error
}

func (r *parser) line() error {
	all := r.rest
	word := r.word()
	switch word {
	case "graph":
		return r.strings(&r.g.Name)
	case "producer":
		return r.strings(&r.g.Meta.Producer, &r.g.Meta.ProducerVersion)
	case "domain":
		return r.strings(&r.g.Meta.Domain)
	case "doc":
		return r.strings(&r.g.Meta.Doc)
	case "prop":
		var k, v string
		if err := r.strings(&k, &v); err != nil {
			return err
		}
		if r.g.Meta.Props == nil {
			r.g.Meta.Props = map[string]string{}
		}
		r.g.Meta.Props[k] = v
		return nil
	case "opset", "version":
		n, err := strconv.ParseInt(r.word(), 10, 64)
		if err != nil {
			return err
		}
		if word == "opset" {
			r.g.Meta.Opset = int(n)
		} else {
			r.g.Meta.ModelVersion = n
		}
		return r.end()
	case "input":
		return r.input()
	case "const":
		return r.stored(Constant)
	case "param":
		return r.stored(Parameter)
	case "state":
		return r.stored(State)
	case "output":
		v, err := r.value()
		if err != nil {
			return err
		}
		r.g.Outputs = append(r.g.Outputs, v)
		return r.end()
	case "assign":
		dst, err := r.value()
		if err != nil {
			return err
		}
		if !r.token("=") {
			return r.want("=")
		}
		src, err := r.value()
		if err != nil {
			return err
		}
		if dst.Kind != State {
			return fmt.Errorf("%q is a %v, want a state", dst.Name, dst.Kind)
		}
		r.g.Assigns = append(r.g.Assigns, Assign{dst, src})
		return r.end()
	}
	r.rest = all
	return r.node()
}

// space skips blanks.
func (r *parser) space() { r.rest = strings.TrimLeft(r.rest, " \t") }

// word returns the text up to the next blank; it reads keywords.
func (r *parser) word() string {
	r.space()
	w := r.rest
	if i := strings.IndexAny(w, " \t"); i >= 0 {
		w = w[:i]
	}
	r.rest = r.rest[len(w):]
	return w
}

// token skips a punctuation mark.
func (r *parser) token(s string) bool {
	r.space()
	if !strings.HasPrefix(r.rest, s) {
		return false
	}
	r.rest = r.rest[len(s):]
	return true
}

func (r *parser) want(what string) error {
	got := r.rest
	if len(got) > 40 {
		got = got[:40] + "…"
	}
	return fmt.Errorf("got %q, want %s", got, what)
}

func (r *parser) end() error {
	r.space()
	if r.rest != "" {
		return r.want("the end of the line")
	}
	return nil
}

// name reads a plain or quoted name.
func (r *parser) name() (string, error) {
	r.space()
	if strings.HasPrefix(r.rest, `"`) {
		q, err := strconv.QuotedPrefix(r.rest)
		if err != nil {
			return "", r.want("a quoted name")
		}
		r.rest = r.rest[len(q):]
		return strconv.Unquote(q)
	}
	i := 0
	for i < len(r.rest) && plain(r.rest[i]) {
		i++
	}
	if i == 0 {
		return "", r.want("a name")
	}
	s := r.rest[:i]
	r.rest = r.rest[i:]
	return s, nil
}

func (r *parser) strings(into ...*string) error {
	for _, s := range into {
		v, err := r.name()
		if err != nil {
			return err
		}
		*s = v
	}
	return r.end()
}

// value reads the name of a value that exists.
func (r *parser) value() (*Value, error) {
	name, err := r.name()
	if err != nil {
		return nil, err
	}
	v := r.g.Value(name)
	if v == nil {
		return nil, fmt.Errorf("no value is named %q", name)
	}
	return v, nil
}

// newName reads a name that must be unused.
func (r *parser) newName() (string, error) {
	name, err := r.name()
	if err != nil {
		return "", err
	}
	if name == "" || r.g.Value(name) != nil {
		return "", fmt.Errorf("second value named %q", name)
	}
	return name, nil
}

// typ reads a type such as float32[N 3].
func (r *parser) typ() (Type, error) {
	r.space()
	open, end := strings.IndexByte(r.rest, '['), strings.IndexByte(r.rest, ']')
	if open < 0 || end < open {
		return Type{}, r.want("a type such as float32[N 3]")
	}
	d, err := tensor.ParseDType(r.rest[:open])
	if err != nil {
		return Type{}, err
	}
	t := Type{DType: d, Dims: []Dim{}}
	for f := range strings.FieldsSeq(r.rest[open+1 : end]) {
		dim, err := ParseDim(f)
		if err != nil {
			return Type{}, err
		}
		if n, known := dim.Known(); known && n < 0 {
			return Type{}, fmt.Errorf("got the axis length %d, want 0 or more", n)
		}
		t.Dims = append(t.Dims, dim)
	}
	r.rest = r.rest[end+1:]
	return t, nil
}

func (r *parser) input() error {
	name, err := r.newName()
	if err != nil {
		return err
	}
	t, err := r.typ()
	if err != nil {
		return err
	}
	r.g.AddInput(name, t)
	return r.end()
}

func (r *parser) stored(kind ValueKind) error {
	name, err := r.newName()
	if err != nil {
		return err
	}
	t, err := r.typ()
	if err != nil {
		return err
	}
	shape, ok := t.Shape()
	if !ok {
		return fmt.Errorf("got type %v, want known axes", t)
	}
	x := r.data[name]
	if r.token("=") {
		if x, err = parseElements(t.DType, shape, strings.Fields(r.rest)); err != nil {
			return err
		}
		r.rest = ""
	}
	if err := r.end(); err != nil {
		return err
	}
	switch {
	case x == nil:
		return fmt.Errorf("the elements of %q are neither in the text nor given", name)
	case !TypeOf(x).Equal(t):
		return fmt.Errorf("the elements of %q are of type %v, want %v", name, TypeOf(x), t)
	}
	r.g.AddStored(kind, name, x)
	return nil
}

// parseElements is the inverse of inline.
func parseElements(d tensor.DType, shape tensor.Shape, text []string) (*tensor.Tensor, error) {
	n := 1
	for _, l := range shape { // no overflow: more elements than words is an error
		if n *= l; n > len(text) {
			break
		}
	}
	if n != len(text) || shape.Numel() != n {
		return nil, fmt.Errorf("got %d elements for shape %v", len(text), shape)
	}
	var errs []error
	t := tensor.New(d, shape...)
	bad := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	ints := func(bits int, set func(i int, v int64)) {
		for i, s := range text {
			v, err := strconv.ParseInt(s, 10, bits)
			bad(err)
			set(i, v)
		}
	}
	switch d {
	case tensor.Float32:
		for i, s := range text {
			v, err := strconv.ParseFloat(s, 32)
			bad(err)
			t.F32()[i] = float32(v)
		}
	case tensor.Float64:
		for i, s := range text {
			v, err := strconv.ParseFloat(s, 64)
			bad(err)
			tensor.Data[float64](t)[i] = v
		}
	case tensor.Bool:
		for i, s := range text {
			v, err := strconv.ParseBool(s)
			bad(err)
			tensor.Data[bool](t)[i] = v
		}
	case tensor.Int64:
		ints(64, func(i int, v int64) { t.I64()[i] = v })
	case tensor.Int32:
		ints(32, func(i int, v int64) { tensor.Data[int32](t)[i] = int32(v) })
	case tensor.Int8:
		ints(8, func(i int, v int64) { tensor.Data[int8](t)[i] = int8(v) })
	case tensor.Uint8:
		for i, s := range text {
			v, err := strconv.ParseUint(s, 10, 8)
			bad(err)
			tensor.Data[uint8](t)[i] = uint8(v)
		}
	default:
		return nil, fmt.Errorf("elements of type %v are not read from text", d)
	}
	return t, errors.Join(errs...)
}

// node reads outputs = Kind(inputs) attributes name rule.
func (r *parser) node() error {
	var names []string
	var types []*Type
	for {
		r.space()
		if after := strings.TrimPrefix(r.rest, "_"); after != r.rest && (after == "" || strings.ContainsRune(" ,=\t", rune(after[0]))) {
			r.rest = after
			names, types = append(names, ""), append(types, nil)
		} else {
			name, err := r.newName()
			if err != nil {
				return err
			}
			names, types = append(names, name), append(types, nil)
			r.space()
			if !strings.HasPrefix(r.rest, ",") && !strings.HasPrefix(r.rest, "=") {
				t, err := r.typ()
				if err != nil {
					return err
				}
				types[len(types)-1] = &t
			}
		}
		if r.token("=") {
			break
		}
		if !r.token(",") {
			return r.want(", or =")
		}
	}
	r.space()
	open := strings.IndexByte(r.rest, '(')
	if open <= 0 {
		return r.want("an operator and its inputs in parentheses")
	}
	kind := r.rest[:open]
	r.rest = r.rest[open+1:]
	in, err := r.inputs()
	if err != nil {
		return err
	}
	attrs, err := r.attributes()
	if err != nil {
		return err
	}
	var name, rule string
	if r.space(); strings.HasPrefix(r.rest, `"`) {
		if name, err = r.name(); err != nil {
			return err
		}
	}
	if r.token("by ") {
		if rule, err = r.name(); err != nil {
			return err
		}
	}
	if err := r.end(); err != nil {
		return err
	}
	o, err := r.newOp(kind, attrs)
	if err != nil {
		return err
	}
	n, err := r.g.AddNode(name, o, in, names)
	if err != nil {
		return err
	}
	n.Name, n.Rule = name, rule
	for i, t := range types {
		if t != nil && !sameType(*t, n.Out[i].Type) {
			return fmt.Errorf("%q is of type %v, the text says %v", names[i], n.Out[i].Type, *t)
		}
	}
	return nil
}

func (r *parser) inputs() ([]*Value, error) {
	in := []*Value{}
	if r.token(")") {
		return in, nil
	}
	for {
		r.space()
		if after := strings.TrimPrefix(r.rest, "_"); after != r.rest && (after == "" || strings.ContainsRune(" ,)\t", rune(after[0]))) {
			r.rest = after
			in = append(in, nil)
		} else {
			v, err := r.value()
			if err != nil {
				return nil, err
			}
			in = append(in, v)
		}
		if r.token(")") {
			return in, nil
		}
		if !r.token(",") {
			return nil, r.want(", or )")
		}
	}
}

// attributes cuts the JSON object off, if there is one.
func (r *parser) attributes() ([]byte, error) {
	r.space()
	if !strings.HasPrefix(r.rest, "{") {
		return nil, nil
	}
	depth, quoted := 0, false
	for i := 0; i < len(r.rest); i++ {
		switch c := r.rest[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{':
			depth++
		case c == '}':
			if depth--; depth == 0 {
				attrs := []byte(r.rest[:i+1])
				r.rest = r.rest[i+1:]
				return attrs, nil
			}
		}
	}
	return nil, r.want("attributes that end with }")
}

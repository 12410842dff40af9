package ir

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/go-nncf/nncf/tensor"
)

// maxInline is the number of elements up to which stored tensors are printed.
const maxInline = 16

// Print returns the graph as text, one line for each value and node:
//
//	graph NAME
//	opset 13                                          and producer, domain, version, doc, prop KEY VALUE
//	input x float32[N 3 32 32]
//	param w float32[16 3 3 3]                         or const, state
//	const axes int64[2] = 2 3
//	y float32[N 16 30 30], _ = Conv(x, w, _) {"Group":1} "node name" by "rule"
//	assign mean = mean_1
//	output y
//
// The underscore is an omitted input or output. Names that are not plain are
// quoted as in Go. An operator's attributes are the non-zero fields of its
// struct as JSON. The elements of stored tensors are printed if there are at most
// 16 of a common type; [Parse] wants the others by name.
//
// The text has no addresses and follows no map, so it serves for comparison
// too. It fails for an operator whose attributes JSON cannot hold.
func Print(g *Graph) (string, error) {
	p := printer{}
	p.line("graph", g.Name)
	p.meta(g.Meta)
	for _, v := range g.Inputs {
		p.f("input %s %v\n", quoteName(v.Name), v.Type)
	}
	for _, v := range g.stored {
		p.f("%v %s %v%s\n", v.Kind, quoteName(v.Name), v.Type, inline(v.Data))
	}
	for _, n := range g.nodes {
		if err := p.node(n); err != nil {
			return "", err
		}
	}
	for _, a := range g.Assigns {
		p.f("assign %s = %s\n", quoteName(a.Dst.Name), quoteName(a.Src.Name))
	}
	for _, v := range g.Outputs {
		p.f("output %s\n", quoteName(v.Name))
	}
	return p.b.String(), nil
}

type printer struct{ b strings.Builder }

func (p *printer) f(format string, args ...any) { fmt.Fprintf(&p.b, format, args...) }

// line prints a keyword and quoted strings.
func (p *printer) line(keyword string, args ...string) {
	p.b.WriteString(keyword)
	for _, a := range args {
		p.f(" %s", quoteName(a))
	}
	p.b.WriteByte('\n')
}

func (p *printer) meta(m Meta) {
	if m.Opset != 0 {
		p.f("opset %d\n", m.Opset)
	}
	if m.Producer != "" || m.ProducerVersion != "" {
		p.line("producer", m.Producer, m.ProducerVersion)
	}
	if m.Domain != "" {
		p.line("domain", m.Domain)
	}
	if m.ModelVersion != 0 {
		p.f("version %d\n", m.ModelVersion)
	}
	if m.Doc != "" {
		p.line("doc", m.Doc)
	}
	for _, k := range slices.Sorted(maps.Keys(m.Props)) {
		p.line("prop", k, m.Props[k])
	}
}

func (p *printer) node(n *Node) error {
	for i, v := range n.Out {
		if i > 0 {
			p.b.WriteString(", ")
		}
		if v == nil {
			p.b.WriteByte('_')
		} else {
			p.f("%s %v", quoteName(v.Name), v.Type)
		}
	}
	p.f(" = %s(", n.Op.Kind())
	for i, v := range n.In {
		if i > 0 {
			p.b.WriteString(", ")
		}
		if v == nil {
			p.b.WriteByte('_')
		} else {
			p.b.WriteString(quoteName(v.Name))
		}
	}
	p.b.WriteByte(')')
	attrs, err := Attributes(n.Op)
	if err != nil {
		return n.Wrap("print", err)
	}
	if attrs != "" {
		p.f(" %s", attrs)
	}
	if n.Name != "" {
		p.f(" %s", strconv.Quote(n.Name))
	}
	if n.Rule != "" {
		p.f(" by %s", strconv.Quote(n.Rule))
	}
	p.b.WriteByte('\n')
	return nil
}

// quoteName quotes a name unless it is plain: letters, digits and _ . / : @ -
// that are no lone underscore and no keyword.
func quoteName(s string) string {
	for i := range len(s) {
		if !plain(s[i]) {
			return strconv.Quote(s)
		}
	}
	if s == "" || s == "_" || slices.Contains(keywords, s) {
		return strconv.Quote(s)
	}
	return s
}

func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_./:@-", c) >= 0
}

// keywords begin the lines that are no nodes.
var keywords = []string{"graph", "opset", "producer", "domain", "version", "doc", "prop", "input", "const", "param", "state", "output", "assign"}

// Attributes returns the non-zero exported fields of an operator's struct as a
// JSON object in the order of the struct, "" if there are none. Fields of
// embedded structs count as its own.
func Attributes(o Op) (string, error) {
	var b strings.Builder
	if err := fields(&b, reflect.ValueOf(o)); err != nil {
		return "", err
	}
	if b.Len() == 0 {
		return "", nil
	}
	return "{" + b.String() + "}", nil
}

func fields(b *strings.Builder, v reflect.Value) error {
	if v.Kind() != reflect.Struct {
		return nil
	}
	for i := range v.NumField() {
		f, x := v.Type().Field(i), v.Field(i)
		if f.Anonymous {
			if err := fields(b, x); err != nil {
				return err
			}
			continue
		}
		if !f.IsExported() || x.IsZero() {
			continue
		}
		text, err := json.Marshal(x.Interface())
		if err != nil {
			return fmt.Errorf("attribute %s: %w", f.Name, err)
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(b, "%q:%s", f.Name, text)
	}
	return nil
}

// inline returns the elements of a small tensor, for the end of its line.
func inline(t *tensor.Tensor) string {
	if t.Len() > maxInline {
		return ""
	}
	switch t.DType() {
	case tensor.Float32:
		return list(t.F32(), func(v float32) string { return formatFloat(float64(v), 32) })
	case tensor.Float64:
		return list(tensor.Data[float64](t), func(v float64) string { return formatFloat(v, 64) })
	case tensor.Bool:
		return list(tensor.Data[bool](t), strconv.FormatBool)
	case tensor.Int64:
		return list(t.I64(), func(v int64) string { return strconv.FormatInt(v, 10) })
	case tensor.Int32:
		return list(tensor.Data[int32](t), func(v int32) string { return strconv.Itoa(int(v)) })
	case tensor.Int8:
		return list(tensor.Data[int8](t), func(v int8) string { return strconv.Itoa(int(v)) })
	case tensor.Uint8:
		return list(tensor.Data[uint8](t), func(v uint8) string { return strconv.Itoa(int(v)) })
	}
	return ""
}

// formatFloat is the shortest text that parses back; NaN payloads are lost.
func formatFloat(v float64, bits int) string {
	if math.IsNaN(v) {
		return "NaN"
	}
	return strconv.FormatFloat(v, 'g', -1, bits)
}

func list[T any](v []T, format func(T) string) string {
	var b strings.Builder
	b.WriteString(" =")
	for _, x := range v {
		b.WriteByte(' ')
		b.WriteString(format(x))
	}
	return b.String()
}

package op

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"encoding/json"

	"github.com/go-nncf/nncf/ir"
)

// Def is one line of the operator table.
type Def struct {
	// Op is the zero value of the operator's struct; its Kind names the line.
	Op ir.Op

	// Domain is the ONNX domain, "" for the default one. Internal operators,
	// which no file may contain, have the domain "internal".
	Domain string

	// Since is the lowest opset whose form Decode understands (default 7).
	Since int

	// Decode makes the operator from a file's node. It may replace d.In.
	Decode func(d *Decoder) ir.Op

	// Encode writes the attributes of e.Node.Op; nil means there are none.
	// It may replace e.In, e.OpType and e.Domain.
	Encode func(e *Encoder)
}

// Kind returns the operator's kind.
func (d Def) Kind() string { return d.Op.Kind() }

// Internal is the domain of operators that never appear in files, such as
// gradients.
const Internal = "internal"

// defs is the whole operator set, in the order of the family tables.
var defs = slices.Concat(neuralDefs, mathDefs, tensorDefs, quantDefs, sparsityDefs)

var byKind = func() map[string]int {
	m := make(map[string]int, len(defs))
	for i, d := range defs {
		m[d.Domain+":"+d.Kind()] = i
	}
	return m
}()

// All returns the operator table; the caller must not change it.
func All() []Def { return defs }

// Lookup finds an operator by ONNX domain ("" and "ai.onnx" are the same) and op_type.
func Lookup(domain, kind string) (Def, bool) {
	if domain == "ai.onnx" {
		domain = ""
	}
	i, ok := byKind[domain+":"+kind]
	if !ok {
		return Def{}, false
	}
	return defs[i], true
}

// Of returns the table line of an operator.
func Of(o ir.Op) (Def, bool) {
	for _, d := range defs {
		if reflect.TypeOf(d.Op) == reflect.TypeOf(o) && d.Kind() == o.Kind() {
			return d, true
		}
	}
	return Def{}, false
}

// New makes an operator from its kind and its exported fields in JSON, as
// printed graphs have them: fields that are absent are zero, whatever a file's
// default is. Unknown fields are errors.
func New(kind string, attrs []byte) (ir.Op, error) {
	for _, d := range defs {
		if d.Kind() != kind {
			continue
		}
		v := reflect.New(reflect.TypeOf(d.Op))
		if len(attrs) > 0 {
			dec := json.NewDecoder(strings.NewReader(string(attrs)))
			dec.DisallowUnknownFields()
			if err := dec.Decode(v.Interface()); err != nil {
				return nil, fmt.Errorf("attributes of %s: %w", kind, err)
			}
		}
		return v.Elem().Interface().(ir.Op), nil
	}
	return nil, fmt.Errorf("unknown operator %q", kind)
}

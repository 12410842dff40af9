package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// checker holds a tree against the schema.
type checker struct {
	*reader
	schema
	root     *node
	warnings Errors
}

// structure reports every difference from the schema.
func (c *checker) structure() {
	var invalid *jsonschema.ValidationError
	if errors.As(c.compiled.Validate(c.root.value), &invalid) {
		c.report(invalid)
	}
}

// report turns the leaves of the tree of errors into problems with a place.
func (c *checker) report(e *jsonschema.ValidationError) {
	for _, cause := range e.Causes {
		c.report(cause)
	}
	if len(e.Causes) > 0 {
		return
	}
	n, path := c.root.at(e.InstanceLocation)
	at := c.resolve(c.lookup(e.SchemaURL))
	got := display(n.value)
	fail := func(format string, args ...any) {
		c.bad[n] = true
		c.fail(n.off, path, fmt.Sprintf(format, args...), "")
	}
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		for _, key := range k.Properties {
			c.bad[n.get(key)] = true
			c.fail(n.get(key).keyOff, join(path, key), "unknown key", c.suggestKey(key, at))
		}
	case *kind.Required:
		for _, key := range k.Missing {
			fail("%q is missing", key)
		}
	case *kind.Type:
		fail("got %s, want %s", got, typeNames(k.Want))
	case *kind.Enum:
		c.enum(n, path, at, k.Want)
	case *kind.Format:
		fail("got %s: %v", got, k.Err)
	case *kind.Minimum:
		fail("got %s, want %s or more", got, number(k.Want))
	case *kind.Maximum:
		fail("got %s, want at most %s", got, number(k.Want))
	case *kind.ExclusiveMinimum:
		fail("got %s, want more than %s", got, number(k.Want))
	case *kind.ExclusiveMaximum:
		fail("got %s, want less than %s", got, number(k.Want))
	case *kind.MinItems:
		fail("got %d entries, want %d", k.Got, k.Want)
	case *kind.MaxItems:
		fail("got %d entries, want %d", k.Got, k.Want)
	case *kind.MinProperties:
		fail("got no key, want one of %s", strings.Join(at.keys(), ", "))
	case *kind.MaxProperties:
		fail("got %d keys, want one", k.Got)
	default:
		fail("%v", e)
	}
}

// enum reports a value that is not listed, unless only its case differs and
// the schema says that does not matter.
func (c *checker) enum(n *node, path string, at schemaNode, want []any) {
	var words, list []string
	for _, w := range want {
		list = append(list, strings.Trim(display(w), `"`))
		if s, ok := w.(string); ok {
			words = append(words, s)
		}
	}
	s, isString := n.value.(string)
	if at.flag("x-any-case") && isString && slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(w, s) }) {
		return
	}
	hint := ""
	if near := nearest(s, words); isString && near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	c.fail(n.off, path, fmt.Sprintf("got %s, want one of %s", display(n.value), strings.Join(list, ", ")), hint)
	if at.flag("x-lenient") {
		c.demote()
		return
	}
	c.bad[n] = true
}

// demote makes the last problem a warning.
func (c *checker) demote() {
	last := len(c.errs) - 1
	c.warnings = append(c.warnings, c.errs[last])
	c.errs = c.errs[:last]
}

func typeNames(types []string) string {
	names := map[string]string{"object": "an object", "array": "a list", "string": "a string", "integer": "an integer", "number": "a number", "boolean": "true or false"}
	list := make([]string, len(types))
	for i, t := range types {
		list[i] = names[t]
	}
	return strings.Join(list, " or ")
}

func number(r *big.Rat) string {
	if r.IsInt() {
		return r.Num().String()
	}
	f, _ := r.Float64()
	return display(json.Number(fmt.Sprint(f)))
}

// finish sorts the problems by place, drops those that repeat another's place
// and cuts a list that nobody reads to its end.
func finish(l Errors) Errors {
	slices.SortStableFunc(l, func(a, b *Error) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Col - b.Col
	})
	l = slices.CompactFunc(l, func(a, b *Error) bool { return a.Line == b.Line && a.Col == b.Col && a.Path == b.Path })
	if len(l) > maxErrors {
		more := len(l) - maxErrors
		l = append(l[:maxErrors:maxErrors], &Error{File: l[0].File, Reason: fmt.Sprintf("and %d problems more", more)})
	}
	return l
}

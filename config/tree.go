package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/jsonc"
)

// Bounds of what is read. Real files are far below them.
const (
	maxSize   = 4 << 20 // bytes
	maxDepth  = 64
	maxDigits = 100 // characters of a number
	maxErrors = 100
)

// node is a JSON value and its place in the text.
type node struct {
	off, end int      // of the value
	keyOff   int      // of its key, within an object; else off
	keys     []string // of an object
	items    []*node  // values of an object or a list
	value    any      // map[string]any, []any, string, json.Number, bool or nil
}

// reader turns text into nodes and collects what is wrong with it.
type reader struct {
	name string
	text []byte // without comments and trailing commas, same offsets
	dec  *json.Decoder
	errs Errors
	bad  map[*node]bool // values with problems
}

// read returns the tree of a file, or nil if it is not JSON.
func (r *reader) read(b []byte) *node {
	if len(b) > maxSize {
		r.fail(0, "", fmt.Sprintf("got a file of %d bytes, want at most %d", len(b), maxSize), "")
		return nil
	}
	if bytes.HasPrefix(b, []byte("\ufeff")) { // as some editors write it
		b = append([]byte("   "), b[3:]...)
	}
	r.text = jsonc.ToJSON(b)
	if len(bytes.TrimSpace(r.text)) == 0 {
		r.fail(0, "", "got an empty file, want an object", "nncf config init writes a starter")
		return nil
	}
	if !r.parses() {
		return nil
	}
	r.bad = map[*node]bool{}
	r.dec = json.NewDecoder(bytes.NewReader(r.text))
	r.dec.UseNumber()
	n, err := r.node("", 0)
	if err != nil && err != io.EOF {
		r.fail(int(r.dec.InputOffset()), "", err.Error(), "")
		return nil
	}
	return n
}

// parses reports whether the text is JSON, and if not, why. Missing commas are
// reported and put in, so that the rest of the file is looked at too.
func (r *reader) parses() bool {
	var raw json.RawMessage
	for {
		err := json.Unmarshal(r.text, &raw)
		if err == nil {
			return true
		}
		var syntax *json.SyntaxError
		off := len(r.text)
		if errors.As(err, &syntax) {
			off = max(0, min(off, int(syntax.Offset))-1)
		}
		after := strings.HasSuffix(err.Error(), "after object key:value pair") || strings.HasSuffix(err.Error(), "after array element")
		if !after || off == 0 || off == len(r.text) || len(r.errs) >= maxErrors ||
			strings.IndexByte(" \t\r\n", r.text[off-1]) < 0 || strings.IndexByte(`"{[-0123456789tfn`, r.text[off]) < 0 {
			r.fail(off, "", err.Error(), "")
			return false
		}
		r.fail(off, "", "a comma is missing before this", "")
		r.text[off-1] = ','
	}
}

// fail records a problem at an offset.
func (r *reader) fail(off int, path, reason, suggestion string) {
	line, col := r.position(off)
	r.errs = append(r.errs, &Error{r.name, line, col, path, reason, suggestion})
}

func (r *reader) position(off int) (line, col int) {
	before := r.text[:min(max(off, 0), len(r.text))]
	return 1 + bytes.Count(before, []byte("\n")), len(before) - bytes.LastIndexByte(before, '\n')
}

// next returns the offset of the next token.
func (r *reader) next() int {
	off := int(r.dec.InputOffset())
	for off < len(r.text) && strings.IndexByte(" \t\r\n,:", r.text[off]) >= 0 {
		off++
	}
	return off
}

var errDepth = fmt.Errorf("got more than %d levels of nesting", maxDepth)

func (r *reader) node(path string, depth int) (*node, error) {
	if depth > maxDepth {
		return nil, errDepth
	}
	n := &node{off: r.next()}
	n.keyOff = n.off
	t, err := r.dec.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		err = r.object(n, path, depth)
	case json.Delim('['):
		err = r.list(n, path, depth)
	default:
		n.value = t
		n.end = int(r.dec.InputOffset())
		if num, ok := t.(json.Number); ok {
			n.value = r.number(n, path, string(num))
		}
		return n, nil
	}
	if err != nil {
		return nil, err
	}
	_, err = r.dec.Token() // the closing bracket
	n.end = int(r.dec.InputOffset())
	return n, err
}

func (r *reader) object(n *node, path string, depth int) error {
	m := map[string]any{}
	n.value = m
	for r.dec.More() {
		keyOff := r.next()
		t, err := r.dec.Token()
		if err != nil {
			return err
		}
		key := t.(string)
		child, err := r.node(join(path, key), depth+1)
		if err != nil {
			return err
		}
		child.keyOff = keyOff
		if i := slices.Index(n.keys, key); i >= 0 {
			line, _ := r.position(n.items[i].keyOff)
			r.fail(keyOff, join(path, key), "duplicate key", fmt.Sprintf("the first is in line %d", line))
			continue
		}
		n.keys, n.items = append(n.keys, key), append(n.items, child)
		m[key] = child.value
	}
	return nil
}

func (r *reader) list(n *node, path string, depth int) error {
	values := []any{}
	for r.dec.More() {
		child, err := r.node(fmt.Sprintf("%s[%d]", path, len(values)), depth+1)
		if err != nil {
			return err
		}
		n.items = append(n.items, child)
		values = append(values, child.value)
	}
	n.value = values
	return nil
}

// number checks that a number fits float64 or uint64, so that nothing behind
// this computes with millions of digits, and turns 1e3 and 2.0 into integers,
// which Go's decoder wants where the schema says integer.
func (r *reader) number(n *node, path, s string) json.Number {
	v, err := strconv.ParseFloat(s, 64)
	_, exp, _ := strings.Cut(strings.ToLower(s), "e")
	e, expErr := strconv.Atoi(exp)
	if err != nil || len(s) > maxDigits || exp != "" && (expErr != nil || e < -400) {
		r.fail(n.off, path, fmt.Sprintf("got %.40s, want a number that fits 64 bits", s), "")
		r.bad[n] = true
		return "0"
	}
	if strings.ContainsAny(s, ".eE") && v == math.Trunc(v) && math.Abs(v) < 1<<53 {
		s = strconv.FormatInt(int64(v), 10)
	}
	return json.Number(s)
}

// render writes a value as JSON for Go's decoder, without what has problems.
func (r *reader) render(b *bytes.Buffer, n *node) {
	switch v := n.value.(type) {
	case map[string]any:
		b.WriteByte('{')
		first := true
		for i, key := range n.keys {
			if r.bad[n.items[i]] {
				continue
			}
			if !first {
				b.WriteByte(',')
			}
			first = false
			quoted, _ := json.Marshal(key) // of a string: cannot fail
			b.Write(quoted)
			b.WriteByte(':')
			r.render(b, n.items[i])
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		first := true
		for _, item := range n.items {
			if r.bad[item] {
				continue
			}
			if !first {
				b.WriteByte(',')
			}
			first = false
			r.render(b, item)
		}
		b.WriteByte(']')
	case json.Number:
		b.WriteString(v.String())
	default:
		b.Write(r.text[n.off:n.end])
	}
}

// sound reports whether nothing in a value has problems.
func (r *reader) sound(n *node) bool {
	return !r.bad[n] && !slices.ContainsFunc(n.items, func(c *node) bool { return !r.sound(c) })
}

// at follows keys and indexes as far as they go and returns the node and its
// printed path.
func (n *node) at(tokens []string) (*node, string) {
	path := ""
	for _, t := range tokens {
		var child *node
		if n.keys != nil {
			if i := slices.Index(n.keys, t); i >= 0 {
				child, path = n.items[i], join(path, t)
			}
		} else if i, err := strconv.Atoi(t); err == nil && i >= 0 && i < len(n.items) {
			child, path = n.items[i], fmt.Sprintf("%s[%d]", path, i)
		}
		if child == nil {
			break
		}
		n = child
	}
	return n, path
}

// get returns the value of a key, or nil.
func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	if i := slices.Index(n.keys, key); i >= 0 {
		return n.items[i]
	}
	return nil
}

// join appends a key to a path; keys that are not words are quoted.
func join(path, key string) string {
	for _, c := range key {
		if c != '_' && c != '$' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return fmt.Sprintf("%s[%.80q]", path, key)
		}
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

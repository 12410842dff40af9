package config

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// The schema is the one place that says which keys there are, and of which
// type; the tables of docs/config.md are made from it.
//
//go:embed schema.json
var schemaText []byte

// Schema returns the JSON schema (draft-07) of configurations, for editors.
func Schema() []byte { return slices.Clone(schemaText) }

// schema is the compiled schema and its source.
type schema struct {
	compiled *jsonschema.Schema
	root     schemaNode
}

// schemaNode is an object of the schema as written.
type schemaNode map[string]any

var loadSchema = sync.OnceValue(func() schema {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemaText))
	if err != nil {
		panic(fmt.Sprintf("config: schema.json: %v", err))
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7)
	c.RegisterFormat(&jsonschema.Format{Name: "scope", Validate: checkScope})
	c.RegisterFormat(&jsonschema.Format{Name: "go-regexp", Validate: checkRegexp})
	const url = "config:schema.json"
	root := schemaNode(doc.(map[string]any))
	delete(root, "$id") // errors then name places by the address above
	if err := c.AddResource(url, doc); err != nil {
		panic(fmt.Sprintf("config: schema.json: %v", err))
	}
	return schema{c.MustCompile(url), root}
})

func checkRegexp(v any) error {
	if s, ok := v.(string); ok {
		_, err := regexp.Compile(s)
		return err
	}
	return nil
}

func checkScope(v any) error {
	if s, ok := v.(string); ok {
		if re, ok := strings.CutPrefix(s, "{re}"); ok {
			return checkRegexp(re)
		}
	}
	return nil
}

// lookup returns the schema object at the fragment of an address.
func (s schema) lookup(url string) schemaNode {
	_, fragment, _ := strings.Cut(url, "#")
	n := any(map[string]any(s.root))
	for token := range strings.SplitSeq(strings.TrimPrefix(fragment, "/"), "/") {
		if token == "" {
			continue
		}
		token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
		switch v := n.(type) {
		case map[string]any:
			n = v[token]
		case []any:
			i := 0
			if _, err := fmt.Sscan(token, &i); err != nil || i < 0 || i >= len(v) {
				return nil
			}
			n = v[i]
		}
	}
	m, _ := n.(map[string]any)
	return m
}

// resolve follows a $ref.
func (s schema) resolve(n schemaNode) schemaNode {
	for range 8 {
		ref, ok := n["$ref"].(string)
		if !ok {
			break
		}
		n = s.lookup(ref)
	}
	return n
}

// property returns the schema of a key as written, before its $ref; nil if
// there is none.
func (n schemaNode) property(key string) schemaNode {
	props, _ := n["properties"].(map[string]any)
	p, _ := props[key].(map[string]any)
	return p
}

// keys lists the properties, sorted.
func (n schemaNode) keys() []string {
	props, _ := n["properties"].(map[string]any)
	keys := make([]string, 0, len(props))
	for k := range props {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// flag reads an annotation.
func (n schemaNode) flag(name string) bool {
	b, _ := n[name].(bool)
	return b
}

// wherever lists the paths at which a key exists below a schema object, for
// keys that are in the wrong place.
func (s schema) wherever(n schemaNode, key, path string, depth int) []string {
	var found []string
	if depth > 4 {
		return nil
	}
	n = s.resolve(n)
	for _, k := range n.keys() {
		p := n.property(k)
		if k == key && path != "" {
			found = append(found, path)
		}
		found = append(found, s.wherever(p, key, join(path, k), depth+1)...)
	}
	for _, branch := range []string{"then", "else"} {
		if b, ok := n[branch].(map[string]any); ok {
			found = append(found, s.wherever(b, key, path, depth+1)...)
		}
	}
	return found
}

// display prints a value of the schema or of a file, shortened.
func display(v any) string {
	const limit = 60
	if s, ok := v.(string); ok {
		return fmt.Sprintf("%.*q", limit, s)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	if len(b) > limit {
		return string(b[:limit]) + "…"
	}
	return string(b)
}

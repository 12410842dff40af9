package config

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/compress/binarization"
	"github.com/go-nncf/nncf/compress/distillation"
	"github.com/go-nncf/nncf/compress/pruning"
	"github.com/go-nncf/nncf/compress/quantization"
	"github.com/go-nncf/nncf/compress/sparsity"
	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/internal/testkit"
	"github.com/go-nncf/nncf/zoo"
)

var update = flag.Bool("update", false, "write the tables of docs/config.md")

// The schema and the structures that are filled from it have the same keys.
func TestSchema_Structures(t *testing.T) {
	s := loadSchema()
	// Keys that are read by other means than a field of their name.
	others := map[string][]string{
		"":              {"$schema", "num_classes", "dataset_dir", "hw_config_type", "checkpoint_save_dir"},
		"preprocessing": {"normalize_coef", "rgb", "normalize", "resize"},
	}
	compare(t, s, s.root, reflect.TypeFor[Config](), "", others)
	quant := s.lookup("#/definitions/quantization")
	compare(t, s, quant, reflect.TypeFor[quantization.Options](), "quantization", map[string][]string{
		"quantization.weights": {"linked_quantizer_scopes"}, "quantization.activations": {"linked_quantizer_scopes"}})
	compare(t, s, s.lookup("#/definitions/filter_pruning"), reflect.TypeFor[pruning.Options](), "filter_pruning", nil)
	compare(t, s, s.lookup("#/definitions/magnitude_sparsity"), reflect.TypeFor[sparsity.MagnitudeOptions](), "magnitude_sparsity", nil)
	compare(t, s, s.lookup("#/definitions/knowledge_distillation"), reflect.TypeFor[distillation.Options](), "knowledge_distillation", nil)
	compare(t, s, s.lookup("#/definitions/movement_sparsity"), reflect.TypeFor[sparsity.MovementOptions](), "movement_sparsity", nil)
	compare(t, s, s.lookup("#/definitions/sparse_structure"), reflect.TypeFor[sparsity.StructureRule](), "sparse_structure", nil)
	compare(t, s, s.lookup("#/definitions/rb_sparsity"), reflect.TypeFor[sparsity.RBOptions](), "rb_sparsity", nil)
	compare(t, s, s.lookup("#/definitions/const_sparsity"), reflect.TypeFor[sparsity.ConstantOptions](), "const_sparsity", nil)
	compare(t, s, s.lookup("#/definitions/binarization"), reflect.TypeFor[binarization.Options](), "binarization", map[string][]string{
		"binarization.initializer.range": nil})
	compare(t, s, s.lookup("#/definitions/range_entry"), reflect.TypeFor[quantization.Range](), "range", nil)
	compare(t, s, s.lookup("#/definitions/scope_override"), reflect.TypeFor[quantization.Override](), "override",
		map[string][]string{"override.initializer": {"-batchnorm_adaptation"}})
}

// compare holds the properties of a schema object against the JSON tags of a
// structure, and does so for structures within. Names in others with a minus
// are fields without a key.
func compare(t *testing.T, s schema, n schemaNode, typ reflect.Type, path string, others map[string][]string) {
	t.Helper()
	n = s.resolve(n)
	fields := tags(typ)
	for _, k := range n.keys() {
		p := s.resolve(n.property(k))
		if n.property(k).flag("x-unused") || n.property(k).flag("x-later") || p.flag("x-later") || slices.Contains(others[path], k) {
			continue
		}
		if _, ok := fields[k]; !ok {
			t.Errorf("%s: schema has key %q, %v has no such field", path, k, typ)
		}
	}
	for k, f := range fields {
		p := n.property(k)
		props, _ := n["properties"].(map[string]any)
		if props[k] == nil {
			if !slices.Contains(others[path], "-"+k) {
				t.Errorf("%s: %v has field %q, the schema has no such key", path, typ, k)
			}
			continue
		}
		if p = s.resolve(p); f.Kind() == reflect.Struct && len(p.keys()) > 0 && len(tags(f)) > 0 {
			compare(t, s, p, f, join(path, k), others)
		}
	}
}

// tags returns the types of the fields by JSON name.
func tags(typ reflect.Type) map[string]reflect.Type {
	m := map[string]reflect.Type{}
	for f := range typ.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous:
			maps.Copy(m, tags(f.Type))
		case f.IsExported() && name != "" && name != "-":
			m[name] = f.Type
		}
	}
	return m
}

// Names that other packages own appear in the schema.
func TestSchema_Names(t *testing.T) {
	s := loadSchema()
	model := s.root.property("model")["description"].(string)
	for _, name := range zoo.Names() {
		if !strings.Contains(model, name) {
			t.Errorf("description of model does not name %s", name)
		}
	}
	item := schemaNode(s.lookup("#/definitions/transforms/items"))
	names := data.TransformNames()
	slices.Sort(names)
	if !slices.Equal(item.keys(), names) {
		t.Errorf("got transforms %v, want %v", item.keys(), names)
	}
	for _, f := range s.lookup("#/definitions/filter")["enum"].([]any) {
		if err := data.Filter(f.(string)).Validate(); err != nil {
			t.Error(err)
		}
	}
	for _, a := range algorithms {
		if s.lookup("#/definitions/" + a.name).flag("x-later") {
			t.Errorf("algorithm %s is built and marked x-later", a.name)
		}
	}
	for _, name := range s.lookup("#/definitions/algorithm/properties/algorithm")["enum"].([]any) {
		def := s.lookup("#/definitions/" + name.(string))
		built := slices.ContainsFunc(algorithms, func(a algorithm) bool { return a.name == name })
		if def == nil || built == def.flag("x-later") {
			t.Errorf("algorithm %s: got definition %v, built %v", name, def, built)
		}
	}
}

// The tables of docs/config.md are those of the schema; go test ./config -update
// writes them.
func TestDocs(t *testing.T) {
	file := filepath.Join(testkit.RepoRoot(), "docs", "config.md")
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := loadSchema()
	var out bytes.Buffer
	seen := map[string]bool{}
	for rest := doc; ; {
		before, after, found := bytes.Cut(rest, []byte("<!-- table "))
		out.Write(before)
		if !found {
			break
		}
		name, after, _ := bytes.Cut(after, []byte(" -->\n"))
		_, rest, found = bytes.Cut(after, []byte("<!-- end -->"))
		if !found {
			t.Fatalf("table %s has no end", name)
		}
		seen[string(name)] = true
		fmt.Fprintf(&out, "<!-- table %s -->\n%s<!-- end -->", name, table(t, s, string(name)))
	}
	for _, name := range []string{"root", "unused", "optimizer", "quantization"} {
		if !seen[name] {
			t.Errorf("docs/config.md has no table %s", name)
		}
	}
	if *update {
		if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(doc, out.Bytes()) {
		t.Error("the tables of docs/config.md are not those of the schema: go test ./config -update")
	}
}

// table renders the keys of a definition as Markdown.
func table(t *testing.T, s schema, name string) string {
	t.Helper()
	n := s.root
	if name != "root" && name != "unused" {
		n = s.lookup("#/definitions/" + name)
	}
	if n == nil {
		return "no such definition\n"
	}
	if name == "unused" {
		var keys []string
		for _, k := range n.keys() {
			if n.property(k).flag("x-unused") {
				keys = append(keys, "`"+k+"`")
			}
		}
		return strings.Join(keys, ", ") + "\n"
	}
	var b strings.Builder
	b.WriteString("| key | type | default | meaning |\n|---|---|---|---|\n")
	for _, k := range order(t, name) {
		p := n.property(k)
		r := s.resolve(p)
		if p == nil || p.flag("x-unused") {
			continue
		}
		mark, def := "", p["default"]
		if p["x-origin"] != nil || r["x-origin"] != nil {
			mark = " ᴺ"
		}
		if def == nil {
			def = r["default"]
		}
		text, _ := p["description"].(string)
		if text == "" {
			text, _ = r["description"].(string)
		}
		if p.flag("x-later") || r.flag("x-later") {
			text = strings.TrimSuffix("not supported yet; "+text, "; ")
		}
		shown := ""
		if def != nil {
			shown = strings.Trim(display(def), `"`)
		}
		fmt.Fprintf(&b, "| `%s`%s | %s | %s | %s |\n", k, mark, typeOf(s, p), shown, text)
	}
	return b.String()
}

// order lists the keys of a definition as they stand in the schema.
func order(t *testing.T, name string) []string {
	t.Helper()
	n := (&reader{name: "schema.json"}).read(schemaText)
	if name != "root" {
		n = n.get("definitions").get(name)
	}
	return n.get("properties").keys
}

func typeOf(s schema, p schemaNode) string {
	r := s.resolve(p)
	if ref, _ := p["$ref"].(string); ref == "#/definitions/scopes" {
		return "scope or list"
	}
	if list, ok := r["enum"].([]any); ok {
		var words []string
		for _, v := range list {
			words = append(words, "`"+strings.Trim(display(v), `"`)+"`")
		}
		return strings.Join(words, ", ")
	}
	one := func(t string) string {
		if items, ok := r["items"].(map[string]any); t == "array" && ok {
			return "list of " + strings.TrimPrefix(strings.TrimPrefix(typeOf(s, items), "a "), "an ")
		}
		return map[string]string{"array": "list", "boolean": "bool"}[t] + map[bool]string{true: t}[t != "array" && t != "boolean"]
	}
	switch v := r["type"].(type) {
	case string:
		return one(v)
	case []any:
		return one(fmt.Sprint(v[0])) + " or " + one(fmt.Sprint(v[1]))
	}
	if then, ok := r["then"].(map[string]any); ok {
		if then["items"] != nil {
			return "object or list"
		}
		return "string or object"
	}
	return ""
}

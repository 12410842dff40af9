package compress

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/go-nncf/nncf/ir"
)

// Scopes are the ignored and target scopes of an algorithm or of one of its
// groups. An entry names operators in one of these ways:
//
//	{re}conv[12]                     regular expression, searched in the node name, the path and the scope
//	/layer1/layer1.0/conv1/Conv      node name, or a prefix of it ending before a "/"
//	layer1.0.conv1                   path, or a prefix of it ending before a "."
//	layer1.0.conv1.weight            name of a weight or of a result
//	ResNet/Sequential[layer1]/BasicBlock[0]/Conv2d[conv1]   scope as NNCF prints it
//
// The path of a node is its name without slashes and operator, as modules are
// nested: layer1.0.conv1. Paths may leave out outer modules; a scope that begins
// with the class of the model, as ResNet above, may not. With target scopes, only
// operators that match one count, and ignored scopes have no effect.
type Scopes struct {
	Ignored Entries `json:"ignored_scopes,omitempty"`
	Target  Entries `json:"target_scopes,omitempty"`
}

// Entries is a list of scope entries. In JSON one entry may stand without the
// brackets of a list.
type Entries []string

// UnmarshalJSON implements json.Unmarshaler.
func (e *Entries) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*e = Entries{one}
		return nil
	}
	var list []string
	if err := json.Unmarshal(b, &list); err != nil {
		return fmt.Errorf("got %.40s, want a scope or a list of scopes", b)
	}
	*e = list
	return nil
}

// Considered reports whether the node is to be compressed.
func (s Scopes) Considered(n *ir.Node) bool {
	if s.Target != nil {
		return MatchAny(s.Target, n)
	}
	return !MatchAny(s.Ignored, n)
}

// Check reports every entry that is not a valid pattern or matches no node,
// with the nearest existing paths.
func (s Scopes) Check(g *ir.Graph) error {
	var errs []error
	for _, l := range []struct {
		key     string
		entries Entries
	}{{"ignored_scopes", s.Ignored}, {"target_scopes", s.Target}} {
		for _, e := range l.entries {
			if re, ok := strings.CutPrefix(e, "{re}"); ok {
				if _, err := regexp.Compile(re); err != nil {
					errs = append(errs, fmt.Errorf("%s: entry %q: %w", l.key, e, err))
					continue
				}
			}
			if !slices.ContainsFunc(g.Nodes(), func(n *ir.Node) bool { return Match(e, n) }) {
				errs = append(errs, fmt.Errorf("%s: entry %q matches no operator; nearest: %s", l.key, e, strings.Join(nearest(e, g), ", ")))
			}
		}
	}
	return errors.Join(errs...)
}

// MatchAny reports whether any entry names the node.
func MatchAny(entries Entries, n *ir.Node) bool {
	return slices.ContainsFunc(entries, func(e string) bool { return Match(e, n) })
}

// Match reports whether a scope entry names the node; see [Scopes].
func Match(entry string, n *ir.Node) bool {
	path := Path(n)
	if re, ok := strings.CutPrefix(entry, "{re}"); ok {
		r, err := regexp.Compile(anyClass.ReplaceAllString(rootClass.ReplaceAllString(re, "$1"), `\w*\[`))
		return err == nil && (r.MatchString(n.Name) || r.MatchString(path) || slices.ContainsFunc(valueNames(n), r.MatchString) ||
			slices.ContainsFunc(scopes(path, n.Op.Kind()), r.MatchString))
	}
	if entry == "" {
		return false
	}
	if strings.Contains(entry, "[") && strings.Contains(entry, "]") {
		want, kind := parseScope(entry)
		match := pathMatch
		if root, _, _ := strings.Cut(entry, "/"); !strings.Contains(root, "[") { // counted from the model's root
			match = pathPrefix
		}
		return want != "" && match(want, path) && (kind == "" || kind == opAlias(n.Op.Kind()))
	}
	if entry == n.Name || strings.HasPrefix(n.Name, strings.TrimSuffix(entry, "/")+"/") || slices.Contains(valueNames(n), entry) {
		return true
	}
	return !strings.Contains(entry, "/") && pathMatch(entry, path)
}

// pathPrefix reports whether want is all of path, or its first elements.
func pathPrefix(want, path string) bool { return path == want || strings.HasPrefix(path, want+".") }

// pathMatch reports whether want is a run of whole elements of path that
// starts anywhere and is followed by nothing or more elements.
func pathMatch(want, path string) bool {
	for {
		if pathPrefix(want, path) {
			return true
		}
		_, rest, ok := strings.Cut(path, ".")
		if !ok {
			return false
		}
		path = rest
	}
}

// Path returns the module path of a node: its name without the operator, with
// nested modules joined by dots. Names without slashes are paths as they are.
func Path(n *ir.Node) string {
	if !strings.Contains(n.Name, "/") {
		if n.Name != "" {
			return n.Name
		}
		if names := valueNames(n); len(names) > 0 {
			return names[0]
		}
		return ""
	}
	parts := strings.Split(strings.Trim(n.Name, "/"), "/")
	if len(parts) > 1 {
		parts = parts[:len(parts)-1]
	}
	path := parts[0]
	for i, p := range parts[1:] {
		if strings.HasPrefix(p, parts[i]+".") { // exporters repeat the outer module: layer1/layer1.0
			path = strings.TrimSuffix(path, parts[i]) + p
			continue
		}
		path += "." + p
	}
	return path
}

func valueNames(n *ir.Node) []string {
	var names []string
	for _, v := range n.Out {
		if v != nil {
			names = append(names, v.Name)
		}
	}
	for _, v := range n.In {
		if v != nil && v.IsStored() {
			names = append(names, v.Name)
			for _, suffix := range []string{".weight", ".bias"} {
				if s, ok := strings.CutSuffix(v.Name, suffix); ok {
					names = append(names, s)
				}
			}
		}
	}
	return names
}

var (
	scopeAttr  = regexp.MustCompile(`\[([^\[\]]*)\]`)
	scopeIndex = regexp.MustCompile(`_\d+$`)
)

// parseScope turns Root/Class[a]/Class[b]/op_0 into the path a.b and the
// operator alias op.
func parseScope(s string) (path, kind string) {
	var attrs []string
	for i, e := range strings.Split(s, "/") {
		if m := scopeAttr.FindStringSubmatch(e); m != nil {
			attrs = append(attrs, m[1])
		} else if i > 0 && e != "" {
			kind = opAlias(scopeIndex.ReplaceAllString(e, ""))
		}
	}
	return strings.Join(attrs, "."), kind
}

// anyClass is the class before an attribute in a regular expression for scopes.
// Graphs do not know classes, so any will do.
var (
	anyClass  = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*\\\[`)
	rootClass = regexp.MustCompile(`^\^?[A-Za-z_][A-Za-z0-9_]*/([A-Za-z_][A-Za-z0-9_]*\\\[)`)
)

// scopes returns what NNCF could print for a node, without classes:
// [layer1]/[0]/[conv1]/conv2d_0.
func scopes(path, kind string) []string {
	s := ""
	if path != "" {
		s = "[" + strings.ReplaceAll(path, ".", "]/[") + "]/"
	}
	out := []string{s + kind + "_0"}
	for _, name := range torchNames[kind] {
		out = append(out, s+name+"_0")
	}
	return out
}

// torchNames are the operator names in PyTorch graphs by ONNX kind.
var torchNames = map[string][]string{
	"Add":                {"__add__", "__iadd__", "__radd__", "add"},
	"AveragePool":        {"avg_pool2d", "avg_pool3d"},
	"BatchNormalization": {"batch_norm"},
	"Clip":               {"hardtanh", "clamp"},
	"Concat":             {"cat"},
	"Conv":               {"conv1d", "conv2d", "conv3d"},
	"ConvTranspose":      {"conv_transpose1d", "conv_transpose2d", "conv_transpose3d"},
	"Div":                {"__truediv__", "__idiv__", "div"},
	"Elu":                {"elu", "elu_"},
	"Flatten":            {"flatten"},
	"Gather":             {"embedding"},
	"Gelu":               {"gelu"},
	"Gemm":               {"linear", "addmm"},
	"GlobalAveragePool":  {"adaptive_avg_pool2d", "adaptive_avg_pool3d"},
	"HardSigmoid":        {"hardsigmoid"},
	"HardSwish":          {"hardswish"},
	"LayerNormalization": {"layer_norm"},
	"LeakyRelu":          {"leaky_relu"},
	"MatMul":             {"linear", "matmul", "bmm", "__matmul__"},
	"MaxPool":            {"max_pool2d", "max_pool3d"},
	"Mul":                {"__mul__", "__imul__", "__rmul__", "mul"},
	"PRelu":              {"prelu"},
	"ReduceMean":         {"mean"},
	"Relu":               {"relu", "relu_", "RELU"},
	"Reshape":            {"reshape", "view"},
	"Sigmoid":            {"sigmoid"},
	"Softmax":            {"softmax"},
	"Sub":                {"__sub__", "__isub__", "__rsub__", "sub"},
	"Tanh":               {"tanh"},
}

// opAlias folds the operator names of PyTorch graphs and ONNX kinds together.
func opAlias(s string) string {
	s = strings.ToLower(strings.Trim(s, "_"))
	switch s {
	case "conv1d", "conv2d", "conv3d":
		return "conv"
	case "conv_transpose2d", "conv_transpose3d":
		return "convtranspose"
	case "linear", "addmm":
		return "gemm"
	case "iadd", "radd":
		return "add"
	case "imul", "rmul":
		return "mul"
	case "cat":
		return "concat"
	case "batch_norm":
		return "batchnormalization"
	case "adaptive_avg_pool2d":
		return "globalaveragepool"
	case "avg_pool2d":
		return "averagepool"
	case "max_pool2d":
		return "maxpool"
	}
	return strings.ReplaceAll(s, "_", "")
}

// nearest returns up to three paths or names of g that resemble the entry.
func nearest(entry string, g *ir.Graph) []string {
	if want, _ := parseScope(entry); want != "" {
		entry = want
	}
	type cand struct {
		s string
		d int
	}
	var cands []cand
	seen := map[string]bool{}
	for _, n := range g.Nodes() {
		s := Path(n)
		if strings.Contains(entry, "/") {
			s = n.Name
		}
		if s != "" && !seen[s] {
			seen[s] = true
			cands = append(cands, cand{s, distance(entry, s)})
		}
	}
	slices.SortStableFunc(cands, func(a, b cand) int { return cmp.Compare(a.d, b.d) })
	var out []string
	for _, c := range cands[:min(3, len(cands))] {
		out = append(out, fmt.Sprintf("%q", c.s))
	}
	return out
}

// distance is the Levenshtein distance.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diag, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diag+cost)
		}
	}
	return row[len(b)]
}

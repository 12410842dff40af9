package op

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Einsum sums products of elements by Einstein's convention: each letter of
// Equation is an axis; axes that the result does not name are summed over.
// "bij,bjk->bik" is a batch of matrix products; "..." stands for axes that
// broadcast. Without "->" the result has the letters that occur once, sorted.
//
//	in  0… operands, one for each term
//	out 0 y
//
// https://onnx.ai/onnx/operators/onnx__Einsum.html
type Einsum struct{ Equation string }

var (
	_ ir.Evaluator      = Einsum{}
	_ ir.Differentiable = Einsum{}
	_ ir.Costed         = Einsum{}
	_ ir.AxisMapper     = Einsum{}
)

func (Einsum) Kind() string { return "Einsum" }

// einsumTerms are the letters of each operand and of the result. The axes of
// "..." have the labels '0', '1', … counted from the last one.
type einsumTerms struct {
	in     [][]byte
	out    []byte
	dotted bool
}

// parse resolves the equation for operands of the given ranks.
func (o Einsum) parse(ranks []int) (*einsumTerms, error) {
	lhs, rhs, explicit := strings.Cut(strings.ReplaceAll(o.Equation, " ", ""), "->")
	terms := strings.Split(lhs, ",")
	if len(terms) != len(ranks) {
		return nil, fmt.Errorf("equation %q: got %d operands, want %d", o.Equation, len(ranks), len(terms))
	}
	e := &einsumTerms{}
	dots, count := 0, [256]int{}
	for i, t := range terms {
		letters := len(strings.Replace(t, "...", "", 1))
		own := 0
		if strings.Contains(t, "...") {
			own = ranks[i] - letters
			e.dotted = true
		}
		if own < 0 || own > 9 || letters+own != ranks[i] {
			return nil, fmt.Errorf("equation %q: operand %d has rank %d", o.Equation, i, ranks[i])
		}
		dots = max(dots, own)
		labels, err := o.labels(t, own)
		if err != nil {
			return nil, err
		}
		for _, l := range labels {
			count[l]++
		}
		e.in = append(e.in, labels)
	}
	if !explicit {
		rhs = "..."
		for l := range count {
			if count[l] == 1 && l > '9' {
				rhs += string(rune(l))
			}
		}
	}
	out, err := o.labels(rhs, dots)
	if err != nil {
		return nil, err
	}
	for i, l := range out {
		if count[l] == 0 || slices.Contains(out[:i], l) {
			return nil, fmt.Errorf("equation %q: the result names %q twice, or no operand does", o.Equation, l)
		}
	}
	e.out = out
	return e, nil
}

// labels splits one term.
func (o Einsum) labels(term string, dots int) ([]byte, error) {
	var out []byte
	for i := 0; i < len(term); i++ {
		c := term[i]
		switch {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			out = append(out, c)
		case strings.HasPrefix(term[i:], "...") && !strings.Contains(term[i+3:], "..."):
			for d := dots - 1; d >= 0; d-- {
				out = append(out, byte('0'+d))
			}
			i += 2
		default:
			return nil, fmt.Errorf("equation %q: got %q, want letters and at most one ... in a term", o.Equation, term)
		}
	}
	return out, nil
}

func (o Einsum) Infer(in []*ir.Value) ([]ir.Type, error) {
	if len(in) == 0 {
		return nil, fmt.Errorf("input 0 is missing")
	}
	if err := wantInputs(in, len(in), len(in)); err != nil {
		return nil, err
	}
	if err := wantSameDType(in...); err != nil {
		return nil, err
	}
	if err := wantNumbers(in...); err != nil {
		return nil, err
	}
	types := make([]ir.Type, len(in))
	for i, v := range in {
		types[i] = v.Type
	}
	_, dims, err := o.resolve(types)
	if err != nil {
		return nil, err
	}
	return []ir.Type{{DType: in[0].Type.DType, Dims: dims}}, nil
}

// resolve parses the equation and returns the axes of the result.
func (o Einsum) resolve(types []ir.Type) (*einsumTerms, []ir.Dim, error) {
	ranks := make([]int, len(types))
	for i, t := range types {
		ranks[i] = t.Rank()
	}
	e, err := o.parse(ranks)
	if err != nil {
		return nil, nil, err
	}
	var dims [256][]ir.Dim
	for i, labels := range e.in {
		for a, l := range labels {
			if dims[l] == nil {
				dims[l] = []ir.Dim{ir.Len(1)}
			}
			d, err := ir.BroadcastDims(dims[l], []ir.Dim{types[i].Dims[a]})
			if err != nil {
				return nil, nil, fmt.Errorf("equation %q: axis %q: %w", o.Equation, l, err)
			}
			dims[l] = d
		}
	}
	out := make([]ir.Dim, len(e.out))
	for i, l := range e.out {
		out[i] = dims[l][0]
	}
	return e, out, nil
}

func (o Einsum) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if len(in) == 0 {
		return nil, fmt.Errorf("input 0 is missing")
	}
	if err := wantTensors(in, len(in)); err != nil {
		return nil, err
	}
	types := make([]ir.Type, len(in))
	for i, t := range in {
		types[i] = ir.TypeOf(t)
		if t.DType() != in[0].DType() {
			return nil, fmt.Errorf("got element types %v and %v, want the same", in[0].DType(), t.DType())
		}
	}
	e, dims, err := o.resolve(types)
	if err != nil {
		return nil, err
	}
	shape := ir.Type{Dims: dims}.MustShape()
	// The loop runs over the result's axes and then over the summed ones.
	order := slices.Clone(e.out)
	loop := shape.Clone()
	for i, labels := range e.in {
		for a, l := range labels {
			k := slices.Index(order, l)
			if k < 0 {
				order, loop = append(order, l), append(loop, 1)
				k = len(order) - 1
			}
			loop[k] = max(loop[k], in[i].Shape()[a])
		}
	}
	for i, labels := range e.in {
		for a, l := range labels {
			if in[i].Shape()[a] == 0 {
				loop[slices.Index(order, l)] = 0
			}
		}
	}
	if err := checkSize(loop); err != nil {
		return nil, fmt.Errorf("equation %q over %v: %w", o.Equation, loop, err)
	}
	pos := make([][]int, len(in))
	for i, labels := range e.in {
		st := make([]int, len(order))
		for a, s := range in[i].Shape().Strides() {
			if in[i].Shape()[a] != 1 {
				st[slices.Index(order, labels[a])] += s
			}
		}
		pos[i] = stridedPos(loop, st, 0)
	}
	d := in[0].DType()
	if d.IsInteger() {
		vals := make([][]int, len(in))
		for i, t := range in {
			vals[i], _ = t.Ints()
		}
		return one(fromInts(d, einsumLoop(pos, vals, shape.Numel()), shape...)), nil
	}
	vals, err := realsOf(in...)
	if err != nil {
		return nil, err
	}
	return one(fromFloats(d, einsumLoop(pos, vals, shape.Numel()), shape...)), nil
}

func einsumLoop[T int | float64](pos [][]int, vals [][]T, n int) []T {
	y := make([]T, n)
	if n == 0 {
		return y
	}
	each := len(pos[0]) / n
	for i := range pos[0] {
		p := T(1)
		for k := range pos {
			p *= vals[k][pos[k][i]]
		}
		y[i/each] += p
	}
	return y
}

// Grad is another Einsum per operand, with dy in its place; operands that name
// an axis twice, name one alone, or broadcast have no gradient.
func (o Einsum) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	ranks := make([]int, len(n.In))
	for i, v := range n.In {
		ranks[i] = v.Type.Rank()
	}
	e, err := o.parse(ranks)
	if err != nil {
		return nil, err
	}
	if e.dotted {
		return nil, fmt.Errorf("equation %q: no gradient through ...; write the axes as letters", o.Equation)
	}
	grads := make([]*ir.Value, len(n.In))
	for i, labels := range e.in {
		if !need[i] {
			continue
		}
		terms, in := []string{string(e.out)}, []*ir.Value{dOut[0]}
		for k, other := range e.in {
			if k != i {
				terms, in = append(terms, string(other)), append(in, n.In[k])
			}
		}
		lhs := strings.Join(terms, ",")
		for a, l := range labels {
			if slices.Contains(labels[:a], l) || !strings.ContainsRune(lhs, rune(l)) {
				return nil, fmt.Errorf("equation %q: no gradient for operand %d, which alone or twice names %q", o.Equation, i, l)
			}
		}
		grads[i] = b.Op(Einsum{lhs + "->" + string(labels)}, n.Name+"/grad", in...)
		if b.Err() == nil && !grads[i].Type.Equal(n.In[i].Type) {
			return nil, fmt.Errorf("equation %q: no gradient for operand %d, which broadcasts", o.Equation, i)
		}
	}
	return grads, nil
}

func (o Einsum) Cost(n *ir.Node) ir.Cost {
	types := make([]ir.Type, len(n.In))
	for i, v := range n.In {
		types[i] = v.Type
	}
	e, _, err := o.resolve(types)
	if err != nil {
		return ir.Cost{}
	}
	size := [256]int64{}
	for i, labels := range e.in {
		for a, l := range labels {
			size[l] = max(size[l], int64(types[i].MustShape()[a]))
		}
	}
	macs := int64(1)
	for _, s := range size {
		macs *= max(1, s)
	}
	return ir.Cost{MACs: macs}
}

// MapAxes implements [ir.AxisMapper].
func (o Einsum) MapAxes(n *ir.Node, m ir.AxisMap) {
	ranks := make([]int, len(n.In))
	for i, v := range n.In {
		ranks[i] = v.Type.Rank()
	}
	e, err := o.parse(ranks)
	if err != nil {
		return
	}
	seen := map[byte]follow{}
	for a, l := range e.out {
		seen[l] = follow{n.Out[0], a}
	}
	for i, v := range n.In {
		for a, l := range e.in[i] {
			f, ok := seen[l]
			if !ok {
				seen[l] = follow{v, a}
				continue
			}
			tieAxes(m, f.v, f.axis, v, a)
			if f.v != n.Out[0] {
				fixSums(m, f.v, f.axis, v, a)
			}
		}
	}
}

func decodeEinsum(d *Decoder) ir.Op { return Einsum{d.Str("equation", "")} }

func encodeEinsum(e *Encoder) {
	e.MinOpset(12)
	e.Set("equation", e.Node.Op.(Einsum).Equation)
}

package pass

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// batchKey is the metadata entry of a graph from [FreeBatch]: the batch that the
// file had.
const batchKey = "nncf.batch"

// FreeBatch returns a copy of a graph whose inputs have a fixed batch, the first
// axis of length n in all of them, that takes any: the axis becomes a symbol. It
// follows the axis through the graph. Shapes that spell it out are made to
// compute it, what has one entry for all samples, such as a class token, is
// repeated.
//
// A shape can hide where the batch goes, as where an axis of length 1 joins
// others. Then the choice counts with which all later shapes are right. What
// cannot be followed is an error that names the node. That samples do not meet on
// the way is for the caller to check, with data. [RestoreBatch] undoes all this.
func FreeBatch(g *ir.Graph, t *rewrite.Trace) (*ir.Graph, error) {
	n, err := fixedBatch(g)
	if err != nil {
		return nil, err
	}
	var first error
	f := batchFreer{n: n, symbol: newSymbol(g)}
	for range min(maxChoices, 1+maxNodes/max(1, len(g.Nodes()))) {
		free, err := f.try(g.Clone(), t)
		if err == nil {
			return free, nil
		}
		if first == nil {
			first = err
		}
		if !f.otherwise() {
			break
		}
	}
	return nil, first
}

// Bounds on how often [FreeBatch] starts over, and on the nodes that it visits. A
// merged axis of attention takes one or two more tries for each layer.
const (
	maxChoices = 1000
	maxNodes   = 2_000_000
)

// RestoreBatch returns a graph from [FreeBatch] with the batch that it had
// before, and any other graph as it is.
func RestoreBatch(g *ir.Graph) (*ir.Graph, error) {
	text, ok := g.Meta.Props[batchKey]
	if !ok {
		return g, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return nil, fmt.Errorf("metadata %q: got %q, want the length of the batch", batchKey, text)
	}
	shapes, _ := g.SampleShapes()
	for _, v := range g.Inputs {
		s, ok := shapes[v.Name]
		if !ok {
			return nil, fmt.Errorf("input %q is %v: only the batch may be open", v.Name, v.Type)
		}
		if len(s) > 0 {
			s[0] = n
		}
	}
	if g, err = g.Specialize(shapes); err != nil {
		return nil, err
	}
	g.Meta.Props = maps.Clone(g.Meta.Props)
	delete(g.Meta.Props, batchKey)
	return g, nil
}

// fixedBatch returns the known first axis that all inputs have in common.
func fixedBatch(g *ir.Graph) (int, error) {
	batch := 0
	for _, v := range g.Inputs {
		if v.Type.Rank() == 0 {
			return 0, fmt.Errorf("input %q is %v: it has no batch axis", v.Name, v.Type)
		}
		for i, d := range v.Type.Dims {
			switch n, known := d.Known(); {
			case !known:
				return 0, fmt.Errorf("input %q is %v: its axis %d is open already", v.Name, v.Type, i)
			case i > 0:
			case n == 0 || batch != 0 && n != batch:
				return 0, fmt.Errorf("input %q is %v: want the same batch of 1 or more in all inputs", v.Name, v.Type)
			default:
				batch = n
			}
		}
	}
	if batch == 0 {
		return 0, errors.New("the graph has no inputs")
	}
	return batch, nil
}

// newSymbol returns a symbol that no type of g uses.
func newSymbol(g *ir.Graph) string {
	used := map[string]bool{}
	for _, n := range g.Nodes() {
		for _, v := range n.Out {
			if v != nil {
				for _, d := range v.Type.Dims {
					used[d.Sym] = true
				}
			}
		}
	}
	s := "N"
	for used[s] {
		s += "_"
	}
	return s
}

// batchFreer follows the batch axis through a graph, node by node.
type batchFreer struct {
	n      int // the batch that was
	symbol string

	// Where shapes leave a choice, in order: which is taken, and of how many.
	taken, choices []int
	met            int // of them so far

	was   map[*ir.Value]ir.Type // types with the batch that was
	lead  map[*ir.Value]int     // elements of the axis that change less often than the batch, unless 1
	patch *rewrite.Patch
}

// otherwise turns to the next combination of choices; false if there is none.
func (f *batchFreer) otherwise() bool {
	for len(f.taken) > 0 {
		last := len(f.taken) - 1
		if f.taken[last]++; f.taken[last] < f.choices[last] {
			return true
		}
		f.taken, f.choices = f.taken[:last], f.choices[:last]
	}
	return false
}

// choose returns which of n the present combination takes, the first one where
// it says nothing.
func (f *batchFreer) choose(n int) int {
	if f.met == len(f.taken) {
		f.taken, f.choices = append(f.taken, 0), append(f.choices, n)
	}
	f.met++
	return f.taken[f.met-1]
}

// try frees the batch of g with the present choices.
func (f *batchFreer) try(g *ir.Graph, t *rewrite.Trace) (*ir.Graph, error) {
	f.met, f.patch = 0, rewrite.New(g, "free-batch", t)
	f.was, f.lead = map[*ir.Value]ir.Type{}, map[*ir.Value]int{}
	nodes := slices.Clone(g.Nodes())
	for _, x := range nodes {
		for _, v := range x.Out {
			if v != nil {
				f.was[v] = v.Type
			}
		}
	}
	for _, v := range g.Inputs {
		v.Type.Dims = slices.Clone(v.Type.Dims)
		v.Type.Dims[0] = ir.Symbol(f.symbol)
	}
	for _, x := range nodes {
		if err := f.follow(x); err != nil {
			return nil, x.Wrap("free batch", err)
		}
	}
	for _, v := range g.Outputs {
		if f.axis(v) != 0 || v.Type.Dims[0].N != 1 {
			return nil, fmt.Errorf("output %q is %v: want the batch first", v.Name, v.Type)
		}
	}
	if err := f.patch.Commit(); err != nil {
		return nil, err
	}
	g.Meta.Props = maps.Clone(g.Meta.Props)
	if g.Meta.Props == nil {
		g.Meta.Props = map[string]string{}
	}
	g.Meta.Props[batchKey] = strconv.Itoa(f.n)
	return g, g.Infer()
}

// axis returns the axis of v that counts samples, alone or as a factor; -1 if it
// has none.
func (f *batchFreer) axis(v *ir.Value) int {
	if v == nil {
		return -1
	}
	return slices.IndexFunc(v.Type.Dims, func(d ir.Dim) bool { return d.Sym == f.symbol })
}

// follow adapts what node x reads and infers the types of its results, which
// must be those of before but for the batch.
func (f *batchFreer) follow(x *ir.Node) error {
	var err error
	lead := 1
	for _, v := range x.In {
		lead = max(lead, f.lead[v])
	}
	switch o := x.Op.(type) {
	case op.Reshape:
		lead, err = f.reshape(x)
	case op.Expand:
		err = f.expand(x)
	case op.Resize:
		err = f.resize(x)
	case op.Concat:
		err = f.concat(x)
	case op.Add, op.Sub, op.Mul, op.Div, op.Pow, op.Min, op.Max, op.Where:
		f.broadcast(x)
	case op.Cell:
		err = f.states(x, o)
	}
	if err != nil {
		return err
	}
	types, err := x.Op.Infer(x.In)
	if err != nil {
		return err
	}
	for i, v := range x.Out {
		if v == nil {
			continue
		}
		v.Type = types[i]
		if was := f.was[v]; !f.same(was, v.Type) {
			return fmt.Errorf("%s was %v, with a free batch it is %v", v.Name, was, v.Type)
		}
		switch a := f.axis(v); {
		case a >= 0 && v.Type.Dims[a].N > 1:
			f.lead[v] = lead
		case a < 0 && v.Type.DType.IsFloat() && slices.ContainsFunc(x.In, func(u *ir.Value) bool { return f.axis(u) >= 0 }):
			return fmt.Errorf("%s is %v, which leaves the batch out", v.Name, v.Type)
		}
	}
	return nil
}

// same reports whether a type is was, once the batch is n again.
func (f *batchFreer) same(was, is ir.Type) bool {
	if was.Rank() != is.Rank() {
		return false
	}
	for i, d := range is.Dims {
		if d.Sym == f.symbol {
			d = ir.Len(d.N * f.n)
		}
		if !d.Equal(was.Dims[i]) && was.Dims[i].Sym != ir.UnknownSym {
			return false
		}
	}
	return true
}

// reshape leaves the axis that holds the batch to be computed, and returns how
// many elements of it come before the batch. Elements keep their order in memory,
// so the batch has as many before it as in the input.
func (f *batchFreer) reshape(x *ir.Node) (lead int, err error) {
	b := f.axis(x.In[0])
	out, ok := f.was[x.Out[0]].Shape()
	if b < 0 || !ok {
		return 1, nil
	}
	before := max(1, f.lead[x.In[0]])
	for _, d := range x.In[0].Type.Dims[:b] {
		before *= d.N
	}
	var axes []int // that may hold the batch
	count := 1     // of elements before axis i
	for i, n := range out {
		if count > 0 && before%count == 0 && n%(before/count*f.n) == 0 && n > 0 {
			axes = append(axes, i)
		}
		count *= n
	}
	if len(axes) == 0 {
		return 0, fmt.Errorf("cannot tell where in %v the batch of %v is", out, x.In[0].Type)
	}
	// An axis of its own is likelier than a part of a long one.
	slices.SortStableFunc(axes, func(i, j int) int { return cmp.Compare(out[i], out[j]) })
	a := axes[0]
	if len(axes) > 1 {
		a = axes[f.choose(len(axes))]
	}
	target := slices.Clone(out)
	target[a] = -1
	f.patch.Note("%s: axis %d of %v counts samples", x.Label(), a, out)
	f.patch.SetInput(x, 1, f.patch.B.ConstInts(x.Label()+"/shape", target...))
	return before / tensor.Shape(out[:a]).Numel(), nil
}

// expand stretches no axis that counts samples.
func (f *batchFreer) expand(x *ir.Node) error {
	b := f.axis(x.In[0])
	shape, ok := x.In[1].ConstInts()
	if b < 0 || !ok {
		return nil
	}
	shape = slices.Clone(shape)
	if b += len(shape) - x.In[0].Type.Rank(); b >= 0 && shape[b] != 1 {
		shape[b] = 1
		f.patch.SetInput(x, 1, f.patch.B.ConstInts(x.Label()+"/shape", shape...))
	}
	return nil
}

// resize takes sizes with the batch of what is resized.
func (f *batchFreer) resize(x *ir.Node) error {
	b := f.axis(x.In[0])
	sizes, ok := x.Input(3).ConstInts()
	if b < 0 || !ok || len(sizes) != x.In[0].Type.Rank() {
		return nil
	}
	f.patch.SetInput(x, 3, f.shape(x.Label()+"/sizes", x.In[0], b, sizes, b))
	return nil
}

// concat repeats what has one entry for all samples beside what has one each.
func (f *batchFreer) concat(x *ir.Node) error {
	k := slices.IndexFunc(x.In, func(v *ir.Value) bool { return f.axis(v) >= 0 })
	if k < 0 {
		return nil
	}
	for i, v := range x.In {
		if f.axis(v) < 0 {
			w, err := f.repeat(x, v, f.axis(x.In[k]), x.In[k])
			if err != nil {
				return err
			}
			f.patch.SetInput(x, i, w)
		}
	}
	return nil
}

// broadcast lets what has an equal entry for each of a fixed number of samples
// have one for all of them.
func (f *batchFreer) broadcast(x *ir.Node) {
	k := slices.IndexFunc(x.In, func(v *ir.Value) bool { return f.axis(v) >= 0 })
	if k < 0 || f.n == 1 {
		return
	}
	behind := x.In[k].Type.Rank() - f.axis(x.In[k]) // axes from the batch on
	for i, v := range x.In {
		if a := v.Type.Rank() - behind; f.axis(v) < 0 && a >= 0 && v.Type.Dims[a] == ir.Len(f.n) {
			f.patch.SetInput(x, i, f.first(v, a))
		}
	}
}

// first returns the first of the entries of v on an axis.
func (f *batchFreer) first(v *ir.Value, axis int) *ir.Value {
	if d := v.Def; d != nil && d.Op.Kind() == (op.Expand{}).Kind() {
		if w := d.In[0]; w.Type.Rank() == v.Type.Rank() && w.Type.Dims[axis].IsOne() {
			return w
		}
	}
	return op.SliceAxis(f.patch.B, v.Name+"/first", v, axis, 0, 1)
}

// states repeats the first states of a recurrent cell for each sample.
func (f *batchFreer) states(x *ir.Node, o op.Cell) error {
	b := f.axis(x.In[0])
	if b < 0 {
		return nil
	}
	if x.Input(4) != nil {
		return errors.New("it has lengths of sequences for a fixed batch")
	}
	for i := 5; i < min(7, len(x.In)); i++ { // h, and c of an LSTM; then peepholes
		if v := x.In[i]; v != nil && f.axis(v) < 0 {
			axis := 1
			if o.Shared().BatchFirst {
				axis = 0
			}
			w, err := f.repeat(x, v, axis, x.In[0])
			if err != nil {
				return err
			}
			f.patch.SetInput(x, i, w)
		}
	}
	return nil
}

// repeat returns v, the same for all samples, once for each sample of like along
// one axis.
func (f *batchFreer) repeat(x *ir.Node, v *ir.Value, axis int, like *ir.Value) (*ir.Value, error) {
	if axis < v.Type.Rank() && f.n > 1 && v.Type.Dims[axis] == ir.Len(f.n) {
		v = f.first(v, axis)
	}
	shape, ok := v.Type.Shape()
	if !ok || axis >= len(shape) || shape[axis] != 1 {
		return nil, fmt.Errorf("%s is %v and does not depend on the input: want one entry on axis %d", v.Name, v.Type, axis)
	}
	f.patch.Note("%s is repeated for each sample", v.Name)
	return f.patch.B.Op(op.Expand{}, v.Name+"/samples", v, f.shape(x.Label()+"/shape", like, f.axis(like), shape, axis)), nil
}

// shape computes dims with the length that axis b of v has, the batch, at axis.
func (f *batchFreer) shape(name string, v *ir.Value, b int, dims []int, axis int) *ir.Value {
	c := f.patch.B
	end := b + 1
	parts := []*ir.Value{c.Op(op.Shape{Start: b, End: &end}, name+"/batch", v)}
	if axis > 0 {
		parts = slices.Insert(parts, 0, c.ConstInts(name+"/before", dims[:axis]...))
	}
	if axis+1 < len(dims) {
		parts = append(parts, c.ConstInts(name+"/behind", dims[axis+1:]...))
	}
	return c.Op(op.Concat{}, name, parts...)
}

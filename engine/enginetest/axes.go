package enginetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/go-nncf/nncf/channel"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// RunAxes checks what operators say about their axes ([ir.AxisMapper],
// [ir.AxisCutter]) with the cases of [Run]: whenever entries that are tied are
// taken away from all operands, the operator that CutAxes returns gives the old
// result without the tied entries. Where entries are summed over, and so are tied
// to no result, those of the last operand are zero before.
func RunAxes(t *testing.T) {
	t.Helper()
	// Drawn by the place of an element; a gradient, which is not pruned.
	without := []string{"Dropout", "RBMask", "ResizeGrad"}
	checked := map[string]int{}
	kinds := map[string]bool{}
	for i, c := range cases(3) {
		m, ok := c.op.(ir.AxisMapper)
		if !ok || slices.Contains(without, m.Kind()) {
			continue
		}
		kinds[m.Kind()] = true
		t.Run(fmt.Sprintf("%s/%d", m.Kind(), i), func(t *testing.T) { checked[m.Kind()] += c.checkAxes(t) })
	}
	for _, d := range op.All() {
		if _, cuts := d.Op.(ir.AxisCutter); cuts && kinds[d.Kind()] && checked[d.Kind()] == 0 {
			t.Errorf("%s: no case takes anything away", d.Kind())
		}
	}
}

// entry is one entry along an axis of a value.
type entry struct {
	v    *ir.Value
	a, i int
}

// ties is an [ir.AxisMap] that collects sets of entries.
type ties struct {
	set   map[entry]int
	sets  [][]entry
	fixed map[int]bool
}

func (s *ties) of(e entry) int {
	k, ok := s.set[e]
	if !ok {
		k = len(s.sets)
		s.set[e] = k
		s.sets = append(s.sets, []entry{e})
	}
	return k
}

func (s *ties) Tie(v *ir.Value, a, i int, w *ir.Value, b, j int) {
	x, y := s.of(entry{v, a, i}), s.of(entry{w, b, j})
	if x == y {
		return
	}
	for _, e := range s.sets[y] {
		s.set[e] = x
	}
	s.sets[x] = append(s.sets[x], s.sets[y]...)
	s.sets[y] = nil
	s.fixed[x] = s.fixed[x] || s.fixed[y]
}

func (s *ties) Fix(v *ir.Value, a int, _ string) {
	n, _ := v.Type.Dims[a].Known()
	for i := range n {
		s.fixed[s.of(entry{v, a, i})] = true
	}
}

func (s *ties) Fixed(v *ir.Value, a int) bool {
	n, _ := v.Type.Dims[a].Known()
	for i := range n {
		if k, ok := s.set[entry{v, a, i}]; ok && s.fixed[k] {
			return true
		}
	}
	return false
}

// checkAxes takes some sets of entries away, one at a time, and returns how many
// could be.
func (c testCase) checkAxes(t *testing.T) int {
	g := c.graph(t, false)
	n := g.Outputs[0].Def
	if n == nil {
		return 0
	}
	r := rand.New(rand.NewPCG(5, 6))
	in := make([]*tensor.Tensor, len(n.In))
	for i, o := range c.in {
		switch {
		case o.none:
		case o.data != nil:
			in[i] = o.data
		default:
			in[i] = tensor.New(o.dtype, o.shape...)
			o.fill(in[i], r)
		}
	}
	s := &ties{set: map[entry]int{}, fixed: map[int]bool{}}
	n.Op.(ir.AxisMapper).MapAxes(n, s)
	done := 0
	for _, k := range r.Perm(len(s.sets)) {
		if len(s.sets[k]) < 2 || s.fixed[k] || done == 6 {
			continue
		}
		if c.without(t, g, n, in, s.sets[k]) {
			done++
		}
	}
	return done
}

// without takes one set away and compares. It reports false if nothing would be
// left of an axis.
func (c testCase) without(t *testing.T, g *ir.Graph, n *ir.Node, in []*tensor.Tensor, set []entry) bool {
	kept := func(v *ir.Value, a int) []int {
		var list []int
		length, _ := v.Type.Dims[a].Known()
		for i := range length {
			if !slices.Contains(set, entry{v, a, i}) {
				list = append(list, i)
			}
		}
		if len(list) == length {
			return nil
		}
		return slices.Clip(append([]int{}, list...))
	}
	summed := true
	for _, e := range set {
		if k := kept(e.v, e.a); len(k) == 0 {
			return false
		}
		summed = summed && !slices.Contains(n.Out, e.v)
	}
	cut := func(x *tensor.Tensor, v *ir.Value) *tensor.Tensor {
		for a := range v.Type.Rank() {
			k := kept(v, a)
			if k == nil {
				continue
			}
			y, err := channel.Select(x, a, k)
			if err != nil {
				t.Skip(err)
			}
			x = y
		}
		return x
	}
	full := slices.Clone(in)
	if summed {
		for i := len(n.In) - 1; i >= 0; i-- {
			if v := n.In[i]; v != nil && slices.ContainsFunc(set, func(e entry) bool { return e.v == v }) {
				full[i] = in[i].Clone()
				zero(full[i], v, set)
				break
			}
		}
	}
	want, err := n.Op.(ir.Evaluator).Eval(full)
	if err != nil {
		t.Fatal(err)
	}
	o, values := n.Op, n.In
	if k, ok := n.Op.(ir.AxisCutter); ok {
		b := ir.NewBuilder(g, "")
		if o, values = k.CutAxes(b, n, kept); b.Err() != nil {
			t.Fatal(b.Err())
		}
	}
	less := make([]*tensor.Tensor, len(values))
	for i, v := range values {
		switch {
		case v == nil:
		case i < len(n.In) && v == n.In[i]:
			less[i] = cut(full[i], v)
		default:
			less[i] = v.Data
		}
	}
	got, err := o.(ir.Evaluator).Eval(less)
	if err != nil {
		t.Fatalf("%+v without %d entries: %v", o, len(set), err)
	}
	for i, v := range n.Out {
		if v == nil || i >= len(got) || got[i] == nil {
			continue
		}
		w := cut(want[i], v)
		if !w.Shape().Equal(got[i].Shape()) {
			t.Fatalf("%+v: output %d: got %v, want %v", o, i, got[i], w)
		}
		if err := differ(got[i], w); err != nil {
			t.Errorf("%+v without %v of axis %d: output %d: %v", o, set[0].i, set[0].a, i, err)
		}
	}
	return true
}

// zero clears the entries of a set in a tensor of float32.
func zero(x *tensor.Tensor, v *ir.Value, set []entry) {
	if x.DType() != tensor.Float32 {
		return
	}
	s := x.Shape()
	for _, e := range set {
		if e.v != v {
			continue
		}
		inner := tensor.Shape(s[e.a+1:]).Numel()
		for k := range x.F32() {
			if k/inner%s[e.a] == e.i {
				x.F32()[k] = 0
			}
		}
	}
}

package op

import (
	"fmt"
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// inferBroadcast is the inference of operators on any number of broadcast
// operands of one element type.
func inferBroadcast(in []*ir.Value) ([]ir.Type, error) {
	if err := wantSameDType(in...); err != nil {
		return nil, err
	}
	dims, err := broadcastTypes(in)
	if err != nil {
		return nil, err
	}
	return []ir.Type{{DType: in[0].Type.DType, Dims: dims}}, nil
}

func broadcastTypes(in []*ir.Value) ([]ir.Dim, error) {
	lists := make([][]ir.Dim, len(in))
	for i, v := range in {
		if v == nil {
			return nil, fmt.Errorf("input %d is missing", i)
		}
		lists[i] = v.Type.Dims
	}
	return ir.BroadcastDims(lists...)
}

// sumTo undoes a broadcast: it sums g over the axes along which a value of
// type t was repeated, so that the result has the axes of t. It is the
// gradient of every broadcast operand.
func sumTo(b *ir.Builder, name string, g *ir.Value, t ir.Type) *ir.Value {
	if g == nil || b.Err() != nil {
		return g
	}
	gs, ts := g.Type.MustShape(), t.MustShape()
	if gs.Equal(ts) {
		return g
	}
	off := len(gs) - len(ts)
	var axes []int
	for i, n := range gs {
		if i < off || ts[i-off] == 1 && n != 1 {
			axes = append(axes, i)
		}
	}
	if len(axes) > 0 {
		g = b.Op(ReduceSum{}, name, g, b.ConstInts(name+"/axes", axes...))
	}
	if b.Err() == nil && !g.Type.MustShape().Equal(ts) {
		g = b.Op(Reshape{AllowZero: true}, name, g, b.ConstInts(name+"/shape", ts...))
	}
	return g
}

// expandTo broadcasts g to the axes of t.
func expandTo(b *ir.Builder, name string, g *ir.Value, t ir.Type) *ir.Value {
	if g == nil || b.Err() != nil || g.Type.MustShape().Equal(t.MustShape()) {
		return g
	}
	return b.Op(Expand{}, name, g, b.ConstInts(name+"/shape", t.MustShape()...))
}

// reshapeTo gives g the axes of t.
func reshapeTo(b *ir.Builder, name string, g *ir.Value, t ir.Type) *ir.Value {
	if g == nil || b.Err() != nil || g.Type.MustShape().Equal(t.MustShape()) {
		return g
	}
	return b.Op(Reshape{AllowZero: true}, name, g, b.ConstInts(name+"/shape", t.MustShape()...))
}

// calculable reports whether lengths are computed in elements of this type.
// Narrower ones would wrap.
func calculable(d tensor.DType) bool { return d == tensor.Int64 || d == tensor.Int32 }

// wrapped is the result d of a computation in elements of type t, unknown if
// it does not fit.
func wrapped(t tensor.DType, d ir.Dim) ir.Dim {
	if t == tensor.Int32 && (d.N > math.MaxInt32 || d.N < math.MinInt32) {
		return ir.Unknown()
	}
	return d
}

// zipDims applies f to the known contents of two broadcast integer operands.
func zipDims(in []*ir.Value, f func(a, b ir.Dim) ir.Dim) ([]ir.Dim, bool) {
	if len(in) != 2 || !calculable(in[0].Type.DType) {
		return nil, false
	}
	a, ok := in[0].ConstDims()
	if !ok {
		return nil, false
	}
	b, ok := in[1].ConstDims()
	if !ok || in[0].Type.Rank() > 1 || in[1].Type.Rank() > 1 {
		return nil, false
	}
	n := max(len(a), len(b))
	if len(a) == 0 || len(b) == 0 {
		n = 0
	}
	if len(a) != n && len(a) != 1 || len(b) != n && len(b) != 1 {
		return nil, n == 0
	}
	out := make([]ir.Dim, n)
	for i := range out {
		out[i] = wrapped(in[0].Type.DType, f(a[min(i, len(a)-1)], b[min(i, len(b)-1)]))
	}
	return out, true
}

// mapDims applies f to the known content of an integer value.
func mapDims(v *ir.Value, f func(ir.Dim) ir.Dim) ([]ir.Dim, bool) {
	d, ok := v.ConstDims()
	if !ok || !calculable(v.Type.DType) || v.Type.Rank() > 1 {
		return nil, false
	}
	out := make([]ir.Dim, len(d))
	for i, e := range d {
		out[i] = wrapped(v.Type.DType, f(e))
	}
	return out, true
}

// addDims returns a + s·b for s = ±1, as far as symbols allow.
func addDims(a, b ir.Dim, s int) ir.Dim {
	switch {
	case b.Sym == "" && b.N == 0:
		return a
	case a.Sym == b.Sym && a.Sym != ir.UnknownSym:
		if n := a.N + s*b.N; n != 0 {
			return ir.Dim{Sym: a.Sym, N: n}
		}
		return ir.Len(0)
	case a.Sym == "" && a.N == 0 && b.Sym != ir.UnknownSym:
		return ir.Dim{Sym: b.Sym, N: s * b.N}
	}
	return ir.Unknown()
}

// decodeBinary is the Decode of binary operators without attributes. Before
// opset 7 they broadcast only on demand, and may say at which axis of the
// first operand the second one begins; the constants that do so get the axes
// that they lack.
func decodeBinary(o ir.Op) func(*Decoder) ir.Op {
	return func(d *Decoder) ir.Op {
		if d.Opset >= 7 {
			return o
		}
		d.Ignore("consumed_inputs")
		broadcast, axis := d.Bool("broadcast", false), d.Int("axis", -1)
		a, b := d.Input(0), d.Input(1)
		if !broadcast || !d.Has("axis") || a == nil || b == nil {
			return o
		}
		if axis < 0 {
			axis += a.Type.Rank()
		}
		missing := a.Type.Rank() - axis - b.Type.Rank()
		switch {
		case axis < 0 || missing < 0:
			d.Errorf("axis: got %d for operands %v and %v", axis, a.Type, b.Type)
		case missing == 0:
		case b.Kind != ir.Constant:
			d.Errorf("axis: the operand that broadcasts is not constant")
		default:
			shape := b.Data.Shape().Clone()
			for range missing {
				shape = append(shape, 1)
			}
			d.SetIn(1, d.Const(b.Name, b.Data.Reshape(shape...)))
		}
		return o
	}
}

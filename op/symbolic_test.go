package op_test

import (
	"math"
	"testing"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// symbols build small graphs over x [N 3 H 8] and ids [N S], whose symbols
// must come out where they belong.
func TestSymbols(t *testing.T) {
	sym, l := ir.Symbol, ir.Len
	type builder = func(b *ir.Builder, x, ids *ir.Value) *ir.Value
	ints := func(b *ir.Builder, v ...int) *ir.Value { return b.ConstInts("c", v...) }
	dim := func(b *ir.Builder, x *ir.Value, axis int) *ir.Value { // as exporters write x.size(axis)
		d := b.Op(op.Gather{}, "", b.Op(op.Shape{}, "", x), b.Const("i", tensor.Scalar(int64(axis))))
		return b.Op(op.Unsqueeze{}, "", d, b.ConstInts("axes", 0))
	}
	fs := func(b *ir.Builder, v ...float32) *ir.Value { return b.Const("f", f32([]int{len(v)}, v...)) }
	for _, c := range []struct {
		name string
		make builder
		want string
	}{
		{"broadcast", func(b *ir.Builder, x, _ *ir.Value) *ir.Value { return b.Op(op.Add{}, "", x, fs(b, 1)) }, "float32[N 3 H 8]"},
		{"flatten", func(b *ir.Builder, x, _ *ir.Value) *ir.Value { return b.Op(op.Flatten{Axis: 1}, "", x) }, "float32[N 24*H]"},
		{"reshape keeps two symbols", func(b *ir.Builder, x, _ *ir.Value) *ir.Value { return b.Op(op.Reshape{}, "", x, ints(b, 0, -1, 0, 4)) }, "float32[N 6 H 4]"},
		{"reshape to batch", func(b *ir.Builder, x, _ *ir.Value) *ir.Value { return b.Op(op.Reshape{}, "", x, ints(b, -1, 3, 0, 8)) }, "float32[N 3 H 8]"},
		{"reshape by symbols", func(b *ir.Builder, x, _ *ir.Value) *ir.Value {
			s := b.Op(op.Concat{}, "", dim(b, x, 0), ints(b, -1), dim(b, x, 2))
			return b.Op(op.Reshape{}, "", x, s)
		}, "float32[N 24 H]"},
		{"reshape by a product", func(b *ir.Builder, x, _ *ir.Value) *ir.Value {
			s := b.Op(op.Concat{}, "", b.Op(op.Mul{}, "", dim(b, x, 0), ints(b, 3)), dim(b, x, 2), ints(b, 8))
			return b.Op(op.Reshape{}, "", x, s)
		}, "float32[3*N H 8]"},
		{"reshape infers the unknown entry", func(b *ir.Builder, x, _ *ir.Value) *ir.Value {
			u := b.Op(op.Div{}, "", b.Op(op.Mul{}, "", dim(b, x, 0), dim(b, x, 2)), dim(b, x, 2)) // N, but inference does not see it
			return b.Op(op.Reshape{}, "", x, b.Op(op.Concat{}, "", u, ints(b, 3), dim(b, x, 2), ints(b, 8)))
		}, "float32[N 3 H 8]"},
		{"transpose", func(b *ir.Builder, x, _ *ir.Value) *ir.Value {
			return b.Op(op.Transpose{Perm: []int{0, 2, 3, 1}}, "", x)
		}, "float32[N H 8 3]"},
		{"concat", func(b *ir.Builder, x, _ *ir.Value) *ir.Value { return b.Op(op.Concat{Axis: 1}, "", x, x) }, "float32[N 6 H 8]"},
		{"concat of symbols", func(b *ir.Builder, x, _ *ir.Value) *ir.Value { return b.Op(op.Concat{Axis: 2}, "", x, x) }, "float32[N 3 2*H 8]"},
		{"split", func(b *ir.Builder, x, _ *ir.Value) *ir.Value {
			return b.Multi(op.Split{Axis: 1}, "", 2, x, ints(b, 1, 2))[1]
		}, "float32[N 2 H 8]"},
		{"slice", func(b *ir.Builder, x, _ *ir.Value) *ir.Value {
			return b.Op(op.Slice{}, "", x, ints(b, 0, -2), ints(b, 1<<62, 1<<62), ints(b, 0, 3))
		}, "float32[N 3 H 2]"},
		{"slice to a symbol", func(b *ir.Builder, x, ids *ir.Value) *ir.Value {
			table := b.Const("table", tensor.New(tensor.Float32, 1, 512))
			return b.Op(op.Slice{}, "", table, ints(b, 0), dim(b, ids, 1), ints(b, 1))
		}, "float32[1 S]"},
		{"gather", func(b *ir.Builder, _, ids *ir.Value) *ir.Value {
			return b.Op(op.Gather{}, "", b.Const("table", tensor.New(tensor.Float32, 100, 16)), ids)
		}, "float32[N S 16]"},
		{"reduce", func(b *ir.Builder, x, _ *ir.Value) *ir.Value { return b.Op(op.ReduceMean{}, "", x, ints(b, 2, 3)) }, "float32[N 3]"},
		{"arg max", func(b *ir.Builder, x, _ *ir.Value) *ir.Value { return b.Op(op.ArgMax{Axis: 1}, "", x) }, "int64[N H 8]"},
		{"squeeze", func(b *ir.Builder, x, _ *ir.Value) *ir.Value {
			return b.Op(op.Squeeze{}, "", b.Op(op.ReduceMax{KeepDims: true}, "", x, ints(b, 2, 3)), ints(b, 2, 3))
		}, "float32[N 3]"},
		{"expand by where", func(b *ir.Builder, x, ids *ir.Value) *ir.Value { // torch's expand(size(0), -1, …)
			s := b.Op(op.Concat{}, "", dim(b, ids, 0), ints(b, -1), dim(b, ids, 1))
			s = b.Op(op.Reshape{}, "", s, ints(b, -1))
			ones := b.Op(op.ConstantOfShape{DType: tensor.Int64, Int: 1}, "", b.Op(op.Shape{}, "", s))
			minus := b.Op(op.Mul{}, "", ones, b.Const("m", tensor.Scalar[int64](-1)))
			s = b.Op(op.Where{}, "", b.Op(op.Equal{}, "", s, minus), ones, s)
			return b.Op(op.Expand{}, "", b.Const("c", tensor.New(tensor.Float32, 1, 7, 1)), s)
		}, "float32[N 7 S]"},
		{"constant of shape", func(b *ir.Builder, x, ids *ir.Value) *ir.Value {
			return b.Op(op.ConstantOfShape{}, "", b.Op(op.Shape{}, "", ids))
		}, "float32[N S]"},
		{"range", func(b *ir.Builder, _, ids *ir.Value) *ir.Value {
			n := b.Op(op.Gather{}, "", b.Op(op.Shape{}, "", ids), b.Const("i", tensor.Scalar[int64](1)))
			return b.Op(op.Range{}, "", b.Const("zero", tensor.Scalar[int64](0)), n, b.Const("one", tensor.Scalar[int64](1)))
		}, "int64[S]"},
		{"resize", func(b *ir.Builder, x, _ *ir.Value) *ir.Value { return b.Op(op.Resize{}, "", x, nil, fs(b, 1, 1, 2, 2)) }, "float32[N 3 2*H 16]"},
		{"resize to a size", func(b *ir.Builder, x, _ *ir.Value) *ir.Value {
			s := b.Op(op.Concat{}, "", b.Op(op.Slice{}, "", b.Op(op.Shape{}, "", x), ints(b, 0), ints(b, 2)), ints(b, 10, 10))
			return b.Op(op.Resize{Mode: "linear"}, "", x, nil, nil, s)
		}, "float32[N 3 10 10]"},
		{"pad", func(b *ir.Builder, x, _ *ir.Value) *ir.Value {
			return b.Op(op.Pad{}, "", x, ints(b, 0, 0, 0, 1, 0, 0, 0, 1))
		}, "float32[N 3 H 10]"},
		{"pad as torch writes it", func(b *ir.Builder, x, _ *ir.Value) *ir.Value { // pads last axis first, reversed by a detour over a matrix
			w := b.Op(op.Mod{}, "", b.Op(op.Sub{}, "", ints(b, 13), dim(b, x, 3)), ints(b, 7))
			p := b.Op(op.Concat{}, "", ints(b, 0), w, ints(b, 1, 2))
			rest := b.Op(op.ConstantOfShape{DType: tensor.Int64}, "", ints(b, 4))
			p = b.Op(op.Reshape{}, "", b.Op(op.Concat{}, "", p, rest), ints(b, -1, 2))
			p = b.Op(op.Slice{}, "", p, ints(b, -1), ints(b, math.MinInt64+1), ints(b, 0), ints(b, -1))
			p = b.Op(op.Reshape{}, "", b.Op(op.Transpose{Perm: []int{1, 0}}, "", p), ints(b, -1))
			return b.Op(op.Pad{}, "", b.Op(op.Reshape{}, "", x, ints(b, 0, 3, -1, 8)), b.Op(op.Cast{To: tensor.Int64}, "", p))
		}, "float32[N 3 ? 13]"},
		{"tile", func(b *ir.Builder, x, _ *ir.Value) *ir.Value { return b.Op(op.Tile{}, "", x, ints(b, 2, 1, 1, 1)) }, "float32[2*N 3 H 8]"},
		{"depth to space", func(b *ir.Builder, x, _ *ir.Value) *ir.Value { return b.Op(op.SpaceToDepth{BlockSize: 1}, "", x) }, "float32[N 3 H 8]"},
		{"cast through int32", func(b *ir.Builder, x, _ *ir.Value) *ir.Value {
			s := b.Op(op.Cast{To: tensor.Int64}, "", b.Op(op.Cast{To: tensor.Int32}, "", b.Op(op.Shape{End: new(1)}, "", x)))
			return b.Op(op.Reshape{}, "", x, b.Op(op.Concat{}, "", s, ints(b, -1)))
		}, "float32[N 24*H]"},
		{"size", func(b *ir.Builder, _, ids *ir.Value) *ir.Value {
			n := b.Op(op.Unsqueeze{}, "", b.Op(op.ReduceProd{}, "", b.Op(op.Slice{}, "", b.Op(op.Shape{}, "", ids), ints(b, 1), ints(b, 2))), ints(b, 0))
			return b.Op(op.Reshape{}, "", ids, b.Op(op.Concat{}, "", ints(b, -1), n))
		}, "int64[N S]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := ir.New("test")
			b := ir.NewBuilder(g, "")
			x := g.AddInput("x", ir.Type{DType: tensor.Float32, Dims: []ir.Dim{sym("N"), l(3), sym("H"), l(8)}})
			ids := g.AddInput("ids", ir.Type{DType: tensor.Int64, Dims: []ir.Dim{sym("N"), sym("S")}})
			y := c.make(b, x, ids)
			if b.Err() != nil {
				t.Fatal(b.Err())
			}
			if got := y.Type.String(); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

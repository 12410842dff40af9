package op_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// evil are integers that files should not contain, among harmless ones.
var evil = []int64{0, 1, 2, 3, -1, -2, -3, 5, 1 << 33, math.MaxInt64, math.MinInt64, math.MinInt64 + 1, math.MaxInt32, math.MinInt32, -1 << 40}

// Inputs of wrong types, ranks, lengths and values are errors: no operator
// panics, and none allocates what a hostile length asks for. Operators see
// such inputs as constants while types are inferred, and as data later.
func TestHostile_Forms(t *testing.T) {
	const rounds = 100
	rng := rand.New(rand.NewPCG(3, 4))
	cases := formCases()
	for _, o := range []ir.Op{op.Add{}, op.Sub{}, op.Mul{}, op.Div{}, op.Mod{}, op.Min{}, op.Max{}, op.Reshape{}, op.Squeeze{}, op.Identity{}, op.Tile{},
		op.Concat{}, op.Gather{}, op.Split{NumOutputs: 2}, op.Expand{}, op.Cast{To: tensor.Int32}, op.Range{}, op.Slice{}} {
		cases = append(cases, formCase{name: o.Kind() + " of integers", op: o, in: ts{i64(4, 2, -6), i64(3), i64(2)}},
			formCase{name: o.Kind() + " of bytes", op: o, in: ts{tensor.From([]uint8{200, 2, 3}, 3), tensor.From([]uint8{100}, 1)}},
			formCase{name: o.Kind() + " of scalars", op: o, in: ts{tensor.Scalar[int64](7), tensor.Scalar[int64](2), tensor.Scalar[int64](1)}})
	}
	cases = append(cases, formCase{name: "where of integers", op: op.Where{}, in: ts{tensor.From([]bool{true, false}, 2), i64(1, 2), i64(7)}},
		formCase{name: "reduce integers", op: op.ReduceProd{}, in: ts{i64(3, 4)}}, formCase{name: "reduce integers", op: op.ReduceSum{KeepDims: true}, in: ts{i64(3, 4), i64(0)}},
		formCase{name: "reduce integers", op: op.ReduceMax{}, in: ts{i64(3, 4)}})
	for _, c := range cases {
		for range rounds {
			in := distort(rng, c.in)
			for _, constant := range []bool{true, false} {
				if msg := tryBoth(c.op, in, constant); msg != "" {
					t.Fatalf("%s %s%+v with %s: %s", c.name, c.op.Kind(), c.op, describe(in), msg)
				}
			}
		}
	}
}

// distort changes some of the tensors.
func distort(rng *rand.Rand, in ts) ts {
	out := append(ts(nil), in...)
	for i, x := range out {
		switch rng.IntN(6) {
		case 0:
			out[i] = nil
		case 1: // other values
			if x != nil && x.DType() == tensor.Int64 {
				x = x.Clone()
				for k := range x.I64() {
					if rng.IntN(2) == 0 {
						x.I64()[k] = evil[rng.IntN(len(evil))]
					}
				}
				out[i] = x
			}
			if x != nil && x.DType() == tensor.Float32 {
				x = x.Clone()
				for k := range x.F32() {
					if rng.IntN(3) == 0 {
						x.F32()[k] = float32(math.Inf(1 - 2*rng.IntN(2)))
					}
				}
				out[i] = x
			}
		case 2: // another shape
			if x != nil {
				out[i] = tensor.New(x.DType(), smallShape(rng)...)
			}
		case 3: // everything else
			d := []tensor.DType{tensor.Float32, tensor.Int64, tensor.Bool, tensor.Uint8, tensor.Float64, tensor.Int4, tensor.Float16, tensor.String, tensor.Uint64}
			out[i] = tensor.New(d[rng.IntN(len(d))], smallShape(rng)...)
		}
	}
	if len(out) > 0 && rng.IntN(20) == 0 {
		out = out[:len(out)-1]
	}
	return out
}

func smallShape(rng *rand.Rand) []int {
	s := make([]int, rng.IntN(5))
	for i := range s {
		s[i] = rng.IntN(4)
	}
	return s
}

// tryBoth infers and evaluates; the result describes a panic or a disagreement.
func tryBoth(o ir.Op, in ts, constant bool) (msg string) {
	defer func() {
		if r := recover(); r != nil {
			msg = fmt.Sprintf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	g := ir.New("hostile")
	vals := make([]*ir.Value, len(in))
	for i, x := range in {
		switch {
		case x == nil:
		case constant:
			vals[i] = g.AddStored(ir.Constant, "c", x)
		default:
			vals[i] = g.AddInput(fmt.Sprint("x", i), ir.TypeOf(x))
		}
	}
	types, err := o.Infer(vals)
	var content []ir.Dim
	if d, ok := o.(ir.DimsEvaluator); ok && err == nil && types[0].DType.IsInteger() && types[0].Rank() <= 1 {
		if dims, ok := d.EvalDims(vals); ok {
			content = dims
		}
	}
	if err != nil {
		return ""
	}
	for _, typ := range types {
		for _, d := range typ.Dims {
			if n, known := d.Known(); known && n < 0 {
				return "" // the graph refuses it
			}
		}
	}
	out, err := o.(ir.Evaluator).Eval(in)
	if err != nil {
		return ""
	}
	for i, y := range out {
		ok := y != nil && i < len(types) && y.DType() == types[i].DType && y.Rank() == types[i].Rank()
		for a := 0; ok && a < y.Rank(); a++ {
			ok = types[i].Dims[a].MayEqual(ir.Len(y.Shape()[a]))
		}
		if !ok {
			return fmt.Sprintf("output %d: inferred %v, evaluated %v", i, types[i], y)
		}
	}
	if content != nil {
		got, err := out[0].Ints()
		ok := err == nil && len(got) == len(content)
		for i := 0; ok && i < len(got); i++ {
			ok = content[i].MayEqual(ir.Len(got[i]))
		}
		if !ok {
			return fmt.Sprintf("inferred elements %v, evaluated %v", content, got)
		}
	}
	return ""
}

func describe(in ts) string {
	var s strings.Builder
	for _, x := range in {
		if x == nil {
			s.WriteString(" -")
			continue
		}
		s.WriteString(" " + x.String())
		if x.DType() == tensor.Int64 {
			s.WriteString(fmt.Sprint(x.I64()))
		}
	}
	return s.String()
}

// A result that no memory holds is an error.
func TestHostile_Size(t *testing.T) {
	big := i64(1<<20, 1<<20)
	for _, c := range []evalCase{
		{name: "expand", op: op.Expand{}, in: ts{f32(nil, 1), big}},
		{name: "constant of shape", op: op.ConstantOfShape{}, in: ts{big}},
		{name: "tile", op: op.Tile{}, in: ts{f32([]int{1, 1}, 1), big}},
		{name: "pad", op: op.Pad{}, in: ts{f32([]int{1, 1}, 1), i64(1<<20, 1<<20, 0, 0)}},
		{name: "range", op: op.Range{}, in: ts{tensor.Scalar[int64](0), tensor.Scalar[int64](1 << 40), tensor.Scalar[int64](1)}},
		{name: "resize", op: op.Resize{}, in: ts{f32([]int{1, 1}, 1), nil, nil, big}},
		{name: "one hot", op: op.OneHot{}, in: ts{i64(1), i64(1 << 40), f32([]int{2}, 0, 1)}},
		{name: "broadcast", op: op.Add{}, in: ts{tensor.New(tensor.Int8, 1<<16, 1), tensor.New(tensor.Int8, 1, 1<<16)}},
	} {
		if _, err := c.op.(ir.Evaluator).Eval(c.in); err == nil {
			t.Errorf("%s: got no error", c.name)
		}
	}
}

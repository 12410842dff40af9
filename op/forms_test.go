package op_test

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/internal/testkit/gradcheck"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// formCase is an operator that files from opset `since` on can express (0: all
// that we write). The first input is a model input, the others are constants.
type formCase struct {
	name    string
	op      ir.Op
	in      ts
	outputs int
	since   int
	until   int // the last opset that can express it, if there is one
	gap     int // the first opset that cannot, of those below since, if older ones can
}

func formCases() []formCase {
	rnd, n := gradcheck.Rand, gradcheck.Ints
	x, fs := rnd(1, 2, 3, 4), func(v ...float32) *tensor.Tensor { return f32([]int{len(v)}, v...) }
	img := rnd(2, 1, 4, 4, 6)
	yes := tensor.From([]bool{true, false, true, true}, 4)
	bytes := tensor.From([]uint8{1, 2, 3, 4}, 4)
	cases := []formCase{
		{name: "add", op: op.Add{}, in: ts{x, rnd(2, 4)}},
		{name: "sub", op: op.Sub{}, in: ts{x, rnd(2, 4)}},
		{name: "mul", op: op.Mul{}, in: ts{x, rnd(2, 4)}},
		{name: "div", op: op.Div{}, in: ts{x, rnd(2, 4)}},
		{name: "pow", op: op.Pow{}, in: ts{x, f32(nil, 2)}},
		{name: "pow integer exponent", op: op.Pow{}, in: ts{x, tensor.Scalar[int64](2)}, since: 12},
		{name: "mod", op: op.Mod{Fmod: true}, in: ts{x, rnd(2, 4)}, since: 10},
		{name: "min", op: op.Min{}, in: ts{x, rnd(2, 2, 3, 4)}},
		{name: "max broadcast", op: op.Max{}, in: ts{x, rnd(2, 4)}, since: 8},
		{name: "sum", op: op.Sum{}, in: ts{x, x, x}},
		{name: "mean", op: op.Mean{}, in: ts{x, x}},
		{name: "relu", op: op.Relu{}, in: ts{x}},
		{name: "clip", op: op.Clip{}, in: ts{x, f32(nil, -0.5), f32(nil, 0.5)}},
		{name: "clip above", op: op.Clip{}, in: ts{x, nil, f32(nil, 0.5)}},
		{name: "clip integers", op: op.Clip{}, in: ts{i64(1, 5, 9), nil, tensor.Scalar[int64](6)}, since: 12},
		{name: "leaky relu", op: op.LeakyRelu{Alpha: 0.3}, in: ts{x}},
		{name: "prelu", op: op.PRelu{}, in: ts{x, rnd(3, 4)}},
		{name: "elu", op: op.Elu{Alpha: 0.5}, in: ts{x}},
		{name: "selu", op: op.Selu{Alpha: 1.5, Gamma: 2}, in: ts{x}},
		{name: "celu", op: op.Celu{Alpha: 1.5}, in: ts{x}, since: 12},
		{name: "thresholded relu", op: op.ThresholdedRelu{Alpha: 0.4}, in: ts{x}, since: 10},
		{name: "shrink", op: op.Shrink{Bias: 0.1, Lambda: 0.3}, in: ts{x}, since: 9},
		{name: "hard sigmoid", op: op.HardSigmoid{Alpha: 1. / 6, Beta: 0.5}, in: ts{x}},
		{name: "hard swish", op: op.HardSwish{}, in: ts{x}, since: 14},
		{name: "gelu", op: op.Gelu{}, in: ts{x}, since: 20},
		{name: "gelu tanh", op: op.Gelu{Tanh: true}, in: ts{x}, since: 20},
		{name: "swish", op: op.Swish{Alpha: 1.5}, in: ts{x}, since: 24},
		{name: "mish", op: op.Mish{}, in: ts{x}, since: 18},
		{name: "where", op: op.Where{}, in: ts{yes, fs(1), fs(2)}, since: 9},
		{name: "bit shift", op: op.BitShift{Right: true}, in: ts{bytes, bytes}, since: 11},
		{name: "is inf", op: op.IsInf{NoNegative: true}, in: ts{x}, since: 10},
		{name: "arg max", op: op.ArgMax{Axis: -1}, in: ts{x}},
		{name: "arg min last", op: op.ArgMin{Axis: 1, KeepDims: true, SelectLastIndex: true}, in: ts{x}, since: 12},
		{name: "top k", op: op.TopK{Axis: -1}, in: ts{x, n(2)}, outputs: 2},
		{name: "top k smallest", op: op.TopK{Axis: 1, Smallest: true}, in: ts{x, n(2)}, outputs: 2, since: 11},
		{name: "cum sum", op: op.CumSum{Exclusive: true, Reverse: true}, in: ts{x, tensor.Scalar[int64](1)}, since: 11},

		{name: "identity", op: op.Identity{}, in: ts{x}},
		{name: "cast", op: op.Cast{To: tensor.Int32}, in: ts{x}},
		{name: "cast like", op: op.CastLike{}, in: ts{x, i64(1)}, since: 15},
		{name: "shape", op: op.Shape{}, in: ts{x}},
		{name: "shape range", op: op.Shape{Start: 1, End: new(-1)}, in: ts{x}, since: 15},
		{name: "size", op: op.Size{}, in: ts{x}},
		{name: "constant of shape", op: op.ConstantOfShape{DType: tensor.Int64, Int: 1 << 60}, in: ts{n(2, 3)}, since: 9},
		{name: "constant of shape infinite", op: op.ConstantOfShape{Float: op.Real(math.Inf(-1))}, in: ts{n(2, 3)}, since: 9},
		{name: "reshape", op: op.Reshape{}, in: ts{x, n(0, -1)}},
		{name: "reshape zero", op: op.Reshape{AllowZero: true}, in: ts{tensor.New(tensor.Float32, 0, 3), n(3, 0)}, since: 14},
		{name: "flatten", op: op.Flatten{Axis: -1}, in: ts{x}},
		{name: "squeeze", op: op.Squeeze{}, in: ts{rnd(1, 2, 1, 3), n(-2)}},
		{name: "squeeze all", op: op.Squeeze{}, in: ts{rnd(1, 2, 1, 3)}},
		{name: "unsqueeze", op: op.Unsqueeze{}, in: ts{x, n(0, -1)}},
		{name: "transpose", op: op.Transpose{Perm: []int{2, 0, 1}}, in: ts{x}},
		{name: "transpose reversed", op: op.Transpose{}, in: ts{x}},
		{name: "concat", op: op.Concat{Axis: -1}, in: ts{x, rnd(2, 2, 3, 1)}},
		{name: "split sizes", op: op.Split{Axis: -1}, in: ts{x, n(1, 3)}, outputs: 2},
		{name: "split evenly", op: op.Split{Axis: 2, NumOutputs: 2}, in: ts{x}, outputs: 2},
		{name: "split unevenly", op: op.Split{Axis: 2, NumOutputs: 3}, in: ts{x}, outputs: 3, since: 18, gap: 13},
		{name: "slice", op: op.Slice{}, in: ts{x, n(1, -2), n(1<<60, -1), n(-2, 2)}},
		{name: "slice steps", op: op.Slice{}, in: ts{x, n(-1), n(-9), n(2), n(-2)}, since: 10},
		{name: "pad", op: op.Pad{}, in: ts{x, n(0, 0, 1, 0, 2, 0), f32(nil, 3)}},
		{name: "pad reflect", op: op.Pad{Mode: "reflect"}, in: ts{x, n(0, 0, 1, 0, 2, 0)}},
		{name: "pad axes", op: op.Pad{Mode: "edge"}, in: ts{x, n(1, 2), nil, n(-1)}, since: 18, gap: 11},
		{name: "pad wrap", op: op.Pad{Mode: "wrap"}, in: ts{x, n(0, 0, 1, 0, 2, 0)}, since: 19},
		{name: "gather", op: op.Gather{Axis: -1}, in: ts{x, n(0, -1)}},
		{name: "gather elements", op: op.GatherElements{Axis: -1}, in: ts{x, tensor.New(tensor.Int64, 2, 3, 1)}, since: 11},
		{name: "gather nd", op: op.GatherND{}, in: ts{x, tensor.From([]int64{1, 2}, 1, 2)}, since: 11},
		{name: "gather nd batch", op: op.GatherND{BatchDims: 1}, in: ts{x, tensor.From([]int64{1, 2}, 2, 1)}, since: 12},
		{name: "scatter elements", op: op.ScatterElements{Axis: -1}, in: ts{x, tensor.New(tensor.Int64, 2, 3, 1), rnd(3, 2, 3, 1)}, since: 9},
		{name: "scatter elements add", op: op.ScatterElements{Axis: 2, Reduction: "add"}, in: ts{x, tensor.New(tensor.Int64, 2, 3, 1), rnd(3, 2, 3, 1)}, since: 16},
		{name: "scatter nd", op: op.ScatterND{}, in: ts{x, tensor.From([]int64{1, 2}, 1, 2), rnd(3, 1, 4)}, since: 11},
		{name: "scatter nd max", op: op.ScatterND{Reduction: "max"}, in: ts{x, tensor.From([]int64{1, 2}, 1, 2), rnd(3, 1, 4)}, since: 18},
		{name: "expand", op: op.Expand{}, in: ts{x, n(2, 1, 1, 1)}, since: 8},
		{name: "tile", op: op.Tile{}, in: ts{x, n(2, 1, 1)}},
		{name: "resize upsample", op: op.Resize{Coordinate: "asymmetric", Nearest: "floor"}, in: ts{img, nil, fs(1, 1, 2, 2)}},
		{name: "resize upsample linear", op: op.Resize{Mode: "linear", Coordinate: "asymmetric"}, in: ts{img, nil, fs(1, 1, 2, 2)}},
		{name: "resize half pixel", op: op.Resize{Mode: "linear"}, in: ts{img, nil, fs(1, 1, 2, 2)}, since: 11},
		{name: "resize sizes", op: op.Resize{Mode: "cubic", CubicA: -0.5, ExcludeOutside: true}, in: ts{img, nil, nil, n(1, 4, 3, 3)}, since: 11},
		{name: "resize crop", op: op.Resize{Mode: "linear", Coordinate: "tf_crop_and_resize", Extrapolation: 2}, in: ts{img, fs(0, 0, -1, 0, 1, 1, 1, 2), nil, n(1, 4, 3, 3)}, since: 11},
		{name: "resize antialias", op: op.Resize{Mode: "linear", Antialias: true, Axes: []int{2, 3}, Aspect: "not_larger"}, in: ts{img, nil, nil, n(3, 3)}, since: 18},
		{name: "resize symmetric", op: op.Resize{Mode: "linear", Coordinate: "half_pixel_symmetric"}, in: ts{img, nil, fs(1, 1, 0.6, 0.6)}, since: 19},
		{name: "resize tf", op: op.Resize{Coordinate: "tf_half_pixel_for_nn"}, in: ts{img, nil, fs(1, 1, 0.6, 0.6)}, since: 11, until: 17},
		{name: "depth to space", op: op.DepthToSpace{BlockSize: 2}, in: ts{img}},
		{name: "depth to space crd", op: op.DepthToSpace{BlockSize: 2, CRD: true}, in: ts{img}, since: 11},
		{name: "space to depth", op: op.SpaceToDepth{BlockSize: 2}, in: ts{img}},
		{name: "range", op: op.Range{}, in: ts{f32(nil, 1), f32(nil, 4), f32(nil, 0.5)}, since: 11},
		{name: "eye like", op: op.EyeLike{K: 1, DType: tensor.Int64}, in: ts{rnd(1, 3, 3)}, since: 9},
		{name: "one hot", op: op.OneHot{Axis: 0}, in: ts{i64(1, 0, -1), i64(3), fs(0, 5)}, since: 9},
		{name: "non zero", op: op.NonZero{}, in: ts{x}, since: 9},
		{name: "trilu", op: op.Trilu{Lower: true}, in: ts{x, tensor.Scalar[int64](1)}, since: 14},
		{name: "reverse sequence", op: op.ReverseSequence{TimeAxis: 1}, in: ts{x, n(2, 3)}, since: 10},
		{name: "compress", op: op.Compress{Axis: new(-1)}, in: ts{x, yes}, since: 9},
		{name: "compress flat", op: op.Compress{}, in: ts{x, yes}, since: 9},
		{name: "grid sample", op: op.GridSample{Mode: "cubic", Padding: "border", AlignCorners: true}, in: ts{img, gradcheck.Uniform(1, -1, 1, 1, 2, 3, 2)}, since: 16},
		{name: "grid sample 3d", op: op.GridSample{}, in: ts{rnd(1, 1, 2, 3, 3, 3), gradcheck.Uniform(1, -1, 1, 1, 2, 2, 1, 3)}, since: 20},
	}
	pos := gradcheck.Uniform(4, 1.1, 2, 3, 4)
	for _, u := range []struct {
		since int
		ops   []ir.Op
	}{
		{0, []ir.Op{op.Neg{}, op.Abs{}, op.Reciprocal{}, op.Exp{}, op.Log{}, op.Sqrt{}, op.Floor{}, op.Ceil{}, op.Sin{}, op.Cos{}, op.Tan{}, op.Atan{},
			op.Softplus{}, op.Softsign{}, op.Sigmoid{}, op.Tanh{}}},
		{9, []ir.Op{op.Sign{}, op.Erf{}, op.Sinh{}, op.Cosh{}, op.Asinh{}, op.Acosh{}, op.IsNaN{}}},
		{11, []ir.Op{op.Round{}}},
	} {
		for _, o := range u.ops {
			cases = append(cases, formCase{name: o.Kind(), op: o, in: ts{pos}, since: u.since})
		}
	}
	small := gradcheck.Uniform(5, -0.9, 0.9, 4)
	cases = append(cases, formCase{name: "Asin", op: op.Asin{}, in: ts{small}}, formCase{name: "Acos", op: op.Acos{}, in: ts{small}},
		formCase{name: "Atanh", op: op.Atanh{}, in: ts{small}, since: 9})
	for _, o := range []ir.Op{op.Equal{}, op.Less{}, op.Greater{}} {
		cases = append(cases, formCase{name: o.Kind(), op: o, in: ts{x, rnd(2, 4)}})
	}
	for _, o := range []ir.Op{op.LessOrEqual{}, op.GreaterOrEqual{}} {
		cases = append(cases, formCase{name: o.Kind(), op: o, in: ts{x, rnd(2, 4)}, since: 12})
	}
	cases = append(cases, formCase{name: "Not", op: op.Not{}, in: ts{yes}}, formCase{name: "BitwiseNot", op: op.BitwiseNot{}, in: ts{bytes}, since: 18})
	for _, o := range []ir.Op{op.And{}, op.Or{}, op.Xor{}} {
		cases = append(cases, formCase{name: o.Kind(), op: o, in: ts{yes, yes}})
	}
	for _, o := range []ir.Op{op.BitwiseAnd{}, op.BitwiseOr{}, op.BitwiseXor{}} {
		cases = append(cases, formCase{name: o.Kind(), op: o, in: ts{bytes, bytes}, since: 18})
	}
	for _, r := range []struct {
		drop, noop ir.Op
		since      int
	}{
		{op.ReduceSum{}, op.ReduceSum{NoopWithEmptyAxes: true, KeepDims: true}, 13},
		{op.ReduceMean{}, op.ReduceMean{NoopWithEmptyAxes: true, KeepDims: true}, 18},
		{op.ReduceMax{}, op.ReduceMax{NoopWithEmptyAxes: true, KeepDims: true}, 18},
		{op.ReduceMin{}, op.ReduceMin{NoopWithEmptyAxes: true, KeepDims: true}, 18},
		{op.ReduceProd{}, op.ReduceProd{NoopWithEmptyAxes: true, KeepDims: true}, 18},
		{op.ReduceL1{}, op.ReduceL1{NoopWithEmptyAxes: true, KeepDims: true}, 18},
		{op.ReduceL2{}, op.ReduceL2{NoopWithEmptyAxes: true, KeepDims: true}, 18},
		{op.ReduceSumSquare{}, op.ReduceSumSquare{NoopWithEmptyAxes: true, KeepDims: true}, 18},
		{op.ReduceLogSum{}, op.ReduceLogSum{NoopWithEmptyAxes: true, KeepDims: true}, 18},
		{op.ReduceLogSumExp{}, op.ReduceLogSumExp{NoopWithEmptyAxes: true, KeepDims: true}, 18},
	} {
		cases = append(cases, formCase{name: r.drop.Kind(), op: r.drop, in: ts{pos, n(-1)}},
			formCase{name: r.drop.Kind() + " all", op: r.drop, in: ts{pos}},
			formCase{name: r.drop.Kind() + " noop", op: r.noop, in: ts{pos}, since: r.since},
			formCase{name: r.drop.Kind() + " noop with axes", op: r.noop, in: ts{pos, n(0)}})
	}
	return cases
}

// Every operator can be written at each opset that has it, reads back as an
// operator with the same results, and is refused at opsets that lack it.
func TestForms(t *testing.T) {
	for _, c := range formCases() {
		t.Run(c.name, func(t *testing.T) {
			g := ir.New("test")
			b := ir.NewBuilder(g, "")
			in := make([]*ir.Value, len(c.in))
			for i, x := range c.in {
				switch {
				case x == nil:
				case i == 0:
					in[i] = g.AddInput("x", ir.TypeOf(x))
				default:
					in[i] = b.Const("c", x)
				}
			}
			out := b.Multi(c.op, "y", max(1, c.outputs), in...)
			if b.Err() != nil {
				t.Fatal(b.Err())
			}
			want, err := c.op.(ir.Evaluator).Eval(c.in)
			if err != nil {
				t.Fatal(err)
			}
			for _, opset := range []int{7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25} {
				got, err := viaFile(out[0].Def, c.in[0], opset)
				lacks := opset >= c.gap && opset < c.since || c.until > 0 && opset > c.until
				switch {
				case lacks && err == nil:
					t.Errorf("opset %d: written, want a refusal", opset)
				case !lacks && err != nil:
					t.Errorf("opset %d: %v", opset, err)
				case err == nil:
					for i, w := range want {
						if i < len(got) && !got[i].Equal(w) {
							t.Errorf("opset %d: output %d changed", opset, i)
						}
					}
				}
			}
		})
	}
}

// viaFile encodes a node for an opset, decodes it again and evaluates it with
// x as its model input.
func viaFile(n *ir.Node, x *tensor.Tensor, opset int) ([]*tensor.Tensor, error) {
	def, ok := op.Of(n.Op)
	if !ok {
		return nil, fmt.Errorf("%s is not in the table", n.Op.Kind())
	}
	e := &op.Encoder{Node: n, Opset: opset, OpType: n.Op.Kind(), Domain: def.Domain, In: slices.Clone(n.In)}
	if def.Encode != nil {
		def.Encode(e)
	}
	if err := e.Err(); err != nil {
		return nil, err
	}
	def, ok = op.Lookup(e.Domain, e.OpType)
	if !ok || def.Since > opset {
		return nil, fmt.Errorf("%s is not known at opset %d", e.OpType, opset)
	}
	d := op.NewDecoder(e.OpType, opset, e.Attrs)
	d.In, d.NumOut = e.In, len(n.Out)
	d.NewConst = func(name string, t *tensor.Tensor) *ir.Value {
		return &ir.Value{Name: name, Kind: ir.Constant, Type: ir.TypeOf(t), Data: t}
	}
	o := def.Decode(d)
	if err := d.Finish(); err != nil {
		return nil, fmt.Errorf("reading back: %w", err)
	}
	types, err := o.Infer(d.In)
	if err != nil {
		return nil, fmt.Errorf("reading back: %w", err)
	}
	if len(types) < len(n.Out) || !types[0].Equal(n.Out[0].Type) && !strings.Contains(n.Out[0].Type.String(), "?") {
		return nil, fmt.Errorf("reading back: type %v, want %v", types, n.Out[0].Type)
	}
	args := make([]*tensor.Tensor, len(d.In))
	for i, v := range d.In {
		switch {
		case v == nil:
		case v.Kind == ir.Constant:
			args[i] = v.Data
		default:
			args[i] = x
		}
	}
	return o.(ir.Evaluator).Eval(args)
}

// Before opset 7 the second operand may begin at any axis of the first.
func TestForms_Broadcast(t *testing.T) {
	for _, c := range []struct {
		name  string
		attrs []op.Attr
		b     []int
		want  string
	}{
		{"none", nil, []int{2, 3, 4}, "[2 3 4]"},
		{"suffix", []op.Attr{{Name: "broadcast", Value: int64(1)}}, []int{3, 4}, "[3 4]"},
		{"axis", []op.Attr{{Name: "axis", Value: int64(1)}, {Name: "broadcast", Value: int64(1)}}, []int{3}, "[3 1]"},
		{"negative axis", []op.Attr{{Name: "axis", Value: int64(-3)}, {Name: "broadcast", Value: int64(1)}}, []int{2, 3}, "[2 3 1]"},
		{"too far", []op.Attr{{Name: "axis", Value: int64(2)}, {Name: "broadcast", Value: int64(1)}}, []int{3, 4}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := ir.New("test")
			d := op.NewDecoder("Add", 6, c.attrs)
			d.In = []*ir.Value{g.AddInput("x", ir.MakeType(tensor.Float32, 2, 3, 4)), g.AddStored(ir.Constant, "b", tensor.New(tensor.Float32, c.b...))}
			d.NewConst = func(name string, x *tensor.Tensor) *ir.Value { return g.AddStored(ir.Constant, name, x) }
			def, _ := op.Lookup("", "Add")
			o := def.Decode(d)
			err := d.Finish()
			if c.want == "" {
				if err == nil {
					t.Error("got no error")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := d.In[1].Data.Shape().String(); got != c.want {
				t.Errorf("second operand: got %s, want %s", got, c.want)
			}
			if types, err := o.Infer(d.In); err != nil || types[0].String() != "float32[2 3 4]" {
				t.Errorf("got %v (%v)", types, err)
			}
		})
	}
}

// Printed attributes read back as the same operator.
func TestNew(t *testing.T) {
	for _, c := range formCases() {
		text, err := json.Marshal(c.op)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got, err := op.New(c.op.Kind(), []byte(text))
		if err != nil || !reflect.DeepEqual(got, c.op) {
			t.Errorf("%s: got %#v (%v) from %s, want %#v", c.name, got, err, text, c.op)
		}
	}
	if o, err := op.New("Clip", []byte(`{"Min":0}`)); err == nil {
		t.Errorf("unknown field: got %#v, want an error", o)
	}
}

// The operators of other families have tests of their own; all of ours are in
// the table of forms.
func TestForms_Complete(t *testing.T) {
	seen := map[string]bool{"Upsample": true, "Scatter": true} // written by Resize and ScatterElements
	for _, c := range formCases() {
		seen[c.op.Kind()] = true
	}
	others := strings.Fields(`Attention AveragePool BatchNormalization Bernoulli Conv ConvInteger ConvTranspose DequantizeLinear Dropout
		DynamicQuantizeLinear Einsum FakeQuantize FakeQuantizeAsymmetric FakeQuantizeSymmetric GRU Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool
		GroupNormalization Hardmax InstanceNormalization LRN LSTM LayerNormalization LogSoftmax LpNormalization LpPool MatMul
		MatMulInteger MaxPool MaxRoiPool MaxUnpool MeanVarianceNormalization NegativeLogLikelihoodLoss NonMaxSuppression QLinearConv
		QLinearMatMul QuantizeLinear RMSNormalization RNN RandomUniformLike RoiAlign RotaryEmbedding Softmax SoftmaxCrossEntropyLoss`)
	for _, d := range op.All() {
		if d.Domain == "" && !seen[d.Kind()] && !slices.Contains(others, d.Kind()) {
			t.Errorf("%s is in no form case", d.Kind())
		}
	}
}

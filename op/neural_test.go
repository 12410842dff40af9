package op_test

import (
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// typeOf parses float32[N 3 8 8].
func typeOf(t *testing.T, s string) ir.Type {
	t.Helper()
	name, dims, _ := strings.Cut(strings.TrimSuffix(s, "]"), "[")
	d, err := tensor.ParseDType(name)
	if err != nil {
		t.Fatal(err)
	}
	out := ir.Type{DType: d}
	for f := range strings.FieldsSeq(dims) {
		n, err := ir.ParseDim(f)
		if err != nil {
			t.Fatal(err)
		}
		out.Dims = append(out.Dims, n)
	}
	return out
}

func valuesOf(t *testing.T, types ...string) []*ir.Value {
	t.Helper()
	in := make([]*ir.Value, len(types))
	for i, s := range types {
		if s != "" {
			in[i] = &ir.Value{Name: "v", Type: typeOf(t, s)}
		}
	}
	return in
}

// The batch symbol, and others where lengths allow, survive inference.
func TestInfer_Neural(t *testing.T) {
	same := op.Window{AutoPad: "SAME_UPPER"}
	for _, c := range []struct {
		name string
		op   ir.Op
		in   []string
		want string // of all outputs, or the error
	}{
		{"Conv", op.Conv{}, []string{"float32[N 3 8 8]", "float32[4 3 3 3]", "float32[4]"}, "float32[N 4 6 6]"},
		{"Conv, symbolic image", op.Conv{}, []string{"float32[N 3 H W]", "float32[4 3 3 3]"}, "float32[N 4 ? ?]"},
		{"Conv, symbolic image kept", op.Conv{Window: same}, []string{"float32[N 3 H W]", "float32[4 3 3 3]"}, "float32[N 4 H W]"},
		{"Conv, channels", op.Conv{}, []string{"float32[N 2 8 8]", "float32[4 3 3 3]"}, "weight: got float32[4 3 3 3] with 1 groups"},
		{"Conv, integers", op.Conv{}, []string{"int32[N 3 8 8]", "int32[4 3 3 3]"}, "floating point"},
		{"ConvTranspose", op.ConvTranspose{Window: op.Window{Strides: []int{2, 2}}}, []string{"float32[N 3 8 8]", "float32[3 4 2 2]"}, "float32[N 4 16 16]"},
		{"Gemm", op.Gemm{TransB: true}, []string{"float32[N 5]", "float32[7 5]", "float32[7]"}, "float32[N 7]"},
		{"Gemm, bias", op.Gemm{}, []string{"float32[N 5]", "float32[5 7]", "float32[6]"}, "bias: got float32[6]"},
		{"Gemm, inner", op.Gemm{}, []string{"float32[N 5]", "float32[7 5]"}, "want equal inner axes"},
		{"MatMul", op.MatMul{}, []string{"float32[N 12 S 64]", "float32[N 12 64 S]"}, "float32[N 12 S S]"},
		{"MatMul, layer", op.MatMul{}, []string{"float32[N S 64]", "float32[64 8]"}, "float32[N S 8]"},
		{"MatMul, row", op.MatMul{}, []string{"float32[4]", "float32[N 4 5]"}, "float32[N 5]"},
		{"MatMul, scalar", op.MatMul{}, []string{"float32[]", "float32[4]"}, "at least one axis"},
		{"Einsum", op.Einsum{Equation: "bhqd,bhkd->bhqk"}, []string{"float32[N 2 S 4]", "float32[N 2 T 4]"}, "float32[N 2 S T]"},
		{"MaxPool", op.MaxPool{Pool: op.Pool{Kernel: []int{2, 2}, Window: op.Window{Strides: []int{2, 2}}}}, []string{"float32[N 3 9 9]"}, "float32[N 3 4 4] int64[N 3 4 4]"},
		{"MaxPool, ceil", op.MaxPool{Pool: op.Pool{Kernel: []int{2, 2}, Window: op.Window{Strides: []int{2, 2}}, CeilMode: true}}, []string{"float32[N 3 9 9]"}, "float32[N 3 5 5] int64[N 3 5 5]"},
		{"MaxPool, kernel", op.MaxPool{}, []string{"float32[N 3 9 9]"}, "kernel_shape: got [], want 2 entries"},
		{"AveragePool", op.AveragePool{Pool: op.Pool{Kernel: []int{3}, Window: op.Window{Pads: []int{1, 1}}}}, []string{"float32[N C 9]"}, "float32[N C 9]"},
		{"GlobalAveragePool", op.GlobalAveragePool{}, []string{"float32[N C H W]"}, "float32[N C 1 1]"},
		{"BatchNormalization", op.BatchNormalization{}, []string{"float32[N 3 H W]", "float32[3]", "float32[3]", "float32[3]", "float32[3]"}, "float32[N 3 H W]"},
		{"BatchNormalization, training", op.BatchNormalization{Training: true}, []string{"float32[N 3 H W]", "float32[3]", "float32[3]", "float32[3]", "float32[3]"},
			"float32[N 3 H W] float32[3] float32[3] float32[3] float32[3]"},
		{"BatchNormalization, scale", op.BatchNormalization{}, []string{"float32[N 3 H W]", "float32[4]", "float32[3]", "float32[3]", "float32[3]"}, "scale: got float32[4]"},
		{"LayerNormalization", op.LayerNormalization{Axis: -1}, []string{"float32[N S 8]", "float32[8]", "float32[8]"}, "float32[N S 8] float32[N S 1] float32[N S 1]"},
		{"GroupNormalization", op.GroupNormalization{Groups: 2}, []string{"float32[N 4 H]", "float32[4]", "float32[4]"}, "float32[N 4 H]"},
		{"Softmax", op.Softmax{Axis: -1}, []string{"float32[N S]"}, "float32[N S]"},
		{"Softmax, axis", op.Softmax{Axis: 2}, []string{"float32[N S]"}, "axis 2 is out of range"},
		{"SoftmaxCrossEntropyLoss", op.SoftmaxCrossEntropyLoss{}, []string{"float32[N 10]", "int64[N]"}, "float32[] float32[N 10]"},
		{"SoftmaxCrossEntropyLoss, none", op.SoftmaxCrossEntropyLoss{Reduction: "none"}, []string{"float32[N 10 H W]", "int64[N H W]"}, "float32[N H W] float32[N 10 H W]"},
		{"SoftmaxCrossEntropyLoss, labels", op.SoftmaxCrossEntropyLoss{}, []string{"float32[N 10]", "int64[N 1]"}, "labels: got int64[N 1], want int64[N]"},
		{"Dropout", op.Dropout{}, []string{"float32[N 10]"}, "float32[N 10] bool[N 10]"},
		{"QuantizeLinear", op.QuantizeLinear{Axis: 1}, []string{"float32[N 3 4]", "float32[3]", "int8[3]"}, "int8[N 3 4]"},
		{"QuantizeLinear, axis", op.QuantizeLinear{Axis: 2}, []string{"float32[N 3 4]", "float32[3]", "int8[3]"}, "scale: got float32[3] for axis 2"},
		{"DequantizeLinear", op.DequantizeLinear{Axis: 1}, []string{"uint8[N 3 4]", "float32[]"}, "float32[N 3 4]"},
		{"FakeQuantizeSymmetric", op.FakeQuantizeSymmetric{Low: -128, High: 127, Axis: -1}, []string{"float32[N 3 4]", "float32[1]"}, "float32[N 3 4]"},
		{"FakeQuantizeSymmetric, channels", op.FakeQuantizeSymmetric{Low: -128, High: 127, Axis: 1}, []string{"float32[N 3 4]", "float32[4]"}, "parameter 0: got float32[4] for axis 1"},
		{"FakeQuantizeSymmetric, grid", op.FakeQuantizeSymmetric{Low: 1, High: 127}, []string{"float32[N 3 4]", "float32[1]"}, "want one that contains 0"},
		{"FakeQuantizeAsymmetric", op.FakeQuantizeAsymmetric{Levels: 256, Axis: 1}, []string{"float32[N 3 4]", "float32[3]", "float32[3]"}, "float32[N 3 4]"},
		{"FakeQuantize", op.FakeQuantize{Levels: 256}, []string{"float32[N 3 4]", "float32[]", "float32[3 1]", "float32[1]", "float32[1 1 1]"}, "float32[N 3 4]"},
		{"FakeQuantize, larger", op.FakeQuantize{Levels: 256}, []string{"float32[3]", "float32[2 3]", "float32[]", "float32[]", "float32[]"}, "input 1 broadcast"},
	} {
		t.Run(c.name, func(t *testing.T) {
			types, err := c.op.Infer(valuesOf(t, c.in...))
			var got []string
			for _, ty := range types {
				got = append(got, ty.String())
			}
			s := strings.Join(got, " ")
			if err != nil {
				s = err.Error()
			}
			if s != c.want && (err == nil || !strings.Contains(s, c.want)) {
				t.Errorf("%s %+v of %v: got %s, want %s", c.op.Kind(), c.op, c.in, s, c.want)
			}
		})
	}
}

// Small cases by hand; the ONNX vectors, which package onnx runs, cover the rest.
func TestEval_Neural(t *testing.T) {
	nan := float32(math.NaN())
	grid := f32([]int{1, 1, 3, 3}, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	two := op.Pool{Kernel: []int{2, 2}, Window: op.Window{Strides: []int{2, 2}}, CeilMode: true}
	pad := op.Pool{Kernel: []int{2, 2}, Window: op.Window{Pads: []int{1, 1, 0, 0}, Strides: []int{2, 2}}}
	for _, c := range []struct {
		name string
		op   ir.Op
		in   ts
		want ts
	}{
		{"MaxPool/ceil", op.MaxPool{Pool: two}, ts{grid}, ts{f32([]int{1, 1, 2, 2}, 5, 6, 8, 9), tensor.From([]int64{4, 5, 7, 8}, 1, 1, 2, 2)}},
		{"MaxPool/first of equals", op.MaxPool{Pool: op.Pool{Kernel: []int{3}}}, ts{f32([]int{1, 2, 3}, 2, 2, 1, 0, 3, 3)},
			ts{f32([]int{1, 2, 1}, 2, 3), tensor.From([]int64{0, 4}, 1, 2, 1)}},
		{"MaxPool/NaN", op.MaxPool{Pool: op.Pool{Kernel: []int{3}}}, ts{f32([]int{1, 1, 3}, 2, nan, 3)}, ts{f32([]int{1, 1, 1}, nan)}},
		{"MaxPool/uint8", op.MaxPool{Pool: op.Pool{Kernel: []int{2}}}, ts{tensor.From([]uint8{3, 255, 1}, 1, 1, 3)}, ts{tensor.From([]uint8{255, 255}, 1, 1, 2)}},
		{"AveragePool/pads do not count", op.AveragePool{Pool: pad}, ts{grid}, ts{f32([]int{1, 1, 2, 2}, 1, 2.5, 5.5, 7)}},
		{"AveragePool/pads count", op.AveragePool{Pool: pad, CountIncludePad: true}, ts{grid}, ts{f32([]int{1, 1, 2, 2}, .25, 1.25, 2.75, 7)}},
		{"AveragePool/ceil", op.AveragePool{Pool: two, CountIncludePad: true}, ts{grid}, ts{f32([]int{1, 1, 2, 2}, 3, 4.5, 7.5, 9)}},
		{"Gemm/integers", op.Gemm{Beta: 2}, ts{tensor.From([]int32{1, 2}, 1, 2), tensor.From([]int32{3, 4}, 2, 1), tensor.From([]int32{5}, 1)}, ts{tensor.From([]int32{21}, 1, 1)}},
		{"MatMul/empty inner axis", op.MatMul{}, ts{f32([]int{2, 0}), f32([]int{0, 2})}, ts{f32([]int{2, 2}, 0, 0, 0, 0)}},
		{"Softmax/flatten", op.Softmax{Axis: 1, Flatten: true}, ts{f32([]int{1, 2, 2}, 1000, 1000, 1000, 1000)}, ts{f32([]int{1, 2, 2}, .25, .25, .25, .25)}},
		{"Hardmax/first", op.Hardmax{Axis: 0}, ts{f32([]int{3}, 1, 2, 2)}, ts{f32([]int{3}, 0, 1, 0)}},
		{"BatchNormalization/training", op.BatchNormalization{Momentum: .75, Training: true},
			ts{f32([]int{2, 1, 2}, 1, 3, 5, 7), f32([]int{1}, 2), f32([]int{1}, 1), f32([]int{1}, 8), f32([]int{1}, 1)},
			ts{f32([]int{2, 1, 2}, 1-6/float32(math.Sqrt(5)), 1-2/float32(math.Sqrt(5)), 1+2/float32(math.Sqrt(5)), 1+6/float32(math.Sqrt(5))),
				f32([]int{1}, 7), f32([]int{1}, 2), f32([]int{1}, 4), f32([]int{1}, 1/float32(math.Sqrt(5)))}},
		{"NegativeLogLikelihoodLoss/ignored", op.NegativeLogLikelihoodLoss{HasIgnore: true, IgnoreIndex: -100},
			ts{f32([]int{2, 2}, -1, -2, -3, -4), i64(1, -100), f32([]int{2}, 1, 3)}, ts{f32(nil, 2)}},
		{"SoftmaxCrossEntropyLoss", op.SoftmaxCrossEntropyLoss{Reduction: "sum"}, ts{f32([]int{2, 2}, 0, 0, 5, 5), i64(1, 0)}, ts{f32(nil, 2*float32(math.Ln2))}},
		{"Dropout/inference", op.Dropout{}, ts{f32([]int{2}, 1, 2), f32(nil, .5)}, ts{f32([]int{2}, 1, 2), tensor.From([]bool{true, true}, 2)}},
		{"QuantizeLinear/ties and limits", op.QuantizeLinear{Axis: 1}, ts{f32([]int{7}, .25, .75, 1.25, -.25, 1000, -1000, nan), f32(nil, .5), tensor.Scalar[int8](1)},
			ts{tensor.From([]int8{1, 3, 3, 1, 127, -128, 1}, 7)}},
		{"QuantizeLinear/blocks", op.QuantizeLinear{Axis: 1, BlockSize: 2}, ts{f32([]int{1, 3}, 4, 4, 4), f32([]int{1, 2}, 1, 2), tensor.Wrap(tensor.Int4, []int8{0, 1}, 1, 2)},
			ts{tensor.Wrap(tensor.Int4, []int8{4, 4, 3}, 1, 3)}},
		{"DequantizeLinear/axis", op.DequantizeLinear{Axis: 0}, ts{tensor.From([]uint8{3, 3}, 2), f32([]int{2}, .5, 2), tensor.From([]uint8{1, 4}, 2)}, ts{f32([]int{2}, 1, -2)}},
		{"FakeQuantize", op.FakeQuantize{Levels: 5}, ts{f32([]int{5}, -3, -1, .1, .25, 3), f32(nil, -1), f32(nil, 1), f32(nil, -2), f32(nil, 2)}, ts{f32([]int{5}, -2, -2, 0, 0, 2)}},
		{"Einsum/trace", op.Einsum{Equation: "ii"}, ts{f32([]int{2, 2}, 1, 2, 3, 4)}, ts{f32(nil, 5)}},
		{"LpNormalization/1", op.LpNormalization{Axis: 0, P: 1}, ts{f32([]int{2}, -1, 3)}, ts{f32([]int{2}, -.25, .75)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := eval(t, c.op, c.in...)
			for i, want := range c.want {
				if out[i].DType() != want.DType() {
					t.Errorf("output %d: got %v, want %v", i, out[i], want)
				} else if want.DType() != tensor.Float32 || strings.Contains(c.name, "NaN") {
					if !out[i].Equal(want) {
						t.Errorf("output %d: got %v, want %v", i, out[i], want)
					}
				} else {
					closeTo(t, "output", out[i], want, 1e-6)
				}
			}
		})
	}
}

// The mask is a function of seed, step and position, keeps about 1-ratio of the
// elements, and training keeps the mean.
func TestDropout(t *testing.T) {
	x := tensor.New(tensor.Float32, 100, 100)
	for i := range x.F32() {
		x.F32()[i] = 1
	}
	run := func(seed int, step int64) (float64, *tensor.Tensor) {
		out := eval(t, op.Dropout{Seed: seed}, x, tensor.Scalar[float32](.25), tensor.Scalar(true), tensor.Scalar(step))
		sum := 0.0
		for i, v := range out[0].F32() {
			sum += float64(v)
			if keep := tensor.Data[bool](out[1])[i]; keep != (v != 0) || keep != op.DropoutKeep(seed, int(step), i, .25) {
				t.Fatalf("element %d: got %v with mask %t", i, v, keep)
			}
		}
		return sum / 1e4, out[1]
	}
	mean, m1 := run(1, 0)
	if math.Abs(mean-1) > .03 { // 5 standard deviations of √(p/(1-p)/10⁴)
		t.Errorf("mean %v, want 1", mean)
	}
	_, m2 := run(1, 0)
	_, m3 := run(1, 1)
	_, m4 := run(2, 0)
	if !m1.Equal(m2) || m1.Equal(m3) || m1.Equal(m4) {
		t.Error("want the same mask for the same seed and step only")
	}
}

// What encoders write, decoders read, at every opset that has the operator.
func TestCoding_Neural(t *testing.T) {
	x, w := "float32[2 4 6 6]", "float32[8 2 3 3]"
	win := op.Window{Strides: []int{2, 1}, Pads: []int{1, 0, 0, 1}, Dilations: []int{1, 1}}
	dil := op.Window{Strides: []int{2, 1}, Pads: []int{1, 0, 0, 1}, Dilations: []int{1, 2}}
	pool := op.Pool{Kernel: []int{2, 3}, Window: win}
	for _, c := range []struct {
		op   ir.Op
		in   []string
		from int // the lowest opset that can hold it
		to   int // the highest, 0: all
	}{
		{op.Conv{Group: 2, Window: dil}, []string{x, w}, 7, 0},
		{op.ConvTranspose{Group: 2, Window: win, OutputPadding: []int{1, 0}}, []string{x, "float32[4 3 3 3]"}, 7, 0},
		{op.Gemm{Alpha: .5, Beta: 2, TransB: true}, []string{"float32[2 3]", "float32[4 3]", "float32[4]"}, 7, 0},
		{op.Gemm{}, []string{"float32[2 3]", "float32[3 4]"}, 11, 0},
		{op.MatMul{}, []string{"float32[2 3]", "float32[3 4]"}, 7, 0},
		{op.Einsum{Equation: "ij,jk"}, []string{"float32[2 3]", "float32[3 4]"}, 13, 0},
		{op.MaxPool{Pool: op.Pool{Kernel: []int{2, 2}, Window: op.Window{AutoPad: "SAME_LOWER"}}}, []string{x}, 7, 0},
		{op.MaxPool{Pool: op.Pool{Kernel: []int{2, 2}, Window: dil}}, []string{x}, 11, 0},
		{op.MaxPool{Pool: op.Pool{Kernel: []int{2, 2}, CeilMode: true}}, []string{x}, 11, 0},
		{op.AveragePool{Pool: op.Pool{Kernel: []int{2, 2}, Window: dil}, CountIncludePad: true}, []string{x}, 21, 0},
		{op.AveragePool{Pool: op.Pool{Kernel: []int{2, 2}}, CountIncludePad: true}, []string{x}, 7, 0},
		{op.LpPool{Pool: op.Pool{Kernel: []int{2, 2}}, P: 3}, []string{x}, 7, 0},
		{op.GlobalLpPool{P: 3}, []string{x}, 7, 0},
		{op.GlobalMaxPool{}, []string{x}, 7, 0},
		{op.GlobalAveragePool{}, []string{x}, 7, 0},
		{op.BatchNormalization{Epsilon: .1, Momentum: .5}, []string{x, "float32[4]", "float32[4]", "float32[4]", "float32[4]"}, 7, 0},
		{op.BatchNormalization{Epsilon: .1, Momentum: .5, Training: true}, []string{x, "float32[4]", "float32[4]", "float32[4]", "float32[4]"}, 18, 0},
		{op.InstanceNormalization{Epsilon: .1}, []string{x, "float32[4]", "float32[4]"}, 7, 0},
		{op.GroupNormalization{Epsilon: .1, Groups: 2}, []string{x, "float32[4]", "float32[4]"}, 21, 0},
		{op.GroupNormalization{Epsilon: .1, Groups: 2, PerGroup: true}, []string{x, "float32[2]", "float32[2]"}, 18, 18},
		{op.LayerNormalization{Axis: 1, Epsilon: .1}, []string{x, "float32[6]"}, 18, 0},
		{op.RMSNormalization{Axis: 1, Epsilon: .1}, []string{x, "float32[6]"}, 23, 0},
		{op.MeanVarianceNormalization{Axes: []int{1}}, []string{x}, 9, 0},
		{op.LpNormalization{Axis: 1, P: 1}, []string{x}, 7, 0},
		{op.LRN{Alpha: 1, Beta: 2, Bias: 3, Size: 3}, []string{x}, 7, 0},
		{op.Softmax{Axis: 3}, []string{x}, 7, 0},
		{op.Softmax{Axis: 1}, []string{x}, 13, 0},
		{op.LogSoftmax{Axis: 1, Flatten: true}, []string{x}, 7, 11},
		{op.Hardmax{Axis: 3}, []string{x}, 7, 0},
		{op.NegativeLogLikelihoodLoss{Reduction: "sum", HasIgnore: true, IgnoreIndex: -1}, []string{"float32[2 3]", "int64[2]"}, 13, 0},
		{op.SoftmaxCrossEntropyLoss{}, []string{"float32[2 3]", "int64[2]"}, 13, 0},
		{op.Dropout{}, []string{x}, 7, 0},
		{op.QuantizeLinear{Axis: 1}, []string{x, "float32[]", "uint8[]"}, 11, 0},
		{op.QuantizeLinear{Axis: 2}, []string{x, "float32[6]", "int8[6]"}, 13, 0},
		{op.QuantizeLinear{Axis: 1, BlockSize: 2, DType: tensor.Int16}, []string{x, "float32[2 2 6 6]"}, 21, 0},
		{op.DequantizeLinear{Axis: 1}, []string{"int8[2 4]", "float32[]"}, 11, 0},
		{op.DequantizeLinear{Axis: 0}, []string{"int4[2 4]", "float32[2]"}, 21, 0},
		{op.DynamicQuantizeLinear{}, []string{x}, 11, 0},
		{op.ConvInteger{Group: 2, Window: win}, []string{"uint8[2 4 6 6]", "int8[8 2 3 3]"}, 11, 0},
		{op.QLinearConv{Group: 2, Window: win}, []string{"uint8[2 4 6 6]", "float32[]", "uint8[]", "int8[8 2 3 3]", "float32[8]", "int8[8]", "float32[]", "uint8[]"}, 11, 0},
		{op.MatMulInteger{}, []string{"uint8[2 3]", "int8[3 4]"}, 11, 0},
		{op.QLinearMatMul{}, []string{"uint8[2 3]", "float32[]", "uint8[]", "int8[3 4]", "float32[]", "int8[]", "float32[]", "uint8[]"}, 11, 0},
		{op.FakeQuantize{Levels: 255}, []string{x, "float32[]", "float32[]", "float32[]", "float32[]"}, 7, 0},
		{op.AveragePool{Pool: pool}, []string{x}, 7, 0},
	} {
		t.Run(c.op.Kind(), func(t *testing.T) {
			d, ok := op.Of(c.op)
			if !ok {
				t.Fatal("not in the table")
			}
			for _, opset := range []int{7, 9, 11, 13, 18, 21, 23} {
				in := valuesOf(t, c.in...)
				types, err := c.op.Infer(in)
				if err != nil {
					t.Fatal(err)
				}
				n := &ir.Node{Op: c.op, In: in, Out: []*ir.Value{{Name: "y", Type: types[0]}}}
				if b, ok := c.op.(op.BatchNormalization); ok && b.Training {
					n.Out = append(n.Out, &ir.Value{Name: "m", Type: types[1]}, &ir.Value{Name: "v", Type: types[2]})
				}
				e := &op.Encoder{Node: n, Opset: opset, OpType: c.op.Kind(), In: in}
				if d.Encode != nil {
					d.Encode(e)
				}
				want := opset >= c.from && (c.to == 0 || opset <= c.to)
				if err := e.Err(); (err == nil && opset >= d.Since) != want {
					t.Errorf("%+v at opset %d: got %v, want possible: %t", c.op, opset, err, want)
				}
				if !want {
					continue
				}
				dec := op.NewDecoder(e.OpType, opset, e.Attrs)
				dec.In, dec.NumOut = e.In, len(n.Out)
				dec.NewConst = func(name string, t *tensor.Tensor) *ir.Value {
					return &ir.Value{Name: name, Kind: ir.Constant, Type: ir.TypeOf(t), Data: t}
				}
				back := d.Decode(dec)
				if err := dec.Finish(); err != nil {
					t.Errorf("%+v at opset %d: %v", c.op, opset, err)
				}
				again, err := back.Infer(dec.In)
				if err != nil || !again[0].Equal(types[0]) || !equivalent(back, c.op) {
					t.Errorf("opset %d: got %+v (%v, %v), want %+v", opset, back, again, err, c.op)
				}
			}
		})
	}
}

// equivalent is equality of the fields, where nil lists, and the numbers that
// stand for a default, equal what they stand for.
func equivalent(a, b ir.Op) bool {
	if reflect.DeepEqual(a, b) {
		return true
	}
	norm := func(w *op.Window) {
		ones := true
		for _, d := range w.Dilations {
			ones = ones && d == 1
		}
		if ones {
			w.Dilations = nil
		}
	}
	switch x := a.(type) {
	case op.Conv:
		y, _ := b.(op.Conv)
		x.Group, y.Group = x.Groups(), y.Groups()
		return reflect.DeepEqual(x, y)
	case op.AveragePool:
		y, _ := b.(op.AveragePool)
		norm(&x.Window)
		norm(&y.Window)
		return reflect.DeepEqual(x, y)
	}
	return false
}

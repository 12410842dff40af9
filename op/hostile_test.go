package op_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/go-nncf/nncf/internal/testkit/gradcheck"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// Whatever the attributes and operands, inference and evaluation of every
// operator end in a result or an error: no panic, no unbounded allocation.
// Results that evaluate have the inferred element type and axes.
func TestHostile(t *testing.T) {
	for i, d := range op.All() {
		t.Run(d.Kind(), func(t *testing.T) {
			h := hostile{rand.New(rand.NewPCG(11, uint64(i)))}
			for tries, inferred := 0, 0; tries < 4000 && inferred < 100; tries++ {
				o, in := h.op(d.Op), h.operands()
				ok, msg := h.try(o, in)
				if msg != "" {
					t.Fatalf("%+v on %v: %s", o, in, msg)
				}
				if ok {
					inferred++
				}
			}
		})
	}
}

// The same starting from operators and operands that fit, of which little is
// changed.
func TestHostile_Neighbours(t *testing.T) {
	cases := append(neuralCases(), recurrentCases()...)
	u8, i8 := tensor.New(tensor.Uint8, 1, 4, 5, 6), tensor.New(tensor.Int8, 6, 2, 3, 2)
	scale, zero := tensor.Scalar[float32](.1), tensor.Scalar[uint8](3)
	a, b := tensor.New(tensor.Uint8, 2, 3, 4), tensor.New(tensor.Int8, 4, 5)
	x := gradcheck.Rand(1, 2, 4, 3)
	for _, c := range []gradcheck.Case{
		{Op: op.ConvInteger{Group: 2}, In: ts{u8, i8, zero}},
		{Op: op.QLinearConv{Group: 2}, In: ts{u8, scale, zero, i8, scale, tensor.Scalar[int8](1), scale, zero, tensor.New(tensor.Int32, 6)}},
		{Op: op.MatMulInteger{}, In: ts{a, b, zero}},
		{Op: op.QLinearMatMul{}, In: ts{a, scale, zero, b, scale, tensor.Scalar[int8](1), scale, zero}},
		{Op: op.QuantizeLinear{Axis: 1}, In: ts{x, gradcheck.Uniform(1, 1, 2, 4), tensor.New(tensor.Int8, 4)}},
		{Op: op.QuantizeLinear{Axis: 1, BlockSize: 2}, In: ts{x, gradcheck.Uniform(1, 1, 2, 2, 2, 3), tensor.New(tensor.Uint4, 2, 2, 3)}},
		{Op: op.DequantizeLinear{Axis: 1}, In: ts{tensor.New(tensor.Int8, 2, 4, 3), gradcheck.Uniform(1, 1, 2, 4), tensor.New(tensor.Int8, 4)}},
		{Op: op.DequantizeLinear{Axis: 1, BlockSize: 2}, In: ts{tensor.New(tensor.Int4, 2, 4, 3), gradcheck.Uniform(1, 1, 2, 2, 2, 3)}},
		{Op: op.LpPool{Pool: op.Pool{Kernel: []int{2}}}, In: ts{x}},
		{Op: op.FakeQuantizeSymmetric{Low: -7, High: 7, Axis: 1}, In: ts{x, gradcheck.Rand(2, 4)}},
		{Op: op.FakeQuantizeSymmetricGrad{Low: -7, High: 7, Axis: 1}, In: ts{x, gradcheck.Rand(2, 4), x}},
		{Op: op.FakeQuantizeOff{}, In: ts{x, gradcheck.Rand(2, 1)}},
		{Op: op.FakeQuantizeAsymmetric{Levels: 16, Axis: -1}, In: ts{x, gradcheck.Rand(2, 1), gradcheck.Rand(2, 1)}},
		{Op: op.FakeQuantizeAsymmetricGrad{Levels: 16, Axis: -1}, In: ts{x, gradcheck.Rand(2), gradcheck.Rand(2), x}},
		{Op: op.BinarizeWeight{}, In: ts{x}},
		{Op: op.BinarizeActivation{}, In: ts{x, gradcheck.Rand(2, 1), gradcheck.Rand(2, 4)}},
		{Op: op.BinarizeActivationGrad{}, In: ts{x, gradcheck.Rand(2, 1), gradcheck.Rand(2, 4), x}},
		{Op: op.BinaryScale{}, In: ts{gradcheck.Rand(2, 4), gradcheck.Rand(2, 1)}},
		{Op: op.FakeQuantize{Levels: 16}, In: ts{x, gradcheck.Rand(2), gradcheck.Rand(2), gradcheck.Rand(2, 4, 1), gradcheck.Rand(2)}},
	} {
		c.Name = c.Op.Kind()
		cases = append(cases, c)
	}
	inferred := map[string]int{}
	for i, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			h := hostile{rand.New(rand.NewPCG(12, uint64(i)))}
			for range 150 {
				o, in := c.Op, append(ts(nil), c.In...)
				if h.IntN(2) == 0 {
					o = h.op(o)
				}
				for range h.IntN(3) {
					k := h.IntN(len(in))
					if in[k] == nil || h.IntN(8) == 0 {
						in[k] = nil
						continue
					}
					dtype, shape := in[k].DType(), in[k].Shape().Clone()
					if h.IntN(4) == 0 {
						dtype = h.dtype()
					}
					switch {
					case len(shape) == 0 || h.IntN(5) == 0:
						shape = append(shape, h.IntN(3))
					case h.IntN(3) == 0:
						shape = shape[1:]
					default:
						shape[h.IntN(len(shape))] = h.IntN(4)
					}
					in[k] = h.tensor(dtype, shape)
				}
				ok, msg := h.try(o, in)
				if msg != "" {
					t.Fatalf("%+v on %v: %s", o, in, msg)
				}
				if ok {
					inferred[c.Op.Kind()]++
				}
			}
			if inferred[c.Op.Kind()] == 0 {
				t.Error("nothing was inferred")
			}
		})
	}
}

type hostile struct{ *rand.Rand }

// op returns a copy of o in which some fields have random values.
func (h hostile) op(o ir.Op) ir.Op {
	v := reflect.New(reflect.TypeOf(o)).Elem()
	v.Set(reflect.ValueOf(o))
	h.fill(v)
	return v.Interface().(ir.Op)
}

func (h hostile) fill(v reflect.Value) {
	if v.Kind() == reflect.Struct {
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				h.fill(v.Field(i))
			}
		}
		return
	}
	if h.IntN(3) == 0 {
		return
	}
	switch v.Kind() {
	case reflect.Int:
		v.SetInt(int64(h.int()))
	case reflect.Uint8:
		v.SetUint(uint64(h.IntN(1 + int(tensor.String)))) // an element type
	case reflect.Bool:
		v.SetBool(h.IntN(2) == 0)
	case reflect.Float32, reflect.Float64:
		v.SetFloat([]float64{0, 1, -1, 1e-5, 1e30, 0.5}[h.IntN(6)])
	case reflect.String:
		v.SetString([]string{"", "x", "SAME_UPPER", "VALID", "none", "sum", "ij,jk->ik", "...i,i", "linear", "nearest", "reflect"}[h.IntN(11)])
	case reflect.Slice:
		n := h.IntN(5)
		s := reflect.MakeSlice(v.Type(), n, n)
		for i := range n {
			h.fill(s.Index(i))
		}
		v.Set(s)
	}
}

func (h hostile) int() int {
	if h.IntN(12) == 0 {
		return []int{-1 << 40, 1 << 40, 1 << 31, -7, 1000}[h.IntN(5)]
	}
	return h.IntN(7) - 2
}

func (h hostile) operands() []*tensor.Tensor {
	in := make([]*tensor.Tensor, h.IntN(7))
	shape := h.shape()
	dtype := h.dtype()
	for i := range in {
		if h.IntN(10) == 0 {
			continue
		}
		switch h.IntN(6) {
		case 0:
			shape = h.shape()
		case 1, 2: // a parameter of one of the axes
			if len(shape) > 0 {
				in[i] = h.tensor(dtype, shape[h.IntN(len(shape)):][:1])
				continue
			}
		}
		if h.IntN(4) == 0 {
			dtype = h.dtype()
		}
		in[i] = h.tensor(dtype, shape)
	}
	return in
}

func (h hostile) shape() []int {
	s := make([]int, h.IntN(6))
	for i := range s {
		s[i] = h.IntN(5)
	}
	return s
}

func (h hostile) dtype() tensor.DType {
	if h.IntN(2) == 0 {
		return tensor.Float32
	}
	if h.IntN(2) == 0 {
		return tensor.Int64
	}
	return tensor.DType(1 + h.IntN(int(tensor.String)))
}

func (h hostile) tensor(d tensor.DType, shape []int) *tensor.Tensor {
	t := tensor.New(d, shape...)
	switch d {
	case tensor.Float32:
		for i := range t.F32() {
			t.F32()[i] = float32(h.NormFloat64())
		}
	case tensor.Int64:
		for i := range t.I64() {
			t.I64()[i] = int64(h.int())
		}
	case tensor.Bool:
		for i := range tensor.Data[bool](t) {
			tensor.Data[bool](t)[i] = h.IntN(2) == 0
		}
	}
	return t
}

// try infers and evaluates; it says whether inference succeeds, and what is wrong.
func (h hostile) try(o ir.Op, in []*tensor.Tensor) (inferred bool, msg string) {
	stage := "infer"
	defer func() {
		if r := recover(); r != nil {
			msg = fmt.Sprintf("%s panics: %v", stage, r)
		}
	}()
	vals := make([]*ir.Value, len(in))
	for i, t := range in {
		if t == nil {
			continue
		}
		vals[i] = &ir.Value{Name: "v", Type: ir.TypeOf(t)}
		if h.IntN(2) == 0 {
			vals[i].Kind, vals[i].Data = ir.Constant, t
		} else if t.Rank() > 0 && h.IntN(4) == 0 {
			if a := h.IntN(t.Rank()); t.Shape()[a] > 1 { // an axis that is not known
				vals[i].Type.Dims[a] = ir.Symbol("N")
			}
		}
	}
	types, err := o.Infer(vals)
	if err != nil {
		return false, ""
	}
	if e, ok := o.(ir.DimsEvaluator); ok {
		stage = "content"
		e.EvalDims(vals)
	}
	stage = "eval"
	out, err := o.(ir.Evaluator).Eval(in)
	if err != nil {
		return true, ""
	}
	for i, t := range out {
		if t == nil {
			continue
		}
		if i >= len(types) {
			return true, fmt.Sprintf("output %d: evaluation gives %v, inference nothing", i, t)
		}
		ok := t.DType() == types[i].DType && t.Rank() == types[i].Rank()
		for a := 0; ok && a < t.Rank(); a++ {
			ok = types[i].Dims[a].MayEqual(ir.Len(t.Shape()[a]))
		}
		if !ok {
			return true, fmt.Sprintf("output %d: evaluation gives %v, inference %v", i, t, types[i])
		}
	}
	return true, ""
}

// Decoders of files with wrong attributes and operands end in an operator or
// errors; what they accept can be inferred, or gives an error.
func TestHostile_Decode(t *testing.T) {
	names := []string{"axis", "axes", "alpha", "beta", "broadcast", "transA", "kernel_shape", "strides", "pads", "dilations", "group", "auto_pad",
		"ceil_mode", "count_include_pad", "storage_order", "output_padding", "output_shape", "epsilon", "momentum", "spatial", "training_mode",
		"num_groups", "stash_type", "size", "p", "ratio", "seed", "reduction", "ignore_index", "block_size", "output_dtype", "levels", "equation",
		"to", "perm", "keepdims", "min", "max", "mode", "value", "starts", "ends", "split", "num_outputs", "blocksize", "k", "largest", "shape", "start", "end"}
	for i, d := range op.All() {
		if d.Decode == nil {
			continue
		}
		t.Run(d.Kind(), func(t *testing.T) {
			h := hostile{rand.New(rand.NewPCG(13, uint64(i)))}
			for range 300 {
				var attrs []op.Attr
				for range h.IntN(5) {
					a := op.Attr{Name: names[h.IntN(len(names))]}
					list := make([]int64, h.IntN(5))
					for k := range list {
						list[k] = int64(h.int())
					}
					a.Value = []any{int64(h.int()), float32(h.NormFloat64()), "SAME_UPPER", "x", list, []float32{1, -1}, []string{"a"}, h.tensor(h.dtype(), h.shape())}[h.IntN(8)]
					attrs = append(attrs, a)
				}
				dec := op.NewDecoder(d.Kind(), []int{1, 6, 7, 9, 10, 11, 13, 18, 21, 25}[h.IntN(10)], attrs)
				dec.NumOut = h.IntN(4)
				dec.NewConst = func(name string, t *tensor.Tensor) *ir.Value {
					return &ir.Value{Name: name, Kind: ir.Constant, Type: ir.TypeOf(t), Data: t}
				}
				var types []ir.Type
				for _, x := range h.operands() {
					var v *ir.Value
					if x != nil {
						if v = dec.NewConst("v", x); h.IntN(2) == 0 {
							v.Kind, v.Data = ir.Input, nil
						}
						types = append(types, v.Type)
					}
					dec.In = append(dec.In, v)
				}
				func() {
					defer func() {
						if r := recover(); r != nil {
							t.Fatalf("attributes %v at opset %d on %v: panic: %v", attrs, dec.Opset, types, r)
						}
					}()
					o := d.Decode(dec)
					if dec.Finish() == nil {
						_, _ = o.Infer(dec.In) // an error is as good as types
					}
				}()
			}
		})
	}
}

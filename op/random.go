package op

import (
	"errors"
	"fmt"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// errRandom is why random operators are not evaluated. Files have them in
// networks that were exported as they are trained; pass.InferenceMode removes
// those.
var errRandom = errors.New("it draws random numbers, which differ from program to program; export the model for inference")

// RandomUniformLike draws numbers between Low and High for the axes of x. DType,
// if set, is their type; otherwise x's is. It can be read, not evaluated.
//
//	in  0 x
//	out 0 y, as x
//
// https://onnx.ai/onnx/operators/onnx__RandomUniformLike.html
type RandomUniformLike struct {
	Low, High float32
	DType     tensor.DType
	Seed      float32 // 0 if there is none
}

var (
	_ ir.Evaluator         = RandomUniformLike{}
	_ ir.NonDifferentiable = RandomUniformLike{}
)

func (RandomUniformLike) Kind() string { return "RandomUniformLike" }

func (o RandomUniformLike) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 1, 1); err != nil {
		return nil, err
	}
	d := typeOr(o.DType, in[0].Type.DType)
	if !d.IsFloat() {
		return nil, fmt.Errorf("got elements of type %v, want real numbers", d)
	}
	return []ir.Type{in[0].Type.WithDType(d)}, nil
}

func (RandomUniformLike) Eval([]*tensor.Tensor) ([]*tensor.Tensor, error) { return nil, errRandom }

func (RandomUniformLike) NoGrad() string { return "what is drawn does not depend on the input" }

// Bernoulli draws 1 with the probability of each element of x, else 0. DType, if
// set, is their type; otherwise x's is. It can be read, not evaluated.
//
//	in  0 x
//	out 0 y, as x
//
// https://onnx.ai/onnx/operators/onnx__Bernoulli.html
type Bernoulli struct {
	DType tensor.DType
	Seed  float32 // 0 if there is none
}

var (
	_ ir.Evaluator         = Bernoulli{}
	_ ir.NonDifferentiable = Bernoulli{}
)

func (Bernoulli) Kind() string { return "Bernoulli" }

func (o Bernoulli) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 1, 1); err != nil {
		return nil, err
	}
	return []ir.Type{in[0].Type.WithDType(typeOr(o.DType, in[0].Type.DType))}, wantFloat(in[0])
}

func (Bernoulli) Eval([]*tensor.Tensor) ([]*tensor.Tensor, error) { return nil, errRandom }

func (Bernoulli) NoGrad() string { return "a draw is 0 or 1" }

// typeOr returns d, or none if it is not set.
func typeOr(d, none tensor.DType) tensor.DType {
	if d == tensor.Invalid {
		return none
	}
	return d
}

// dtypeAttribute is attribute dtype, not set if it is left out.
func dtypeAttribute(d *Decoder) tensor.DType {
	if !d.Has("dtype") {
		return tensor.Invalid
	}
	t, err := TypeOfCode(d.Int("dtype", 0))
	if err != nil {
		d.Errorf("dtype: %w", err)
	}
	return t
}

// setRandom writes the attributes that random operators have in common.
func setRandom(e *Encoder, d tensor.DType, seed float32) {
	if d != tensor.Invalid {
		e.Set("dtype", TypeCode(d))
	}
	if seed != 0 {
		e.Set("seed", seed)
	}
}

func decodeRandomUniformLike(d *Decoder) ir.Op {
	return RandomUniformLike{float32(d.Float("low", 0)), float32(d.Float("high", 1)), dtypeAttribute(d), float32(d.Float("seed", 0))}
}

func encodeRandomUniformLike(e *Encoder) {
	o := e.Node.Op.(RandomUniformLike)
	e.Set("low", o.Low)
	e.Set("high", o.High)
	setRandom(e, o.DType, o.Seed)
}

func decodeBernoulli(d *Decoder) ir.Op {
	return Bernoulli{dtypeAttribute(d), float32(d.Float("seed", 0))}
}

func encodeBernoulli(e *Encoder) {
	e.MinOpset(15)
	o := e.Node.Op.(Bernoulli)
	setRandom(e, o.DType, o.Seed)
}

package gradcheck

import (
	"strings"
	"testing"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// square is y = x² with a gradient of factor·x·dy, made by another square-like node.
type square struct{ factor float64 }

func (square) Kind() string { return "square" }

func (square) Infer(in []*ir.Value) ([]ir.Type, error) { return []ir.Type{in[0].Type}, nil }

func (square) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	x, err := in[0].Float64s()
	if err != nil {
		return nil, err
	}
	for i := range x {
		x[i] *= x[i]
	}
	return []*tensor.Tensor{convert(tensor.From(x, in[0].Shape()...), in[0].DType())}, nil
}

func (s square) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return []*ir.Value{b.Op(product(s), "grad", n.In[0], dOut[0])}, nil
}

// product is y = factor·a·b.
type product struct{ factor float64 }

func (product) Kind() string { return "product" }

func (product) Infer(in []*ir.Value) ([]ir.Type, error) { return []ir.Type{in[0].Type}, nil }

func (p product) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	y := tensor.New(tensor.Float32, in[0].Shape()...)
	for i, a := range in[0].F32() {
		y.F32()[i] = float32(p.factor) * a * in[1].F32()[i]
	}
	return []*tensor.Tensor{y}, nil
}

// A right gradient passes; one that is off by 0.1 % does not.
func TestCheck(t *testing.T) {
	in := []*tensor.Tensor{Rand(1, 3, 4)}
	if err := (Case{Op: square{2}, In: in}).check(); err != nil {
		t.Error(err)
	}
	if err := (Case{Op: square{2.002}, In: in}).check(); err == nil || !strings.Contains(err.Error(), "random direction") {
		t.Errorf("wrong gradient: got %v, want a difference", err)
	}
	if err := (Case{Op: product{2}, In: in}).check(); err == nil {
		t.Error("operator without a gradient: got no error")
	}
}

func TestDistinct(t *testing.T) {
	seen := map[float32]bool{}
	for _, v := range Distinct(1, 5, 5).F32() {
		if seen[v] {
			t.Fatalf("%v twice", v)
		}
		seen[v] = true
	}
}

package op

import (
	"fmt"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// FakeQuantize is OpenVINO's operator, the form that files contain:
//
//	y = output_low                                                  where x ≤ min(input_low, input_high)
//	y = output_high                                                 where x > max(input_low, input_high)
//	y = rne((x-input_low)/(input_high-input_low)·(Levels-1))
//	    /(Levels-1)·(output_high-output_low) + output_low           elsewhere
//
// in float32, rounding half to even. The four bounds broadcast to x.
//
//	in  0 x   1 input_low   2 input_high   3 output_low   4 output_high
//	out 0 y, as x
//
// Domain org.openvinotoolkit. Keep input_low < input_high: runtimes disagree
// otherwise. The gradient is the straight-through one, to x only; training uses
// [FakeQuantizeSymmetric] and [FakeQuantizeAsymmetric].
// https://docs.openvino.ai/latest/documentation/openvino-ir-format/operation-sets/operation-specs/quantization/fake-quantize-1.html
type FakeQuantize struct{ Levels int }

// OpenVINODomain is the ONNX domain of operators that OpenVINO adds.
const OpenVINODomain = "org.openvinotoolkit"

var (
	_ ir.Evaluator      = FakeQuantize{}
	_ ir.Differentiable = FakeQuantize{}
	_ ir.Costed         = FakeQuantize{}
	_ ir.AxisMapper     = FakeQuantize{}
)

func (FakeQuantize) Kind() string { return "FakeQuantize" }

func (q FakeQuantize) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 5, 5); err != nil {
		return nil, err
	}
	if q.Levels < 2 || q.Levels > 1<<24 {
		return nil, fmt.Errorf("levels: got %d, want at least 2", q.Levels)
	}
	if err := wantFloat(in...); err != nil {
		return nil, err
	}
	x := in[0].Type
	for i, v := range in[1:] {
		dims, err := ir.BroadcastDims(x.Dims, v.Type.Dims)
		if err != nil {
			return nil, err
		}
		if err := wantMayEqual(&ir.Value{Type: ir.Type{DType: x.DType, Dims: dims}}, fmt.Sprintf("input %d broadcast", 1+i), x); err != nil {
			return nil, err
		}
	}
	return []ir.Type{x}, nil
}

func (q FakeQuantize) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if err := wantTensors(in, 5); err != nil {
		return nil, err
	}
	x := in[0]
	vals := make([][]float32, 5)
	pos := make([][]int, 5)
	for i, t := range in {
		v, err := reals(t)
		if err != nil {
			return nil, fmt.Errorf("input %d: %w", i, err)
		}
		vals[i] = convertSlice[float32](v)
		full, err := tensor.Broadcast(x.Shape(), t.Shape())
		if err != nil || !full.Equal(x.Shape()) {
			return nil, fmt.Errorf("input %d: got %v, want a shape that broadcasts to %v", i, t.Shape(), x.Shape())
		}
		pos[i] = broadcastPos(x.Shape(), t.Shape())
	}
	y := make([]float64, x.Len())
	n := float32(q.Levels - 1)
	for i, v := range vals[0] {
		at := func(k int) float32 { return vals[k][pos[k][i]] }
		il, ih, ol, oh := at(1), at(2), at(3), at(4)
		switch {
		case v <= min(il, ih):
			y[i] = float64(ol)
		case v > max(il, ih):
			y[i] = float64(oh)
		default:
			k := rne(float32((v-il)/(ih-il)) * n)
			y[i] = float64(float32(float32(k/n)*(oh-ol)) + ol)
		}
	}
	return one(fromFloats(x.DType(), y, x.Shape()...)), nil
}

func (q FakeQuantize) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	for i, want := range need[1:] {
		if want {
			return nil, fmt.Errorf("input %d has no gradient; train FakeQuantizeSymmetric or FakeQuantizeAsymmetric", 1+i)
		}
	}
	c, x, d := gradCalc(b, n), n.In[0], dOut[0]
	il, ih, ol, oh := n.In[1], n.In[2], n.In[3], n.In[4]
	if il != ol || ih != oh {
		d = c.mul(d, c.div(c.sub(oh, ol), c.sub(ih, il)))
	}
	zero := c.num(x, 0)
	return first(c.where(c.less(x, il), zero, c.where(c.greater(x, ih), zero, d)), n)
}

func (FakeQuantize) Cost(n *ir.Node) ir.Cost { return elementOps(n, 6) }

// MapAxes implements [ir.AxisMapper].
func (FakeQuantize) MapAxes(n *ir.Node, m ir.AxisMap) { elementAxes(n, m) }

func decodeFakeQuantize(d *Decoder) ir.Op {
	if !d.Has("levels") {
		d.Errorf("attribute \"levels\" is missing")
	}
	return FakeQuantize{Levels: d.Int("levels", 2)}
}

func encodeFakeQuantize(e *Encoder) {
	e.Domain = OpenVINODomain
	e.Set("levels", e.Node.Op.(FakeQuantize).Levels)
}

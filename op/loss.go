package op

import (
	"fmt"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// NegativeLogLikelihoodLoss is loss[n,p] = -weight[t]·x[n, t, p] with the label
// t = labels[n,p]; 0 where t is the ignored label. Reduction "" divides the sum
// by the sum of the weights of all labels not ignored (NaN if there is none),
// "sum" adds up, "none" keeps loss[n,p].
//
//	in  0 x [N, C, p…]   1 labels int32 or int64 [N, p…]   2 weight [C], optional
//	out 0 loss [], or [N, p…]
//
// A label outside 0..C-1 that is not the ignored one is an error.
// https://onnx.ai/onnx/operators/onnx__NegativeLogLikelihoodLoss.html
type NegativeLogLikelihoodLoss struct {
	Reduction   string
	HasIgnore   bool
	IgnoreIndex int
}

var (
	_ ir.Evaluator      = NegativeLogLikelihoodLoss{}
	_ ir.Differentiable = NegativeLogLikelihoodLoss{}
	_ ir.Costed         = NegativeLogLikelihoodLoss{}
	_ ir.QuantTraited   = NegativeLogLikelihoodLoss{}
)

func (NegativeLogLikelihoodLoss) Kind() string { return "NegativeLogLikelihoodLoss" }

func (l NegativeLogLikelihoodLoss) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 3); err != nil {
		return nil, err
	}
	if err := wantFloat(in[0]); err != nil {
		return nil, err
	}
	if err := wantDType(in[1], "labels", tensor.Int32, tensor.Int64); err != nil {
		return nil, err
	}
	x := in[0].Type
	if x.Rank() < 2 {
		return nil, fmt.Errorf("scores: got %v, want [N C …]", x)
	}
	labels := ir.Type{DType: x.DType, Dims: append([]ir.Dim{x.Dims[0]}, x.Dims[2:]...)}
	if err := wantMayEqual(in[1], "labels", labels.WithDType(in[1].Type.DType)); err != nil {
		return nil, err
	}
	if w := present(in, 2); w != nil {
		if err := wantMayEqual(w, "weight", ir.Type{DType: x.DType, Dims: x.Dims[1:2]}); err != nil {
			return nil, err
		}
	}
	switch l.Reduction {
	case "", "sum":
		labels.Dims = nil
	case "none":
	default:
		return nil, fmt.Errorf("reduction: got %q, want mean, sum or none", l.Reduction)
	}
	return []ir.Type{labels}, nil
}

// lossItems lists, for each label, the position of its score in x and its
// weight, which is 0 where the label is ignored; total is the sum of weights.
type lossItems struct {
	pos    []int
	weight []float64
	total  float64
	shape  tensor.Shape // of the labels
}

func (l NegativeLogLikelihoodLoss) items(xs tensor.Shape, labels, weight *tensor.Tensor) (*lossItems, error) {
	if len(xs) < 2 {
		return nil, fmt.Errorf("got scores %v, want [N C …]", xs)
	}
	it := &lossItems{shape: append(tensor.Shape{xs[0]}, xs[2:]...)}
	if !it.shape.Equal(labels.Shape()) {
		return nil, fmt.Errorf("got labels %v for scores %v, want %v", labels.Shape(), xs, it.shape)
	}
	ids, err := labels.Ints()
	if err != nil {
		return nil, fmt.Errorf("labels: %w", err)
	}
	var w []float64
	if weight != nil {
		if w, err = reals(weight); err != nil {
			return nil, fmt.Errorf("weight: %w", err)
		}
		if len(w) != xs[1] {
			return nil, fmt.Errorf("got %d weights for %d classes", len(w), xs[1])
		}
	}
	it.pos, it.weight = make([]int, len(ids)), make([]float64, len(ids))
	inner := product(xs[2:])
	for i, t := range ids {
		if l.HasIgnore && t == l.IgnoreIndex {
			continue
		}
		if t < 0 || t >= xs[1] {
			return nil, fmt.Errorf("label %d: got %d, want 0 to %d", i, t, xs[1]-1)
		}
		it.pos[i] = (i/inner*xs[1]+t)*inner + i%inner
		it.weight[i] = 1
		if w != nil {
			it.weight[i] = w[t]
		}
		it.total += it.weight[i]
	}
	return it, nil
}

// reduce makes the loss of the scores x.
func (l NegativeLogLikelihoodLoss) reduce(d tensor.DType, it *lossItems, x []float64) *tensor.Tensor {
	each := make([]float64, len(it.pos))
	sum := 0.0
	for i, p := range it.pos {
		if it.weight[i] != 0 {
			each[i] = -it.weight[i] * x[p]
			sum += each[i]
		}
	}
	switch l.Reduction {
	case "none":
		return fromFloats(d, each, it.shape...)
	case "sum":
		return scalarTensor(d, sum)
	}
	return scalarTensor(d, sum/it.total)
}

func (l NegativeLogLikelihoodLoss) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	it, err := l.items(in[0].Shape(), in[1], present(in, 2))
	if err != nil {
		return nil, err
	}
	x, err := reals(in[0])
	if err != nil {
		return nil, err
	}
	return one(l.reduce(in[0].DType(), it, x)), nil
}

func (l NegativeLogLikelihoodLoss) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	if len(need) > 2 && need[2] {
		return nil, fmt.Errorf("class weights have no gradient; make them constants")
	}
	return l.grad(b, n, dOut[0]), nil
}

// grad builds the gradient of the scores, or log-probabilities, of n.
func (l NegativeLogLikelihoodLoss) grad(b *ir.Builder, n *ir.Node, dy *ir.Value) []*ir.Value {
	grads := make([]*ir.Value, len(n.In))
	in := []*ir.Value{dy, n.In[1]}
	if w := n.Input(2); w != nil {
		in = append(in, w)
	}
	g := NegativeLogLikelihoodLossGrad{NegativeLogLikelihoodLoss: l, Classes: n.In[0].Type.MustShape()[1]}
	grads[0] = b.Op(g, n.Name+"/grad", in...)
	return grads
}

func (NegativeLogLikelihoodLoss) Cost(n *ir.Node) ir.Cost {
	return ir.Cost{Ops: int64(n.In[1].Type.MustShape().Numel())}
}

func (NegativeLogLikelihoodLoss) QuantTrait() ir.QuantTrait { return ir.QuantFloat }

func decodeNLL(d *Decoder) NegativeLogLikelihoodLoss {
	l := NegativeLogLikelihoodLoss{Reduction: d.Str("reduction", "mean"), HasIgnore: d.Has("ignore_index"), IgnoreIndex: d.Int("ignore_index", 0)}
	if l.Reduction == "mean" {
		l.Reduction = ""
	}
	return l
}

func (l NegativeLogLikelihoodLoss) encode(e *Encoder) {
	e.MinOpset(12)
	if l.Reduction != "" {
		e.Set("reduction", l.Reduction)
	}
	if l.HasIgnore {
		e.Set("ignore_index", l.IgnoreIndex)
	}
}

func decodeNegativeLogLikelihoodLoss(d *Decoder) ir.Op { return decodeNLL(d) }

func encodeNegativeLogLikelihoodLoss(e *Encoder) {
	e.Node.Op.(NegativeLogLikelihoodLoss).encode(e)
}

// NegativeLogLikelihoodLossGrad is the adjoint of [NegativeLogLikelihoodLoss]
// with respect to the scores: dx[n,t,p] = -weight[t]·dloss at the labels t (over
// the sum of weights for the mean), 0 elsewhere.
//
//	in  0 dloss [], or [N, p…]   1 labels [N, p…]   2 weight [C], optional
//	out 0 dx [N, Classes, p…]
//
// Internal.
type NegativeLogLikelihoodLossGrad struct {
	NegativeLogLikelihoodLoss
	Classes int
}

var (
	_ ir.Evaluator      = NegativeLogLikelihoodLossGrad{}
	_ ir.Differentiable = NegativeLogLikelihoodLossGrad{}
	_ ir.Costed         = NegativeLogLikelihoodLossGrad{}
)

func (NegativeLogLikelihoodLossGrad) Kind() string { return "NegativeLogLikelihoodLossGrad" }

func (l NegativeLogLikelihoodLossGrad) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 3); err != nil {
		return nil, err
	}
	if in[1].Type.Rank() < 1 {
		return nil, fmt.Errorf("labels: got %v, want [N …]", in[1].Type)
	}
	d := in[1].Type.Dims
	x := ir.Type{DType: in[0].Type.DType, Dims: append([]ir.Dim{d[0], ir.Len(l.Classes)}, d[1:]...)}
	loss, err := l.NegativeLogLikelihoodLoss.Infer(append([]*ir.Value{{Type: x}}, in[1:]...))
	if err != nil {
		return nil, err
	}
	return []ir.Type{x}, wantMayEqual(in[0], "gradient", loss[0])
}

func (l NegativeLogLikelihoodLossGrad) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	ls := in[1].Shape()
	if len(ls) < 1 {
		return nil, fmt.Errorf("got labels %v, want [N …]", ls)
	}
	xs := append(tensor.Shape{ls[0], l.Classes}, ls[1:]...)
	if err := checkSize(xs); err != nil {
		return nil, err
	}
	it, err := l.items(xs, in[1], present(in, 2))
	if err != nil {
		return nil, err
	}
	dy, err := reals(in[0])
	if err != nil {
		return nil, err
	}
	if want := len(it.pos); l.Reduction == "none" && len(dy) != want || l.Reduction != "none" && len(dy) != 1 {
		return nil, fmt.Errorf("got gradient %v for labels %v", in[0].Shape(), ls)
	}
	dx := make([]float64, xs.Numel())
	for i, p := range it.pos {
		switch {
		case it.weight[i] == 0:
		case l.Reduction == "none":
			dx[p] = -it.weight[i] * dy[i]
		case l.Reduction == "sum":
			dx[p] = -it.weight[i] * dy[0]
		default:
			dx[p] = -it.weight[i] / it.total * dy[0]
		}
	}
	return one(fromFloats(in[0].DType(), dx, xs...)), nil
}

func (l NegativeLogLikelihoodLossGrad) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	if len(need) > 2 && need[2] {
		return nil, fmt.Errorf("class weights have no gradient; make them constants")
	}
	grads := make([]*ir.Value, len(n.In))
	in := append([]*ir.Value{dOut[0]}, n.In[1:]...)
	grads[0] = b.Op(l.NegativeLogLikelihoodLoss, n.Name+"/grad", in...)
	return grads, nil
}

func (NegativeLogLikelihoodLossGrad) Cost(n *ir.Node) ir.Cost { return elementOps(n, 1) }

func (NegativeLogLikelihoodLossGrad) QuantTrait() ir.QuantTrait { return ir.QuantFloat }

// SoftmaxCrossEntropyLoss is [NegativeLogLikelihoodLoss] of LogSoftmax(x) along
// axis 1.
//
//	in  0 x [N, C, p…]   1 labels int32 or int64 [N, p…]   2 weight [C], optional
//	out 0 loss [], or [N, p…]   1 log_prob = LogSoftmax(x), optional
//
// https://onnx.ai/onnx/operators/onnx__SoftmaxCrossEntropyLoss.html
type SoftmaxCrossEntropyLoss struct {
	Reduction   string
	HasIgnore   bool
	IgnoreIndex int
}

var (
	_ ir.Evaluator      = SoftmaxCrossEntropyLoss{}
	_ ir.Differentiable = SoftmaxCrossEntropyLoss{}
	_ ir.Costed         = SoftmaxCrossEntropyLoss{}
	_ ir.QuantTraited   = SoftmaxCrossEntropyLoss{}
)

func (SoftmaxCrossEntropyLoss) Kind() string { return "SoftmaxCrossEntropyLoss" }

func (l SoftmaxCrossEntropyLoss) Infer(in []*ir.Value) ([]ir.Type, error) {
	t, err := NegativeLogLikelihoodLoss(l).Infer(in)
	if err != nil {
		return nil, err
	}
	return append(t, in[0].Type), nil
}

func (l SoftmaxCrossEntropyLoss) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	x := in[0]
	it, err := NegativeLogLikelihoodLoss(l).items(x.Shape(), in[1], present(in, 2))
	if err != nil {
		return nil, err
	}
	// The log-probabilities stay in float64 on the way to the loss.
	v, err := reals(x)
	if err != nil {
		return nil, err
	}
	lp, err := LogSoftmax{Axis: 1}.Eval([]*tensor.Tensor{tensor.From(v, x.Shape()...)})
	if err != nil {
		return nil, err
	}
	p := tensor.Data[float64](lp[0])
	loss := NegativeLogLikelihoodLoss(l).reduce(x.DType(), it, p)
	return []*tensor.Tensor{loss, fromFloats(x.DType(), p, x.Shape()...)}, nil
}

// Grad is dx = g - softmax(x)·Σ_c g, where g is the gradient of the log-probabilities.
func (l SoftmaxCrossEntropyLoss) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	if len(need) > 2 && need[2] {
		return nil, fmt.Errorf("class weights have no gradient; make them constants")
	}
	c := gradCalc(b, n)
	grads := make([]*ir.Value, len(n.In))
	var g *ir.Value
	if dOut[0] != nil {
		g = NegativeLogLikelihoodLoss(l).grad(b, n, dOut[0])[0]
	}
	if dlp := present(dOut, 1); dlp != nil {
		if g == nil {
			g = dlp
		} else {
			g = c.add(g, dlp)
		}
	}
	if g == nil {
		return grads, nil
	}
	var p *ir.Value
	if lp := n.Output(1); lp != nil {
		p = c.exp(lp)
	} else {
		p = c.op(Softmax{Axis: 1}, n.In[0])
	}
	sum := c.op(ReduceSum{KeepDims: true}, g, b.ConstInts(c.name+"/axes", 1))
	grads[0] = c.sub(g, c.mul(p, sum))
	return grads, nil
}

func (SoftmaxCrossEntropyLoss) Cost(n *ir.Node) ir.Cost {
	return ir.Cost{Ops: 4 * int64(n.In[0].Type.MustShape().Numel())}
}

func (SoftmaxCrossEntropyLoss) QuantTrait() ir.QuantTrait { return ir.QuantFloat }

func decodeSoftmaxCrossEntropyLoss(d *Decoder) ir.Op { return SoftmaxCrossEntropyLoss(decodeNLL(d)) }

func encodeSoftmaxCrossEntropyLoss(e *Encoder) {
	NegativeLogLikelihoodLoss(e.Node.Op.(SoftmaxCrossEntropyLoss)).encode(e)
}

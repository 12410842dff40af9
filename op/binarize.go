package op

import (
	"fmt"
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// This file holds the operators of binarized convolutions. A convolution of
// activations 0 or s with weights ±m is computed as
//
//	u = BinarizeActivation(x)            0 or 1
//	v, m = BinarizeWeight(w)             ±1
//	y = Conv(u, v) · BinaryScale(m, s)   integers times one factor per output channel
//
// so that the sum is one of small integers, exact in float32 in any order: what
// a popcount computes is what the simulation computes, bit for bit.

// BinarizeWeight takes the signs of weights, and the mean size of each filter:
//
//	v = 1 where w > 0, else -1
//	mean[o] = max(Σ |w[o,…]| / n, 1e-16), n weights in a filter   (XNOR-Net, Rastegari et al. 2016)
//
// With Global there is one mean, that of all weights, for every filter (DoReFa-Net,
// Zhou et al. 2016). Off leaves the weights alone, with means of 1.
//
//	in  0 w [O …]
//	out 0 v, as w   1 mean [O]
//
// Internal. The gradient is the straight-through one of v·mean with a constant
// mean, no clipping: dw = dv / mean.
type BinarizeWeight struct{ Global, Off bool }

var (
	_ ir.Evaluator      = BinarizeWeight{}
	_ ir.Differentiable = BinarizeWeight{}
	_ ir.Costed         = BinarizeWeight{}
)

func (BinarizeWeight) Kind() string { return "BinarizeWeight" }

func (BinarizeWeight) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 1, 1); err != nil {
		return nil, err
	}
	if err := wantDType(in[0], "weight", tensor.Float32); err != nil {
		return nil, err
	}
	if in[0].Type.Rank() < 2 {
		return nil, fmt.Errorf("weight: got %v, want filters along axis 0", in[0].Type)
	}
	return []ir.Type{in[0].Type, {DType: tensor.Float32, Dims: in[0].Type.Dims[:1]}}, nil
}

func (o BinarizeWeight) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if err := fqWant(in, 1); err != nil {
		return nil, err
	}
	if in[0].Rank() < 2 {
		return nil, fmt.Errorf("weight: got shape %v, want filters along axis 0", in[0].Shape())
	}
	w := in[0]
	mean := tensor.New(tensor.Float32, w.Shape()[0])
	if o.Off {
		for i := range mean.F32() {
			mean.F32()[i] = 1
		}
		return []*tensor.Tensor{w, mean}, nil
	}
	sums := make([]float64, mean.Len())
	for i := range sums {
		sums[i] = SumSizes(w.F32()[i*w.Len()/len(sums):][:w.Len()/len(sums)])
	}
	o.Means(mean.F32(), sums, w.Len())
	v := tensor.New(tensor.Float32, w.Shape()...)
	for i, x := range w.F32() {
		v.F32()[i] = -1
		if x > 0 {
			v.F32()[i] = 1
		}
	}
	return []*tensor.Tensor{v, mean}, nil
}

// SumSizes returns Σ |w| in float64, in four interleaved sums, which are added
// in order. Engines use it, so that means have the same bits everywhere.
func SumSizes(w []float32) float64 {
	var s [4]float64
	for ; len(w) >= 4; w = w[4:] {
		s[0] += math.Abs(float64(w[0]))
		s[1] += math.Abs(float64(w[1]))
		s[2] += math.Abs(float64(w[2]))
		s[3] += math.Abs(float64(w[3]))
	}
	for i, x := range w {
		s[i] += math.Abs(float64(x))
	}
	return s[0] + s[1] + s[2] + s[3]
}

// Means writes the means of filters, of which sums are the sums of sizes and n
// is the number of weights in all.
func (o BinarizeWeight) Means(mean []float32, sums []float64, n int) {
	total := 0.0
	for _, s := range sums {
		total += s
	}
	for i, s := range sums {
		switch {
		case o.Off:
			mean[i] = 1
		case o.Global:
			mean[i] = max(float32(total/float64(n)), fqEpsilon)
		default:
			mean[i] = max(float32(s/float64(n/len(sums))), fqEpsilon)
		}
	}
}

func (o BinarizeWeight) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	if o.Off || dOut[0] == nil {
		return []*ir.Value{dOut[0]}, nil
	}
	c := gradCalc(b, n)
	t := ir.Type{DType: tensor.Float32, Dims: []ir.Dim{n.In[0].Type.Dims[0]}}
	for range n.In[0].Type.Rank() - 1 {
		t.Dims = append(t.Dims, ir.Len(1))
	}
	return []*ir.Value{c.div(dOut[0], reshapeTo(b, c.name, n.Out[1], t))}, nil
}

func (BinarizeWeight) Cost(n *ir.Node) ir.Cost { return elementOps(n, 2) }

// BinarizeActivation compares x with a trained threshold per channel. With
// s = exp(log_scale) and t = sigmoid(logit_threshold):
//
//	u = 1 where x > t·s, else 0
//
// so that s·u is the scale/threshold binarization of NNCF (Kozlov et al. 2020,
// section 3.2). Off passes x on.
//
//	in  0 x [N C …]   1 log_scale [1]   2 logit_threshold [C]
//	out 0 u, as x
//
// Internal. The gradient is [BinarizeActivationGrad].
type BinarizeActivation struct{ Off bool }

var (
	_ ir.Evaluator      = BinarizeActivation{}
	_ ir.Differentiable = BinarizeActivation{}
	_ ir.Costed         = BinarizeActivation{}
)

func (BinarizeActivation) Kind() string { return "BinarizeActivation" }

func (BinarizeActivation) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 3, 3); err != nil {
		return nil, err
	}
	if in[0].Type.Rank() < 2 {
		return nil, fmt.Errorf("got input %v, want [N C …]", in[0].Type)
	}
	if err := fqParams(in[0], -1, in[1]); err != nil {
		return nil, err
	}
	return []ir.Type{in[0].Type}, fqParams(in[0], 1, in[2])
}

// BinaryThresholds writes the thresholds t·s, in float32, and returns s.
func BinaryThresholds(dst []float32, logScale float32, logit []float32) (scale float32) {
	scale = BinaryScaleOf(logScale)
	for i, l := range logit {
		dst[i] = sigmoidOf(l) * scale
	}
	return scale
}

// BinaryScaleOf returns exp(log_scale), rounded once.
func BinaryScaleOf(logScale float32) float32 { return float32(math.Exp(float64(logScale))) }

func sigmoidOf(l float32) float32 { return float32(1 / (1 + math.Exp(-float64(l)))) }

// binaryParams checks the tensors of an activation binarizer and returns the
// length of a channel's run.
func binaryParams(in []*tensor.Tensor, n int) (inner int, err error) {
	if err := fqWant(in, n); err != nil {
		return 0, err
	}
	if in[1].Len() != 1 || in[0].Rank() < 2 {
		return 0, fmt.Errorf("got input %v and scale %v, want [N C …] and one number", in[0].Shape(), in[1].Shape())
	}
	_, inner, err = fqChannel(in[0].Shape(), 1, in[2].Len())
	return inner, err
}

func (o BinarizeActivation) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	inner, err := binaryParams(in, 3)
	if err != nil {
		return nil, err
	}
	x := in[0]
	if o.Off {
		return one(x), nil
	}
	thresholds := make([]float32, in[2].Len())
	BinaryThresholds(thresholds, in[1].F32()[0], in[2].F32())
	y := tensor.New(tensor.Float32, x.Shape()...)
	for i, v := range x.F32() {
		if v > thresholds[i/inner%len(thresholds)] {
			y.F32()[i] = 1
		}
	}
	return one(y), nil
}

func (o BinarizeActivation) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	g := b.Multi(BinarizeActivationGrad(o), n.Name+"/grad", 3, n.In[0], n.In[1], n.In[2], dOut[0])
	return wanted(g, need), nil
}

func (BinarizeActivation) Cost(n *ir.Node) ir.Cost { return elementOps(n, 1) }

// BinarizeActivationGrad is the gradient that NNCF defines for the binarized
// activation a = s·u, with the gradient da = du/s:
//
//	dx              = da where 0 ≤ x ≤ s, else 0
//	ds              = Σ da·{ (a-x)/s where x ≤ s; 1 above }      dlog_scale = s·ds
//	dt[c]           = -Σ da where 0 < x < s, over channel c      dlogit = t·(1-t)·dt
//
// The sums over a channel are in float64 here. All of the gradient of s is in ds:
// [BinaryScale] hands none on. Off gives dx = du, and zeros.
//
//	in  0 x   1 log_scale   2 logit_threshold   3 du, as x
//	out 0 dx   1 dlog_scale   2 dlogit_threshold
//
// Internal.
type BinarizeActivationGrad BinarizeActivation

var (
	_ ir.Evaluator         = BinarizeActivationGrad{}
	_ ir.NonDifferentiable = BinarizeActivationGrad{}
	_ ir.Costed            = BinarizeActivationGrad{}
)

func (BinarizeActivationGrad) Kind() string { return "BinarizeActivationGrad" }

func (o BinarizeActivationGrad) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 4, 4); err != nil {
		return nil, err
	}
	if _, err := (BinarizeActivation{}).Infer(in[:3]); err != nil {
		return nil, err
	}
	return []ir.Type{in[0].Type, in[1].Type, in[2].Type}, wantMayEqual(in[3], "gradient", in[0].Type)
}

func (o BinarizeActivationGrad) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	inner, err := binaryParams(in, 4)
	if err != nil {
		return nil, err
	}
	x, du := in[0], in[3]
	if du.Len() != x.Len() {
		return nil, fmt.Errorf("got gradient %v for input %v", du.Shape(), x.Shape())
	}
	dlog, dlogit := tensor.New(tensor.Float32, in[1].Shape()...), tensor.New(tensor.Float32, in[2].Shape()...)
	if o.Off {
		return []*tensor.Tensor{du, dlog, dlogit}, nil
	}
	k := in[2].Len()
	thresholds := make([]float32, k)
	scale := BinaryThresholds(thresholds, in[1].F32()[0], in[2].F32())
	inverse := 1 / scale
	dx := tensor.New(tensor.Float32, x.Shape()...)
	sums := make([]BinarySums, k)
	for i, v := range x.F32() {
		c := i / inner % k
		d := du.F32()[i]
		if v >= 0 && v <= scale {
			dx.F32()[i] = d * inverse
		}
		sums[c].add(v, thresholds[c], scale, inverse, d)
	}
	dlog.F32()[0] = BinaryGrads(dlogit.F32(), sums, scale, in[2].F32())
	return []*tensor.Tensor{dx, dlog, dlogit}, nil
}

// BinarySums are what the gradients of one channel's parameters are made of.
type BinarySums struct {
	Scale     float64 // Σ du·(u - x/s where x ≤ s; 1 above)
	Threshold float64 // Σ du where 0 < x < s
}

func (t *BinarySums) add(x, threshold, scale, inverse, du float32) {
	u := 0.0
	if x > threshold {
		u = 1
	}
	switch {
	case x > scale:
		t.Scale += float64(du)
	case x <= scale: // not NaN
		t.Scale += float64(du) * (u - float64(x*inverse))
	}
	if x > 0 && x < scale {
		t.Threshold += float64(du)
	}
}

// BinaryGrads writes the gradients of the logits and returns that of log_scale.
func BinaryGrads(dlogit []float32, sums []BinarySums, scale float32, logit []float32) (dlog float32) {
	total := 0.0
	for i, s := range sums {
		total += s.Scale
		t := float64(sigmoidOf(logit[i]))
		dlogit[i] = float32(-t * (1 - t) * s.Threshold / float64(scale))
	}
	return float32(total)
}

func (BinarizeActivationGrad) NoGrad() string {
	return "straight-through gradients are differentiated once only; bypass the binarizers for second derivatives"
}

func (BinarizeActivationGrad) Cost(n *ir.Node) ir.Cost { return elementOps(n, 6) }

// BinaryScale is the factor that a sum of binarized products is multiplied by:
//
//	f[o] = mean[o] · exp(log_scale)
//
// NoScale leaves exp(log_scale) out, for activations that are not binarized.
//
//	in  0 mean [O]   1 log_scale [1]
//	out 0 f [O 1 1]
//
// Internal. It hands no gradient on: the straight-through gradients of
// [BinarizeWeight] and [BinarizeActivation] hold all of it.
type BinaryScale struct{ NoScale bool }

var (
	_ ir.Evaluator      = BinaryScale{}
	_ ir.Differentiable = BinaryScale{}
	_ ir.Costed         = BinaryScale{}
)

func (BinaryScale) Kind() string { return "BinaryScale" }

func (BinaryScale) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 2); err != nil {
		return nil, err
	}
	if err := wantDType(in[0], "means", tensor.Float32); err != nil {
		return nil, err
	}
	if in[0].Type.Rank() != 1 {
		return nil, fmt.Errorf("means: got %v, want one axis", in[0].Type)
	}
	t := ir.Type{DType: tensor.Float32, Dims: []ir.Dim{in[0].Type.Dims[0], ir.Len(1), ir.Len(1)}}
	return []ir.Type{t}, fqParams(in[0], -1, in[1])
}

func (o BinaryScale) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if err := fqWant(in, 2); err != nil {
		return nil, err
	}
	if in[1].Len() != 1 {
		return nil, fmt.Errorf("scale: got %v, want one number", in[1].Shape())
	}
	f := tensor.New(tensor.Float32, in[0].Len(), 1, 1)
	o.Factors(f.F32(), in[0].F32(), in[1].F32()[0])
	return one(f), nil
}

// Factors writes the factors.
func (o BinaryScale) Factors(f, mean []float32, logScale float32) {
	s := float32(1)
	if !o.NoScale {
		s = BinaryScaleOf(logScale)
	}
	for i, m := range mean {
		f[i] = m * s
	}
}

func (BinaryScale) Grad(_ *ir.Builder, n *ir.Node, _ []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return zeroGrad(n)
}

func (BinaryScale) Cost(n *ir.Node) ir.Cost { return elementOps(n, 1) }

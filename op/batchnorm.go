package op

import (
	"fmt"
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// BatchNormalization is y = (x - m)/√(v + Epsilon)·scale + bias per channel.
// In inference m and v are the inputs mean and var. In training they are the
// mean and the biased variance over the batch and all spatial axes, and the
// running statistics are running = input·Momentum + batch·(1-Momentum).
//
//	in  0 x [N, C, …]   1 scale [C]   2 bias [C]   3 mean [C]   4 var [C]
//	out 0 y, as x
//	    in training also 1 running mean [C]   2 running variance [C]
//	    and, for the gradient, 3 batch mean [C]   4 1/√(batch variance + Epsilon) [C]
//
// A file's defaults are Epsilon 1e-5 and Momentum 0.9; the zero value has
// neither. The running statistics have no gradient.
// https://onnx.ai/onnx/operators/onnx__BatchNormalization.html
type BatchNormalization struct {
	Epsilon, Momentum float32
	Training          bool
}

var (
	_ ir.Evaluator      = BatchNormalization{}
	_ ir.Differentiable = BatchNormalization{}
	_ ir.Costed         = BatchNormalization{}
	_ ir.AxisMapper     = BatchNormalization{}
	_ ir.QuantTraited   = BatchNormalization{}
	_ ir.Weighted       = BatchNormalization{}
)

func (BatchNormalization) Kind() string { return "BatchNormalization" }

func (bn BatchNormalization) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 5, 5); err != nil {
		return nil, err
	}
	if err := wantFloat(in...); err != nil {
		return nil, err
	}
	x := in[0].Type
	if x.Rank() < 2 {
		return nil, fmt.Errorf("input: got %v, want [N C …]", x)
	}
	c := x.Dims[1]
	for i, name := range []string{"scale", "bias", "mean", "var"} {
		v := in[1+i]
		if v.Type.Rank() != 1 || !v.Type.Dims[0].MayEqual(c) {
			return nil, fmt.Errorf("%s: got %v for input %v, want [%v]", name, v.Type, x, c)
		}
		if c.Sym != "" {
			c = v.Type.Dims[0]
		}
	}
	out := []ir.Type{x}
	if bn.Training {
		stat := ir.Type{DType: in[3].Type.DType, Dims: []ir.Dim{c}}
		out = append(out, stat, stat, stat, stat)
	}
	return out, nil
}

// channels returns the loops of a per-channel operator.
func channels(x *tensor.Tensor, per ...[]float64) (n, c, inner int, err error) {
	s := x.Shape()
	if len(s) < 2 {
		return 0, 0, 0, fmt.Errorf("got input %v, want [N C …]", s)
	}
	for _, p := range per {
		if p != nil && len(p) != s[1] {
			return 0, 0, 0, fmt.Errorf("got %d values for %d channels", len(p), s[1])
		}
	}
	return s[0], s[1], product(s[2:]), nil
}

// channelMoments returns the mean and biased variance of each channel.
func channelMoments(x []float64, n, c, inner int) (mean, variance []float64) {
	mean, variance = make([]float64, c), make([]float64, c)
	m := float64(n * inner)
	for ch := range c {
		sum := 0.0
		for i := range n {
			for _, v := range x[(i*c+ch)*inner:][:inner] {
				sum += v
			}
		}
		mean[ch] = sum / m
		sq := 0.0
		for i := range n {
			for _, v := range x[(i*c+ch)*inner:][:inner] {
				sq += (v - mean[ch]) * (v - mean[ch])
			}
		}
		variance[ch] = sq / m
	}
	return mean, variance
}

func (bn BatchNormalization) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if err := wantTensors(in, 5); err != nil {
		return nil, err
	}
	x := in[0]
	v, err := realsOf(in...)
	if err != nil {
		return nil, err
	}
	n, c, inner, err := channels(x, v[1:]...)
	if err != nil {
		return nil, err
	}
	mean, variance := v[3], v[4]
	if bn.Training {
		mean, variance = channelMoments(v[0], n, c, inner)
	}
	inv := make([]float64, c)
	for ch := range c {
		inv[ch] = 1 / math.Sqrt(variance[ch]+float64(bn.Epsilon))
	}
	y := make([]float64, len(v[0]))
	for i := range n {
		for ch := range c {
			f := inv[ch] * v[1][ch]
			for j := range inner {
				k := (i*c+ch)*inner + j
				y[k] = (v[0][k]-mean[ch])*f + v[2][ch]
			}
		}
	}
	out := one(fromFloats(x.DType(), y, x.Shape()...))
	if !bn.Training {
		return out, nil
	}
	runMean, runVar := make([]float64, c), make([]float64, c)
	m := float64(bn.Momentum)
	for ch := range c {
		runMean[ch] = v[3][ch]*m + mean[ch]*(1-m)
		runVar[ch] = v[4][ch]*m + variance[ch]*(1-m)
	}
	for _, s := range [][]float64{runMean, runVar, mean, inv} {
		out = append(out, fromFloats(in[3].DType(), s, c))
	}
	return out, nil
}

func (bn BatchNormalization) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	grads := make([]*ir.Value, 5)
	dy := dOut[0]
	if dy == nil {
		return grads, nil
	}
	in := []*ir.Value{n.In[0], n.In[1], dy}
	if !bn.Training {
		in = append(in, n.In[3], n.In[4])
	} else if n.Output(3) != nil && n.Output(4) != nil {
		in = append(in, n.Out[3], n.Out[4])
	}
	g := b.Multi(BatchNormGrad{Epsilon: bn.Epsilon, Frozen: !bn.Training}, n.Name+"/grad", 3, in...)
	for i := range 3 {
		if need[i] {
			grads[i] = g[i]
		}
	}
	if !bn.Training && (need[3] || need[4]) {
		c := calc{b, n.Name + "/grad_stats"}
		v := c.shift(n.In[4], float64(bn.Epsilon))
		if need[3] { // -Σ dy·scale/√v
			grads[3] = c.neg(c.div(c.mul(g[2], n.In[1]), c.sqrt(v)))
		}
		if need[4] { // -½·Σ dy·x̂·scale/v
			grads[4] = c.scale(c.div(c.mul(g[1], n.In[1]), v), -0.5)
		}
	}
	return grads, nil
}

func (bn BatchNormalization) Cost(n *ir.Node) ir.Cost {
	if bn.Training {
		return elementOps(n, 6)
	}
	return elementOps(n, 2)
}

// MapAxes implements [ir.AxisMapper].
func (bn BatchNormalization) MapAxes(n *ir.Node, m ir.AxisMap) {
	channelAxes(n, m)
	if bn.Training {
		m.Fix(n.In[0], 0, axisTogether)
	}
}

// QuantTrait: quantizers neither pass nor precede it; patterns fuse it with the
// convolution before it.
func (BatchNormalization) QuantTrait() ir.QuantTrait { return ir.QuantFloat }

func (BatchNormalization) Weights(*ir.Node) ir.WeightPorts {
	return ir.WeightPorts{Weight: 1, OutAxis: 0, InAxis: -1, Bias: 2}
}

func decodeBatchNormalization(d *Decoder) ir.Op {
	bn := BatchNormalization{Epsilon: d.Float("epsilon", 1e-5), Momentum: d.Float("momentum", 0.9)}
	if d.Opset < 9 && d.Int("spatial", 1) != 1 {
		d.Errorf("spatial: got 0 (statistics per activation), want 1")
	}
	if d.Opset >= 14 {
		bn.Training = d.Bool("training_mode", false)
	} else {
		bn.Training = d.NumOut > 1 // the old training form also lists saved statistics, unused
	}
	return bn
}

func encodeBatchNormalization(e *Encoder) {
	bn := e.Node.Op.(BatchNormalization)
	e.Set("epsilon", bn.Epsilon)
	e.Set("momentum", bn.Momentum)
	if bn.Training {
		e.MinOpset(14)
		e.Set("training_mode", true)
		if e.Node.Output(3) != nil || e.Node.Output(4) != nil {
			e.Errorf("the batch statistics (outputs 3 and 4) have no place in a file; strip the training form first")
		}
	}
}

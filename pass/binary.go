package pass

import (
	"errors"
	"fmt"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// BinaryToONNX spells binarized convolutions out in standard operators:
//
//	activations  Greater than the thresholds [C 1 1] → Cast
//	weights      signs as int8 → Cast
//	result       Conv, which adds up integers, Mul by one factor per output channel [O 1 1]
//
// So the file computes exactly what was trained, in any runtime that computes
// what it says; those that merge the factors into the weights round differently,
// by some 1e-7 of the result. package engine/native recognizes the form and runs
// it on bits. Binarizers that are switched off vanish.
func BinaryToONNX(g *ir.Graph, t *rewrite.Trace) error {
	return eachBinary(g, rewrite.New(g, "binary-to-onnx", t), func(p *rewrite.Patch, b *binary) error {
		u, w, f := b.x, b.weight, b.factors
		if !b.actOff {
			at := p.B.Const(b.name+"/thresholds", tensor.From(b.thresholds, len(b.thresholds), 1, 1))
			u = p.B.Op(op.Cast{To: tensor.Float32}, b.name+"/bit", p.B.Op(op.Greater{}, b.name+"/above", b.x, at))
		}
		if !b.weightOff {
			signs := make([]int8, b.signs.Len())
			for i, v := range b.signs.F32() {
				signs[i] = int8(v)
			}
			source := weightSource(b.weight)
			k := replacement(p, source, ir.Constant, b.weight.Name, tensor.From(signs, b.signs.Shape()...))
			w = p.B.Op(op.Cast{To: tensor.Float32}, b.name+"/signs", k)
		}
		y := p.B.Op(b.conv.Op, b.conv.Name, u, w)
		if !b.actOff || !b.weightOff {
			y = p.B.Op(op.Mul{}, b.name+"/scale", y, p.B.Const(b.name+"/factors", tensor.From(f, len(f), 1, 1)))
		}
		take(p, b.result, y)
		return nil
	})
}

// BinaryToFakeQuantize writes binarized convolutions with OpenVINO's
// FakeQuantize of two levels, in the one form that OpenVINO runs as
// BinaryConvolution, alone and in chains (measured with 2026.4):
//
//	activations  input 0 … 2t, output 0 … s: rounding compares with t
//	weights      ±m as float32 constant, input and output -m … m for each filter
//
// Equal ends of an input range, which the original writes, give NaN wherever
// OpenVINO does not take the convolution as binary. Where the number of input
// channels is not a multiple of 8 its BinaryConvolution computes something else,
// silently; weights are then ±m without FakeQuantize, which it runs in float, and
// the trace says so. It has no BinaryConvolution for an open batch axis: fix the
// input's shape before compiling.
func BinaryToFakeQuantize(g *ir.Graph, t *rewrite.Trace) error {
	return eachBinary(g, rewrite.New(g, "binary-to-fakequantize", t), func(p *rewrite.Patch, b *binary) error {
		u, w := b.x, b.weight
		c := func(name string, v []float32, shape ...int) *ir.Value {
			return p.B.Const(b.name+"/"+name, tensor.From(v, shape...))
		}
		if !b.actOff {
			high := make([]float32, len(b.thresholds))
			for i, v := range b.thresholds {
				if high[i] = 2 * v; !(high[i] > 0) {
					return fmt.Errorf("threshold %d is %g, want above 0", i, v)
				}
			}
			u = p.B.Op(op.FakeQuantize{Levels: 2}, b.name+"/activation", b.x,
				c("low", make([]float32, len(high)), 1, len(high), 1, 1), c("high", high, 1, len(high), 1, 1),
				c("zero", []float32{0}, 1), c("one", []float32{b.scale}, 1))
		}
		if !b.weightOff {
			low, high := make([]float32, len(b.mean)), b.mean
			for i, m := range b.mean {
				low[i] = -m
			}
			sized := make([]float32, b.signs.Len())
			for i, v := range b.signs.F32() {
				sized[i] = v * b.mean[i*len(b.mean)/len(sized)]
			}
			w = replacement(p, weightSource(b.weight), ir.Constant, b.weight.Name, tensor.From(sized, b.signs.Shape()...))
			if in := len(b.thresholds); in%openvinoBits == 0 {
				lo, hi := c("weight_low", low, len(low), 1, 1, 1), c("weight_high", high, len(high), 1, 1, 1)
				w = p.B.Op(op.FakeQuantize{Levels: 2}, b.name+"/weight", w, lo, hi, lo, hi)
			} else {
				p.Note("%s: weights stay float: OpenVINO runs %d input channels wrongly on bits, multiples of %d right", b.conv.Label(), in, openvinoBits)
			}
		}
		take(p, b.result, p.B.Op(b.conv.Op, b.conv.Name, u, w))
		return nil
	})
}

// openvinoBits divides the numbers of input channels that OpenVINO's
// BinaryConvolution computes rightly (measured with 2026.4: 8, 16, 24, 40 … are
// right, 3, 4, 10, 12, 20 wrong, whatever the kernel and the output channels).
const openvinoBits = 8

// binary is a binarized convolution with its numbers.
type binary struct {
	name              string
	conv              *ir.Node
	x, weight, result *ir.Value
	actOff, weightOff bool

	thresholds    []float32
	scale         float32
	signs         *tensor.Tensor
	mean, factors []float32
}

// eachBinary calls write for every binarized convolution of the graph, and makes
// their biases constants.
func eachBinary(g *ir.Graph, p *rewrite.Patch, write func(*rewrite.Patch, *binary) error) error {
	var errs []error
	for _, n := range append([]*ir.Node(nil), g.Nodes()...) {
		if _, ok := n.Op.(op.BinaryScale); !ok {
			continue
		}
		b, err := readBinary(g, n)
		if err == nil {
			foldBias(p, b.result)
			err = write(p, b)
		}
		if err != nil {
			errs = append(errs, n.Wrap("binarize", err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return p.Commit()
}

// readBinary reads the convolution whose result the factors of n scale.
func readBinary(g *ir.Graph, n *ir.Node) (*binary, error) {
	shape := errors.New("got a graph of another shape than package binarization makes: BinarizeActivation and BinarizeWeight → Conv → Mul by BinaryScale")
	use, ok := onlyUse(g, n.Out[0])
	if !ok {
		return nil, shape
	}
	if _, ok := use.Node.Op.(op.Mul); !ok {
		return nil, shape
	}
	conv, _, ok := producer[op.Conv](use.Node.In[1-use.Port])
	if !ok {
		return nil, shape
	}
	a, act, ok1 := producer[op.BinarizeActivation](conv.In[0])
	k, weight, ok2 := producer[op.BinarizeWeight](conv.In[1])
	if !ok1 || !ok2 {
		return nil, shape
	}
	b := &binary{name: use.Node.Out[0].Name, conv: conv, x: a.In[0], weight: k.In[0], result: use.Node.Out[0], actOff: act.Off, weightOff: weight.Off}
	stored := func(v *ir.Value) (*tensor.Tensor, error) {
		t, ok := StoredTensor(v)
		if !ok || t.DType() != tensor.Float32 {
			return nil, fmt.Errorf("%q is computed from the model's input, want a stored tensor", v.Name)
		}
		return t, nil
	}
	logScale, err1 := stored(a.In[1])
	logit, err2 := stored(a.In[2])
	signs, err3 := stored(k.Out[0])
	mean, err4 := stored(k.Out[1])
	factors, err5 := stored(n.Out[0])
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return nil, err
	}
	b.thresholds = make([]float32, logit.Len())
	b.scale = op.BinaryThresholds(b.thresholds, logScale.F32()[0], logit.F32())
	b.signs, b.mean, b.factors = signs, mean.F32(), factors.F32()
	return b, nil
}

// foldBias makes the bias that is added to v a constant.
func foldBias(p *rewrite.Patch, v *ir.Value) {
	u, ok := onlyUse(p.Graph(), v)
	if !ok || len(u.Node.In) != 2 {
		return
	}
	if _, ok := u.Node.Op.(op.Add); !ok {
		return
	}
	bias := u.Node.In[1-u.Port]
	if n, _, ok := producer[op.Unsqueeze](bias); ok {
		if t, ok := StoredTensor(bias); ok {
			p.SetInput(u.Node, 1-u.Port, replacement(p, n.In[0], ir.Constant, n.In[0].Name, t))
		}
	}
}

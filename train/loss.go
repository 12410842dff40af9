package train

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// LossFunc builds a scalar loss of a model's outputs and a target into the
// graph under construction.
type LossFunc func(b *ir.Builder, outputs []*ir.Value, target *ir.Value) (*ir.Value, error)

// NoLoss is the type of loss that is none, for data without labels.
const NoLoss = "none"

// LossOptions choose a loss of the model's first output.
type LossOptions struct {
	// Type is one of, with x the output and t the target:
	//
	//	cross_entropy   mean over samples of -log softmax(x)[t], t int64 [N]; of
	//	                maps [N classes d…], over their places too, t int64 [N d…]
	//	bce             mean of softplus(x) - t·x, binary cross-entropy of logits
	//	mse             mean of (x-t)²
	//	l1              mean of |x-t|
	//	kl              mean over samples of T²·Σ softmax(t/T)·(log softmax(t/T) - log softmax(x/T))
	//	none            nothing: what the hook adds, such as distillation, trains
	//	                alone, and samples need no labels
	//
	// Default cross_entropy. Targets of all others are float32, shaped as x; none
	// takes no target.
	Type string `json:"type,omitempty"`
	// LabelSmoothing s of cross_entropy mixes the labels with the uniform
	// distribution: (1-s)·onehot + s/classes. 0 to below 1.
	LabelSmoothing float64 `json:"label_smoothing,omitempty"`
	// Temperature T of kl; default 1.
	Temperature float64 `json:"temperature,omitempty"`
}

// Validate reports everything that is wrong with o.
func (o LossOptions) Validate() error {
	var errs []error
	switch o.Type {
	case "", "cross_entropy", "bce", "mse", "l1", "kl", NoLoss:
	default:
		errs = append(errs, fmt.Errorf("loss type: got %q, want cross_entropy, bce, mse, l1, kl or none", o.Type))
	}
	if !(o.LabelSmoothing >= 0 && o.LabelSmoothing < 1) {
		errs = append(errs, fmt.Errorf("label_smoothing: got %g, want 0 to below 1", o.LabelSmoothing))
	}
	if !(o.Temperature >= 0) || math.IsInf(o.Temperature, 1) {
		errs = append(errs, fmt.Errorf("temperature: got %g, want above 0", o.Temperature))
	}
	return errors.Join(errs...)
}

// TargetType returns the type of the target for an output of type x.
func (o LossOptions) TargetType(x ir.Type) ir.Type {
	if o.classifies() {
		dims := slices.Clone(x.Dims[:min(1, len(x.Dims))])
		return ir.Type{DType: tensor.Int64, Dims: append(dims, x.Dims[min(2, len(x.Dims)):]...)}
	}
	return x
}

func (o LossOptions) classifies() bool { return o.Type == "" || o.Type == "cross_entropy" }

// oneHot returns labels as the target of a loss that compares the output with
// something of its shape.
func (o LossOptions) oneHot(labels *tensor.Tensor, shape tensor.Shape) (*tensor.Tensor, error) {
	if o.Type == "kl" {
		return nil, errors.New("loss kl: got labels, want a teacher's scores; call StepTensors with them, or choose cross_entropy")
	}
	n := labels.Len()
	if n == 0 || shape.Numel()%n != 0 || len(shape) == 0 || shape[0] != n {
		return nil, fmt.Errorf("loss %s: got labels for %d samples, the output has shape %v", o.Type, n, shape)
	}
	k := shape.Numel() / n
	t := tensor.New(tensor.Float32, shape...)
	for i, l := range labels.I64() {
		if l < 0 || l >= int64(k) {
			return nil, fmt.Errorf("label %d of sample %d is outside 0..%d", l, i, k-1)
		}
		t.F32()[i*k+int(l)] = 1
	}
	return t, nil
}

// Func returns the loss as a function that builds it.
func (o LossOptions) Func() LossFunc {
	return func(b *ir.Builder, outputs []*ir.Value, target *ir.Value) (*ir.Value, error) {
		x := outputs[0]
		var loss *ir.Value
		switch o.Type {
		case "", "cross_entropy":
			loss = o.crossEntropy(b, x, target)
		case "bce":
			tx := b.Op(op.Mul{}, "loss/tx", target, x)
			loss = mean(b, b.Op(op.Sub{}, "loss/bce", b.Op(op.Softplus{}, "loss/softplus", x), tx))
		case "mse":
			d := b.Op(op.Sub{}, "loss/difference", x, target)
			loss = mean(b, b.Op(op.Mul{}, "loss/square", d, d))
		case "l1":
			loss = mean(b, b.Op(op.Abs{}, "loss/abs", b.Op(op.Sub{}, "loss/difference", x, target)))
		case "kl":
			loss = o.divergence(b, x, target)
		default:
			return nil, o.Validate()
		}
		return loss, b.Err()
	}
}

func mean(b *ir.Builder, v *ir.Value) *ir.Value {
	return b.Op(op.ReduceMean{}, "loss", v)
}

func (o LossOptions) crossEntropy(b *ir.Builder, x, labels *ir.Value) *ir.Value {
	if rank := x.Type.Rank(); rank > 2 {
		// Every place is a row of its own: with channels last the scores lie that way.
		perm := []int{0}
		for a := 2; a < rank; a++ {
			perm = append(perm, a)
		}
		x = b.Op(op.Transpose{Perm: append(perm, 1)}, "loss/places", x)
		x = b.Op(op.Reshape{}, "loss/rows", x, b.ConstInts("loss/rows/shape", -1, x.Type.Dims[rank-1].N))
		labels = b.Op(op.Reshape{}, "loss/labels", labels, b.ConstInts("loss/labels/shape", -1))
	}
	if o.LabelSmoothing == 0 {
		return b.Multi(op.SoftmaxCrossEntropyLoss{}, "loss", 2, x, labels)[0]
	}
	out := b.Multi(op.SoftmaxCrossEntropyLoss{}, "loss/nll", 2, x, labels)
	s := float32(o.LabelSmoothing)
	hard := b.Op(op.Mul{}, "loss/hard", out[0], b.ConstF32("loss/keep", 1-s))
	soft := b.Op(op.Mul{}, "loss/soft", b.Op(op.ReduceMean{}, "loss/mean_log_prob", out[1]), b.ConstF32("loss/smoothing", s))
	return b.Op(op.Sub{}, "loss", hard, soft)
}

// divergence is Kullback and Leibler's, as distillation uses it (Hinton et al.,
// https://arxiv.org/abs/1503.02531, section 2).
func (o LossOptions) divergence(b *ir.Builder, x, teacher *ir.Value) *ir.Value {
	t := float32(o.Temperature)
	if t == 0 {
		t = 1
	}
	scaled := func(v *ir.Value, name string) *ir.Value {
		if t == 1 {
			return v
		}
		return b.Op(op.Mul{}, name, v, b.ConstF32(name+"/factor", 1/t))
	}
	x, teacher = scaled(x, "loss/student"), scaled(teacher, "loss/teacher")
	p := b.Op(op.Softmax{Axis: -1}, "loss/p", teacher)
	logP := b.Op(op.LogSoftmax{Axis: -1}, "loss/log_p", teacher)
	logQ := b.Op(op.LogSoftmax{Axis: -1}, "loss/log_q", x)
	d := b.Op(op.Mul{}, "loss/kl", p, b.Op(op.Sub{}, "loss/log_ratio", logP, logQ))
	classes := 1
	if b.Err() == nil {
		s := x.Type.MustShape()
		classes = s[len(s)-1]
	}
	return b.Op(op.Mul{}, "loss", b.Op(op.ReduceMean{}, "loss/mean", d), b.ConstF32("loss/scale", t*t*float32(classes)))
}

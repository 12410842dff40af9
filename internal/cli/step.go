package cli

import (
	"slices"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
	"github.com/go-nncf/nncf/train"
)

// stepOptions are those of a training step that is only timed or looked at: on
// random data, which teach nothing, at a rate that leaves weights finite.
func (s *session) stepOptions(g *ir.Graph, limit int64) train.Options {
	o := train.Options{Optimizer: train.OptimizerOptions{Momentum: 0.9}, Schedule: train.ScheduleOptions{LR: 1e-4},
		Threads: s.Threads, MaxMemory: limit, Logger: s.log}
	if len(g.Outputs) > 1 && slices.ContainsFunc(g.Outputs[1:], isFloat) {
		o.LossFunc = ofAllOutputs
	}
	return o
}

func isFloat(v *ir.Value) bool { return v.Type.DType == tensor.Float32 }

// ofAllOutputs is the usual loss of the first output and the mean squares of the
// others, so that every layer of a detector takes part.
func ofAllOutputs(b *ir.Builder, outputs []*ir.Value, target *ir.Value) (*ir.Value, error) {
	loss, err := train.LossOptions{}.Func()(b, outputs, target)
	if err != nil {
		return nil, err
	}
	for _, v := range outputs[1:] {
		if isFloat(v) {
			loss = b.Op(op.Add{}, "loss/sum", loss, b.Op(op.ReduceMean{}, "loss/mean", b.Op(op.Mul{}, "loss/square", v, v)))
		}
	}
	return loss, b.Err()
}

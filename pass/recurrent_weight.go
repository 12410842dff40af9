package pass

import (
	"errors"
	"fmt"
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// recurrentWeights replaces the quantizers of weights that recurrent cells read:
//
//	int8 constant → Cast to int32 → Cast to float32 → Mul by the scale, [1 C 1] or one number
//
// with Sub of the zero point between the Casts if it is not 0. Both ONNX Runtime
// and OpenVINO compute that once, when they load the file, so the cell reads a
// constant. They would not with DequantizeLinear or FakeQuantize: ONNX Runtime
// runs the former at every inference, and OpenVINO 2026.4 keeps either and then
// fails with "expects Constant for port 4" (ADR 0016).
func recurrentWeights(g *ir.Graph, t *rewrite.Trace) error {
	p := rewrite.New(g, "recurrent-weights", t)
	var errs []error
	for _, n := range append([]*ir.Node(nil), g.Nodes()...) {
		if !op.IsFakeQuantizer(n) || !onWeights(n) || !readByCells(n.Out[0]) {
			continue
		}
		if err := recurrentWeight(p, n); err != nil {
			errs = append(errs, n.Wrap("quantize", err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return p.Commit()
}

// readByCells reports whether a recurrent cell reads v as a weight.
func readByCells(v *ir.Value) bool {
	for _, u := range v.Uses() {
		if op.IsRecurrent(u.Node.Op) && (u.Port == 1 || u.Port == 2) {
			return true
		}
	}
	return false
}

func recurrentWeight(p *rewrite.Patch, n *ir.Node) error {
	q, err := readQuantizer(n)
	if err != nil {
		return err
	}
	if q.grids[0].n > math.MaxUint16 {
		return fmt.Errorf("got a grid of %d points, want at most 65536", q.grids[0].n+1)
	}
	points, shape, err := q.points()
	if err != nil {
		return err
	}
	k, zeros, err := q.integers(points, shape)
	if err != nil {
		return err
	}
	y := n.Out[0]
	source := weightSource(n.In[0])
	name := y.Name
	if source != nil {
		name = source.Name
	}
	per := tensor.Shape{}
	if q.axis >= 0 {
		for range shape {
			per = append(per, 1)
		}
		per[q.axis] = len(q.grids)
	}
	steps := make([]float32, len(q.grids))
	for i, g := range q.grids {
		steps[i] = g.step()
	}
	v := replacement(p, source, ir.Constant, name, k)
	base := n.Name
	v = p.B.Op(op.Cast{To: tensor.Int32}, base+"/integer", v)
	offset, err := zeros.Ints()
	if err != nil {
		return err
	}
	z := make([]int32, len(offset))
	shifted := false
	for i, o := range offset {
		z[i], shifted = int32(o), shifted || o != 0
	}
	if shifted {
		v = p.B.Op(op.Sub{}, base+"/shift", v, p.B.Const(name+"/zero_point", tensor.From(z, per...)))
	}
	v = p.B.Op(op.Cast{To: tensor.Float32}, base+"/float", v)
	take(p, y, p.B.Op(op.Mul{}, base+"/dequantize", v, p.B.Const(name+"/scale", tensor.From(steps, per...))))
	return p.B.Err()
}

package pass

import (
	"errors"
	"fmt"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// ToFakeQuantize replaces trainable fake-quantizers by OpenVINO's FakeQuantize,
// with input and output range equal:
//
//	activations  the grid's ends and its number of points; per-channel bounds are [1 C 1 …]
//	weights      the rounded values as float32 constant, 255 or 256 levels
//	recurrent    the integers, cast and multiplied: OpenVINO needs constant weights in recurrent cells
//
// OpenVINO runs only 255 and 256 levels on weights in int8, so a weight grid
// with fewer points is written as 255 levels over ±127 steps: the constant is
// rounded already and rounds to itself.
//
// Batch normalization may stay; OpenVINO fuses it. Errors, all together: more
// than 256 points, which OpenVINO drops, and parameters that are not stored.
func ToFakeQuantize(g *ir.Graph, t *rewrite.Trace) error {
	if err := recurrentWeights(g, t); err != nil {
		return err
	}
	p := rewrite.New(g, "to-fakequantize", t)
	var errs []error
	for _, n := range append([]*ir.Node(nil), g.Nodes()...) {
		if !op.IsFakeQuantizer(n) {
			continue
		}
		if err := fileQuantizer(p, n); err != nil {
			errs = append(errs, n.Wrap("quantize", err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return p.Commit()
}

func fileQuantizer(p *rewrite.Patch, n *ir.Node) error {
	q, err := readQuantizer(n)
	if err != nil {
		return err
	}
	x, y := n.In[0], n.Out[0]
	low, high := make([]float32, len(q.grids)), make([]float32, len(q.grids))
	levels := q.grids[0].n + 1
	for i, g := range q.grids {
		if g.n > 255 {
			return fmt.Errorf("got a grid of %d points, want at most 256: OpenVINO drops larger ones", g.n+1)
		}
		low[i], high[i] = float32(g.min())*g.step(), float32(g.max())*g.step()
	}
	if onWeights(n) {
		if x, levels, err = fileWeight(p, q, low, high); err != nil {
			return err
		}
	}
	shape := tensor.Shape{}
	if q.axis >= 0 {
		for range y.Type.Rank() {
			shape = append(shape, 1)
		}
		shape[q.axis] = len(low)
	}
	il := p.B.Const(y.Name+"/low", tensor.From(low, shape...))
	ih := p.B.Const(y.Name+"/high", tensor.From(high, shape...))
	take(p, y, p.B.Op(op.FakeQuantize{Levels: levels}, n.Name, x, il, ih, il, ih))
	return p.B.Err()
}

// fileWeight adds the rounded weights and widens the bounds to 255 levels if
// the grid has fewer points.
func fileWeight(p *rewrite.Patch, q *quantizer, low, high []float32) (*ir.Value, int, error) {
	points, shape, err := q.points()
	if err != nil {
		return nil, 0, err
	}
	of := q.channel(shape)
	data := make([]float32, len(points))
	lo, hi := 0, 0
	for i, k := range points {
		data[i] = float32(k) * q.grids[of(i)].step()
		lo, hi = min(lo, k), max(hi, k)
	}
	used := make([]bool, len(q.grids))
	for i, k := range points {
		used[of(i)] = used[of(i)] || k != 0
	}
	for i, g := range q.grids {
		if !used[i] { // a range of any size does, one that float32 can divide by
			low[i], high[i] = float32(g.min())/127, float32(g.max())/127
		}
	}
	levels := q.grids[0].n + 1
	if levels < 255 && lo >= -127 && hi <= 127 {
		levels = 255
		for i, g := range q.grids {
			step := g.step()
			if !used[i] {
				step = 1
			}
			low[i], high[i] = -127*step, 127*step
		}
	}
	source := weightSource(q.node.In[0])
	return replacement(p, source, kindOf(source), q.node.In[0].Name, tensor.From(data, shape...)), levels, nil
}

package op

import (
	"fmt"
	"math"
	"slices"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// NonMaxSuppression chooses, for each sample and class, boxes by falling score
// that overlap no better one by more than a share of their union.
//
//	in  0 boxes [N, B, 4], two corners y x y x, or with CenterPointBox center and size x y w h
//	    1 scores [N, C, B]   2 most boxes of a class, int64, optional: 0
//	    3 largest overlap, optional: 0   4 lowest score, exclusive, optional: none
//	out 0 chosen [K, 3] int64: sample, class, box
//
// https://onnx.ai/onnx/operators/onnx__NonMaxSuppression.html
type NonMaxSuppression struct{ CenterPointBox bool }

var _ ir.Evaluator = NonMaxSuppression{}

func (NonMaxSuppression) Kind() string { return "NonMaxSuppression" }

func (NonMaxSuppression) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 5); err != nil {
		return nil, err
	}
	if err := wantFloat(in[0], in[1]); err != nil {
		return nil, err
	}
	b, s := in[0].Type, in[1].Type
	if b.Rank() != 3 || s.Rank() != 3 || !b.Dims[2].MayEqual(ir.Len(4)) || !b.Dims[0].MayEqual(s.Dims[0]) || !b.Dims[1].MayEqual(s.Dims[2]) {
		return nil, fmt.Errorf("got boxes %v and scores %v, want [N B 4] and [N C B]", b, s)
	}
	return []ir.Type{{DType: tensor.Int64, Dims: []ir.Dim{ir.Unknown(), ir.Len(3)}}}, nil
}

func (o NonMaxSuppression) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if err := wantTensors(in, 2); err != nil {
		return nil, err
	}
	bs, ss := in[0].Shape(), in[1].Shape()
	if len(bs) != 3 || len(ss) != 3 || bs[2] != 4 || bs[0] != ss[0] || bs[1] != ss[2] {
		return nil, fmt.Errorf("got boxes %v and scores %v, want [N B 4] and [N C B]", bs, ss)
	}
	v, err := realsOf(in[0], in[1])
	if err != nil {
		return nil, err
	}
	limit := [3]float64{0, 0, math.Inf(-1)} // boxes, overlap, score
	for i := range limit {
		if t := present(in, 2+i); t != nil {
			if limit[i], err = scalarOf(t, []string{"max_output_boxes_per_class", "iou_threshold", "score_threshold"}[i]); err != nil {
				return nil, err
			}
		}
	}
	var chosen []int
	for k := range ss[0] * ss[1] {
		n, scores := k/ss[1], v[1][k*ss[2]:][:ss[2]]
		var order []int
		for i, s := range scores {
			if s > limit[2] {
				order = append(order, i)
			}
		}
		slices.SortStableFunc(order, func(a, b int) int {
			switch {
			case scores[a] > scores[b]:
				return -1
			case scores[a] < scores[b]:
				return 1
			}
			return 0
		})
		box := func(i int) [4]float64 { return o.corners(v[0][(n*bs[1]+i)*4:][:4]) }
		var kept []int
		for _, i := range order {
			if float64(len(kept)) >= limit[0] {
				break
			}
			if !slices.ContainsFunc(kept, func(j int) bool { return overlap(box(i), box(j)) > limit[1] }) {
				kept = append(kept, i)
				chosen = append(chosen, n, k%ss[1], i)
			}
		}
	}
	return one(fromInts(tensor.Int64, chosen, len(chosen)/3, 3)), nil
}

// corners returns the lower and upper ends of both axes.
func (o NonMaxSuppression) corners(b []float64) [4]float64 {
	if o.CenterPointBox {
		return [4]float64{b[0] - b[2]/2, b[1] - b[3]/2, b[0] + b[2]/2, b[1] + b[3]/2}
	}
	return [4]float64{min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3])}
}

// overlap is intersection over union, 0 for boxes without area.
func overlap(a, b [4]float64) float64 {
	h, w := min(a[2], b[2])-max(a[0], b[0]), min(a[3], b[3])-max(a[1], b[1])
	if h <= 0 || w <= 0 {
		return 0
	}
	return h * w / ((a[2]-a[0])*(a[3]-a[1]) + (b[2]-b[0])*(b[3]-b[1]) - h*w)
}

func decodeNonMaxSuppression(d *Decoder) ir.Op {
	return NonMaxSuppression{CenterPointBox: d.Bool("center_point_box", false)}
}

func encodeNonMaxSuppression(e *Encoder) {
	e.MinOpset(10)
	if e.Node.Op.(NonMaxSuppression).CenterPointBox {
		e.Set("center_point_box", 1)
	}
}

package pass

import (
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// expandRules make operators that runtimes, kernels and quantizers know of ones
// that they do not.
var expandRules = []rewrite.Rule{
	{Name: "time-first", Doc: "a recurrent cell with the batch first is one with the time first between Transposes, which runtimes run", Match: timeFirst},
	{Name: "expand-attention", Doc: "an Attention becomes products and a softmax, which are trained, quantized and run on kernels", Match: expandAttention},
}

// expandAttention leaves alone what keeps a past or gives its scores, heads of k
// that several of q share, and masks of truth values, whose rows may see nothing.
func expandAttention(p *rewrite.Patch, n *ir.Node) bool {
	a, ok := n.Op.(op.Attention)
	if !ok || n.Output(0) == nil || n.Output(1) != nil || n.Output(2) != nil || n.Output(3) != nil || n.Input(4) != nil {
		return false
	}
	q, k, v, mask := n.In[0], n.In[1], n.In[2], n.Input(3)
	if q.Type.DType != tensor.Float32 {
		return false
	}
	rank, hq, hk := q.Type.Rank(), a.QHeads, a.KVHeads
	e := q.Type.Dims[rank-1]
	if rank == 4 {
		hq, _ = q.Type.Dims[1].Known()
		hk, _ = k.Type.Dims[1].Known()
	} else {
		e = q.Type.Dims[2].Div(ir.Len(hq))
	}
	width, known := e.Known()
	if hq != hk || !known {
		return false
	}
	l, okL := q.Type.Dims[rank-2].Known()
	s, okS := k.Type.Dims[rank-2].Known()
	if a.Causal && !(okL && okS) || a.Softcap > 0 && (a.Causal || mask != nil) { // a cap would raise what is masked
		return false
	}
	if mask != nil && (mask.Type.DType != tensor.Float32 || !mask.Type.Dims[mask.Type.Rank()-1].Equal(k.Type.Dims[rank-2])) {
		return false
	}
	x := arithmetic{p: p, n: n, x: n.In}
	split := func(v *ir.Value, name string, perm ...int) *ir.Value {
		if rank == 3 {
			v = x.op(op.Reshape{}, name+"_heads", v, p.B.ConstInts(n.Label()+"/"+name+"_shape", 0, 0, hq, -1))
			return x.op(op.Transpose{Perm: perm}, name, v)
		}
		return v
	}
	q, v = split(q, "q", 0, 2, 1, 3), split(v, "v", 0, 2, 1, 3)
	if rank == 3 {
		k = split(k, "k", 0, 2, 3, 1)
	} else {
		k = x.op(op.Transpose{Perm: []int{0, 1, 3, 2}}, "k", k)
	}
	scale := float64(a.Scale)
	if scale == 0 {
		scale = 1 / math.Sqrt(float64(width))
	}
	scores := x.op(op.Mul{}, "scale", x.op(op.MatMul{}, "scores", q, k), x.num(scale))
	if mask != nil {
		scores = x.op(op.Add{}, "mask", scores, mask)
	}
	if a.Causal {
		ahead := tensor.New(tensor.Float32, l, s)
		for i := range l {
			for j := i + 1; j < s; j++ {
				ahead.F32()[i*s+j] = float32(math.Inf(-1))
			}
		}
		scores = x.op(op.Add{}, "causal", scores, p.B.Const(n.Label()+"/ahead", ahead))
	}
	if c := float64(a.Softcap); c > 0 {
		scores = x.op(op.Mul{}, "cap", x.op(op.Tanh{}, "tanh", x.op(op.Div{}, "uncapped", scores, x.num(c))), x.num(c))
	}
	y := x.op(op.MatMul{}, "heads", x.op(op.Softmax{Axis: -1}, "softmax", scores), v)
	if rank == 3 {
		y = x.op(op.Transpose{Perm: []int{0, 2, 1, 3}}, "joined", y)
		y = x.op(op.Reshape{}, "y", y, p.B.ConstInts(n.Label()+"/y_shape", 0, 0, -1))
	}
	take(p, n.Out[0], y)
	return true
}

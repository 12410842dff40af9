package op

import (
	"fmt"
	"slices"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// MatMul is y[…,m,n] = Σ_k a[…,m,k] · b[…,k,n], like numpy.matmul.
//
//	in  0 a [batch…, M, K]   1 b [batch…, K, N]
//	out 0 y [batch…, M, N]
//
// The batch axes broadcast. An operand of rank 1 is a row (a) or a column (b)
// whose axis of length 1 the result does not have.
// https://onnx.ai/onnx/operators/onnx__MatMul.html
type MatMul struct{}

var (
	_ ir.Evaluator      = MatMul{}
	_ ir.Differentiable = MatMul{}
	_ ir.Costed         = MatMul{}
	_ ir.AxisMapper     = MatMul{}
	_ ir.QuantTraited   = MatMul{}
	_ ir.Weighted       = MatMul{}
)

func (MatMul) Kind() string { return "MatMul" }

func (MatMul) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 2); err != nil {
		return nil, err
	}
	if err := wantSameDType(in...); err != nil {
		return nil, err
	}
	dims, err := matMulDims(in[0].Type, in[1].Type)
	if err != nil {
		return nil, err
	}
	return []ir.Type{{DType: in[0].Type.DType, Dims: dims}}, nil
}

// matMulDims returns the axes of a matrix product.
func matMulDims(a, b ir.Type) ([]ir.Dim, error) {
	if a.Rank() == 0 || b.Rank() == 0 {
		return nil, fmt.Errorf("got operands %v and %v, want at least one axis each", a, b)
	}
	ad, bd := a.Dims, b.Dims
	if len(ad) == 1 {
		ad = []ir.Dim{ir.Len(1), ad[0]}
	}
	if len(bd) == 1 {
		bd = []ir.Dim{bd[0], ir.Len(1)}
	}
	k := len(ad) - 1
	if l := len(bd) - 2; !ad[k].MayEqual(bd[l]) {
		return nil, fmt.Errorf("got operands %v and %v, want the last axis of the first to equal the last but one of the second", a, b)
	}
	dims, err := ir.BroadcastDims(ad[:k-1], bd[:len(bd)-2])
	if err != nil {
		return nil, err
	}
	if a.Rank() > 1 {
		dims = append(dims, ad[k-1])
	}
	if b.Rank() > 1 {
		dims = append(dims, bd[len(bd)-1])
	}
	return dims, nil
}

func (MatMul) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	a, b := in[0], in[1]
	p, err := newMatMulPlan(a.Shape(), b.Shape())
	if err != nil {
		return nil, err
	}
	if a.DType() != b.DType() {
		return nil, fmt.Errorf("got element types %v and %v, want the same", a.DType(), b.DType())
	}
	if a.DType().IsFloat() {
		v, err := realsOf(a, b)
		if err != nil {
			return nil, err
		}
		return []*tensor.Tensor{fromFloats(a.DType(), matMulLoops(p, v[0], v[1]), p.shape...)}, nil
	}
	ai, err := a.Ints()
	if err != nil {
		return nil, err
	}
	bi, err := b.Ints()
	if err != nil {
		return nil, err
	}
	return []*tensor.Tensor{fromInts(a.DType(), matMulLoops(p, ai, bi), p.shape...)}, nil
}

// matMulPlan holds the lengths of a batched product and where each batch's
// matrices begin.
type matMulPlan struct {
	m, n, k    int
	aOff, bOff []int
	shape      tensor.Shape
}

func newMatMulPlan(as, bs tensor.Shape) (*matMulPlan, error) {
	dims, err := matMulDims(ir.MakeType(tensor.Float32, as...), ir.MakeType(tensor.Float32, bs...))
	if err != nil {
		return nil, err
	}
	p := &matMulPlan{m: 1, n: 1}
	p.shape = ir.Type{Dims: dims}.MustShape()
	if err := checkSize(p.shape); err != nil {
		return nil, err
	}
	p.k = as[len(as)-1]
	var ab, bb tensor.Shape
	batch := p.shape
	if len(as) > 1 {
		p.m, ab, batch = as[len(as)-2], as[:len(as)-2], batch[:len(batch)-1]
	}
	if len(bs) > 1 {
		p.n, bb, batch = bs[len(bs)-1], bs[:len(bs)-2], batch[:len(batch)-1]
	}
	p.aOff = batchOffsets(batch, ab, p.m*p.k)
	p.bOff = batchOffsets(batch, bb, p.k*p.n)
	return p, nil
}

// batchOffsets returns, for each index of the broadcast shape batch, where the
// matrix of an operand with batch axes own begins.
func batchOffsets(batch, own tensor.Shape, size int) []int {
	off := broadcastPos(batch, own)
	for i := range off {
		off[i] *= size
	}
	return off
}

func matMulLoops[T int | float64](p *matMulPlan, a, b []T) []T {
	y := make([]T, len(p.aOff)*p.m*p.n)
	for i := range p.aOff {
		ai, bi, yi := a[p.aOff[i]:], b[p.bOff[i]:], y[i*p.m*p.n:]
		for m := range p.m {
			row := yi[m*p.n:][:p.n]
			for k := range p.k {
				x := ai[m*p.k+k]
				for n, w := range bi[k*p.n:][:p.n] {
					row[n] += x * w
				}
			}
		}
	}
	return y
}

func (MatMul) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	x, w, dy := n.In[0], n.In[1], dOut[0]
	xs, ws := x.Type.MustShape(), w.Type.MustShape()
	typed := func(s ...int) ir.Type { return ir.MakeType(x.Type.DType, s...) }
	grads := make([]*ir.Value, 2)
	if len(xs) >= 2 && len(ws) == 2 { // a layer: one product over all rows
		rows, k, cols := product(xs[:len(xs)-1]), ws[0], ws[1]
		dy2 := reshapeTo(b, n.Name+"/grad_rows", dy, typed(rows, cols))
		if need[0] {
			dx := b.Op(Gemm{TransB: true}, n.Name+"/grad_a", dy2, w)
			grads[0] = reshapeTo(b, n.Name+"/grad_a_shape", dx, x.Type)
		}
		if need[1] {
			x2 := reshapeTo(b, n.Name+"/rows", x, typed(rows, k))
			grads[1] = b.Op(Gemm{TransA: true}, n.Name+"/grad_b", x2, dy2)
		}
		return grads, nil
	}
	// Make all three matrices, then undo that.
	as, bs, lead := xs, ws, dy.Type.MustShape()
	if len(xs) == 1 {
		as = tensor.Shape{1, xs[0]}
	} else {
		lead = lead[:len(lead)-1]
	}
	if len(ws) == 1 {
		bs = tensor.Shape{ws[0], 1}
	} else {
		lead = lead[:len(lead)-1]
	}
	dy = reshapeTo(b, n.Name+"/grad_matrix", dy, typed(append(lead.Clone(), as[len(as)-2], bs[len(bs)-1])...))
	if need[0] {
		w2 := reshapeTo(b, n.Name+"/b_matrix", w, typed(bs...))
		d := b.Op(MatMul{}, n.Name+"/grad_a", dy, swapLast(b, n.Name+"/b_t", w2))
		d = sumTo(b, n.Name+"/grad_a_sum", d, typed(as...))
		grads[0] = reshapeTo(b, n.Name+"/grad_a_shape", d, x.Type)
	}
	if need[1] {
		x2 := reshapeTo(b, n.Name+"/a_matrix", x, typed(as...))
		d := b.Op(MatMul{}, n.Name+"/grad_b", swapLast(b, n.Name+"/a_t", x2), dy)
		d = sumTo(b, n.Name+"/grad_b_sum", d, typed(bs...))
		grads[1] = reshapeTo(b, n.Name+"/grad_b_shape", d, w.Type)
	}
	return grads, nil
}

// swapLast transposes the last two axes.
func swapLast(b *ir.Builder, name string, v *ir.Value) *ir.Value {
	r := v.Type.Rank()
	if r < 2 { // a placeholder after an error
		return v
	}
	perm := make([]int, r)
	for i := range perm {
		perm[i] = i
	}
	perm[r-1], perm[r-2] = r-2, r-1
	return b.Op(Transpose{Perm: perm}, name, v)
}

func (MatMul) Cost(n *ir.Node) ir.Cost {
	a, y := n.In[0].Type.MustShape(), n.Out[0].Type.MustShape()
	return ir.Cost{MACs: int64(y.Numel()) * int64(a[len(a)-1])}
}

// MapAxes implements [ir.AxisMapper].
func (MatMul) MapAxes(n *ir.Node, m ir.AxisMap) {
	a, w, y := n.In[0], n.In[1], n.Out[0]
	ra, rb, ry := a.Type.Rank(), w.Type.Rank(), y.Type.Rank()
	sum := max(0, rb-2)
	tieAxes(m, a, ra-1, w, sum)
	fixSums(m, a, ra-1, w, sum)
	at := ry
	if rb > 1 {
		at--
		tieAxes(m, w, rb-1, y, at)
	}
	if ra > 1 {
		at--
		tieAxes(m, a, ra-2, y, at)
	}
	for k := 1; k <= at; k++ { // batch axes, from the last
		if i := ra - 2 - k; i >= 0 {
			tieAxes(m, a, i, y, at-k)
		}
		if i := rb - 2 - k; i >= 0 {
			tieAxes(m, w, i, y, at-k)
		}
	}
}

func (MatMul) QuantTrait() ir.QuantTrait { return ir.QuantInputs }

// Weights: the second operand if it is stored or formed from stored values alone, as
// quantizers and masks do, otherwise the first one if that is.
func (MatMul) Weights(n *ir.Node) ir.WeightPorts {
	for port := 1; port >= 0; port-- {
		v := n.In[port]
		r := v.Type.Rank()
		if !fromStored(v) || r < 2 {
			continue
		}
		if port == 1 {
			return ir.WeightPorts{Weight: 1, OutAxis: r - 1, InAxis: r - 2, Bias: -1}
		}
		return ir.WeightPorts{Weight: 0, OutAxis: r - 2, InAxis: r - 1, Bias: -1}
	}
	return ir.WeightPorts{Weight: -1, OutAxis: -1, InAxis: -1, Bias: -1}
}

// fromStored reports whether v depends on stored values alone.
func fromStored(v *ir.Value) bool {
	if v == nil || v.IsStored() {
		return true
	}
	return v.Def != nil && !slices.ContainsFunc(v.Def.In, func(x *ir.Value) bool { return !fromStored(x) })
}

package op

import (
	"fmt"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// DepthToSpace moves blocks of channels into squares of BlockSize pixels. The
// position in the square is the slower part of the channel number, with CRD
// the faster one (pixel shuffle).
//
//	in  0 x [N, C·BlockSize², H, W]
//	out 0 y [N, C, H·BlockSize, W·BlockSize]
//
// https://onnx.ai/onnx/operators/onnx__DepthToSpace.html
type DepthToSpace struct {
	BlockSize int
	CRD       bool
}

var (
	_ ir.Evaluator      = DepthToSpace{}
	_ ir.Differentiable = DepthToSpace{}
	_ ir.AxisMapper     = DepthToSpace{}
	_ ir.QuantTraited   = DepthToSpace{}
)

func (DepthToSpace) Kind() string { return "DepthToSpace" }

func checkBlock(b int) error {
	if b < 1 || b > 1<<15 {
		return fmt.Errorf("blocksize: got %d, want 1 to %d", b, 1<<15)
	}
	return nil
}

func (o DepthToSpace) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 1, 1); err != nil {
		return nil, err
	}
	if err := checkBlock(o.BlockSize); err != nil {
		return nil, err
	}
	if err := wantRank(in[0], "input", 4, 4); err != nil {
		return nil, err
	}
	d, b := in[0].Type.Dims, ir.Len(o.BlockSize)
	if c, known := d[1].Known(); known && c%(o.BlockSize*o.BlockSize) != 0 {
		return nil, fmt.Errorf("got %v, want channels in multiples of %d", in[0].Type, o.BlockSize*o.BlockSize)
	}
	return []ir.Type{{DType: in[0].Type.DType, Dims: []ir.Dim{d[0], d[1].Div(b.Mul(b)), d[2].Mul(b), d[3].Mul(b)}}}, nil
}

// order returns how the split input is transposed, and its split.
func (o DepthToSpace) order(xs []int) (split, perm, shape []int) {
	n, c, h, w, b := xs[0], xs[1]/(o.BlockSize*o.BlockSize), xs[2], xs[3], o.BlockSize
	shape = []int{n, c, h * b, w * b}
	if o.CRD {
		return []int{n, c, b, b, h, w}, []int{0, 1, 4, 2, 5, 3}, shape
	}
	return []int{n, b, b, c, h, w}, []int{0, 3, 4, 1, 5, 2}, shape
}

func (o DepthToSpace) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	xs := in[0].Shape()
	if err := checkBlock(o.BlockSize); err != nil {
		return nil, err
	}
	if len(xs) != 4 || xs[1]%(o.BlockSize*o.BlockSize) != 0 {
		return nil, fmt.Errorf("got shape %v, want rank 4 and channels in multiples of %d", xs, o.BlockSize*o.BlockSize)
	}
	split, perm, shape := o.order(xs)
	return rearrange(in[0], split, perm, shape)
}

// rearrange splits axes, transposes and joins axes.
func rearrange(x *tensor.Tensor, split, perm, shape []int) ([]*tensor.Tensor, error) {
	y, err := Transpose{Perm: perm}.Eval(one(x.Reshape(split...)))
	if err != nil {
		return nil, err
	}
	return one(y[0].Reshape(shape...)), nil
}

func (o DepthToSpace) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	name := n.Name + "/grad"
	if !o.CRD {
		return first(b.Op(SpaceToDepth{BlockSize: o.BlockSize}, name, dOut[0]), n)
	}
	split, perm, _ := o.order(n.In[0].Type.MustShape())
	cut, inv := make([]int, len(perm)), make([]int, len(perm))
	for i, a := range perm {
		cut[i], inv[a] = split[a], i
	}
	g := b.Op(Reshape{AllowZero: true}, name, dOut[0], b.ConstInts(name+"/shape", cut...))
	return first(reshapeTo(b, name, b.Op(Transpose{Perm: inv}, name, g), n.In[0].Type), n)
}

// MapAxes implements [ir.AxisMapper].
func (d DepthToSpace) MapAxes(n *ir.Node, m ir.AxisMap) {
	x, y := n.In[0], n.Out[0]
	tieAxes(m, x, 0, y, 0)
	fixFrom(m, x, 2, axisSpatial)
	fixFrom(m, y, 2, axisSpatial)
	total, known := x.Type.Dims[1].Known()
	if !known {
		return
	}
	block := d.BlockSize * d.BlockSize
	c := total / block
	for i := range total {
		j := i % c
		if d.CRD {
			j = i / block
		}
		m.Tie(x, 1, i, y, 1, j)
	}
}

func (DepthToSpace) QuantTrait() ir.QuantTrait { return ir.QuantAgnostic }

func decodeDepthToSpace(d *Decoder) ir.Op {
	mode := "DCR"
	if d.Opset >= 11 {
		mode = d.Str("mode", "DCR")
	}
	if err := oneOf("mode", mode, "DCR", "CRD"); err != nil {
		d.Errorf("%w", err)
	}
	return DepthToSpace{BlockSize: d.Int("blocksize", 0), CRD: mode == "CRD"}
}

func encodeDepthToSpace(e *Encoder) {
	o := e.Node.Op.(DepthToSpace)
	e.Set("blocksize", o.BlockSize)
	if o.CRD {
		e.MinOpset(11)
		e.Set("mode", "CRD")
	}
}

// SpaceToDepth moves squares of BlockSize pixels into channels; the position in
// the square is the slower part of the channel number.
//
//	in  0 x [N, C, H·BlockSize, W·BlockSize]
//	out 0 y [N, C·BlockSize², H, W]
//
// https://onnx.ai/onnx/operators/onnx__SpaceToDepth.html
type SpaceToDepth struct{ BlockSize int }

var (
	_ ir.Evaluator      = SpaceToDepth{}
	_ ir.Differentiable = SpaceToDepth{}
	_ ir.AxisMapper     = SpaceToDepth{}
	_ ir.QuantTraited   = SpaceToDepth{}
)

func (SpaceToDepth) Kind() string { return "SpaceToDepth" }

func (o SpaceToDepth) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 1, 1); err != nil {
		return nil, err
	}
	if err := checkBlock(o.BlockSize); err != nil {
		return nil, err
	}
	if err := wantRank(in[0], "input", 4, 4); err != nil {
		return nil, err
	}
	d, b := in[0].Type.Dims, ir.Len(o.BlockSize)
	for _, l := range d[2:] {
		if n, known := l.Known(); known && n%o.BlockSize != 0 {
			return nil, fmt.Errorf("got %v, want height and width in multiples of %d", in[0].Type, o.BlockSize)
		}
	}
	return []ir.Type{{DType: in[0].Type.DType, Dims: []ir.Dim{d[0], d[1].Mul(b.Mul(b)), d[2].Div(b), d[3].Div(b)}}}, nil
}

func (o SpaceToDepth) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	xs, b := in[0].Shape(), o.BlockSize
	if err := checkBlock(b); err != nil {
		return nil, err
	}
	if len(xs) != 4 || xs[2]%b != 0 || xs[3]%b != 0 {
		return nil, fmt.Errorf("got shape %v, want rank 4 and height and width in multiples of %d", xs, b)
	}
	n, c, h, w := xs[0], xs[1], xs[2]/b, xs[3]/b
	return rearrange(in[0], []int{n, c, h, b, w, b}, []int{0, 3, 5, 1, 2, 4}, []int{n, c * b * b, h, w})
}

func (o SpaceToDepth) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, _ []bool) ([]*ir.Value, error) {
	return first(b.Op(DepthToSpace{BlockSize: o.BlockSize}, n.Name+"/grad", dOut[0]), n)
}

// MapAxes implements [ir.AxisMapper].
func (d SpaceToDepth) MapAxes(n *ir.Node, m ir.AxisMap) {
	x, y := n.In[0], n.Out[0]
	tieAxes(m, x, 0, y, 0)
	fixFrom(m, x, 2, axisSpatial)
	fixFrom(m, y, 2, axisSpatial)
	c, known := x.Type.Dims[1].Known()
	if !known {
		return
	}
	for i := range c * d.BlockSize * d.BlockSize {
		m.Tie(x, 1, i%c, y, 1, i)
	}
}

func (SpaceToDepth) QuantTrait() ir.QuantTrait { return ir.QuantAgnostic }

func decodeSpaceToDepth(d *Decoder) ir.Op { return SpaceToDepth{BlockSize: d.Int("blocksize", 0)} }

func encodeSpaceToDepth(e *Encoder) { e.Set("blocksize", e.Node.Op.(SpaceToDepth).BlockSize) }

package op

import (
	"fmt"
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// quantParams is what QuantizeLinear and DequantizeLinear share: how scale and
// zero point belong to the elements of x. With scalars (or one element) they
// are for all of x; of rank 1 for the indices of axis Axis; of x's rank, with a
// BlockSize, for blocks of that many along Axis. A file's default Axis is 1.
type quantParams struct{ Axis, BlockSize int }

// infer checks the types of scale and zero point against x.
func (q quantParams) infer(x, scale, zero *ir.Value) error {
	if err := wantFloat(scale); err != nil {
		return err
	}
	if zero != nil && !sameNumel(zero.Type, scale.Type) {
		return fmt.Errorf("zero point: got %v for scale %v, want the same shape", zero.Type, scale.Type)
	}
	if q.BlockSize < 0 {
		return fmt.Errorf("block_size: got %d, want 0 or more", q.BlockSize)
	}
	xd, sd := x.Type.Dims, scale.Type.Dims
	if len(sd) == 0 || len(sd) == 1 && sd[0].IsOne() {
		return nil
	}
	a, err := wantAxis(x, q.Axis)
	if err != nil {
		return err
	}
	switch {
	case q.BlockSize == 0 && len(sd) == 1 && sd[0].MayEqual(xd[a]):
		return nil
	case q.BlockSize > 0 && len(sd) == len(xd):
		for i, d := range sd {
			want := xd[i]
			if n, ok := want.Known(); ok && i == a {
				want = ir.Len((n + q.BlockSize - 1) / q.BlockSize)
			} else if i == a {
				continue
			}
			if !d.MayEqual(want) {
				return fmt.Errorf("scale: got %v for input %v in blocks of %d along axis %d", scale.Type, x.Type, q.BlockSize, a)
			}
		}
		return nil
	}
	return fmt.Errorf("scale: got %v for axis %d (block %d) of input %v", scale.Type, q.Axis, q.BlockSize, x.Type)
}

// sameNumel reports whether two types may have the same number of elements;
// [] and [1] both stand for one.
func sameNumel(a, b ir.Type) bool { return a.Numel().MayEqual(b.Numel()) }

// positions returns, for each element of x, the position of its scale.
func (q quantParams) positions(xs, ss tensor.Shape) ([]int, error) {
	pos := make([]int, xs.Numel())
	if ss.Numel() == 1 {
		return pos, nil
	}
	a, err := tensor.Axis(q.Axis, len(xs))
	if err != nil {
		return nil, err
	}
	outer, n, inner := splitAt(xs, a)
	block, blocks := 1, n
	if q.BlockSize > 0 {
		block, blocks = q.BlockSize, (n+q.BlockSize-1)/q.BlockSize
	}
	switch {
	case q.BlockSize == 0 && len(ss) == 1 && ss[0] == n:
		for i := range pos {
			pos[i] = i / inner % n
		}
		return pos, nil
	case q.BlockSize > 0 && ss.Numel() == outer*blocks*inner:
		for i := range pos {
			pos[i] = (i/inner/n*blocks+i/inner%n/block)*inner + i%inner
		}
		return pos, nil
	}
	return nil, fmt.Errorf("got scale %v for axis %d (block %d) of %v", ss, q.Axis, q.BlockSize, xs)
}

// zeros returns the zero points, all 0 if there are none.
func zeros(t *tensor.Tensor, n int) ([]int, error) {
	if t == nil {
		return make([]int, n), nil
	}
	z, err := t.Ints()
	if err != nil {
		return nil, fmt.Errorf("zero point: %w", err)
	}
	if len(z) != n {
		return nil, fmt.Errorf("zero point: got %d elements, want %d", len(z), n)
	}
	return z, nil
}

func (q quantParams) encode(e *Encoder) {
	e.MinOpset(10)
	s := e.Node.In[1].Type
	per := s.Rank() > 0 && !(s.Rank() == 1 && s.Dims[0].IsOne())
	if per {
		e.MinOpset(13)
	}
	if e.Opset >= 13 {
		e.Set("axis", q.Axis)
	}
	if q.BlockSize > 0 {
		e.MinOpset(21)
		e.Set("block_size", q.BlockSize)
	}
}

// intRange returns the limits of an integer type of up to 32 bits.
func intRange(d tensor.DType) (lo, hi int) {
	bits := d.Bits()
	if d.IsSigned() {
		return -1 << (bits - 1), 1<<(bits-1) - 1
	}
	return 0, 1<<bits - 1
}

// saturate rounds v half to even, adds the zero point and clips to the type's
// range. NaN becomes the zero point.
func saturate(v float64, zero, lo, hi int) int {
	if isNaN(v) {
		return zero
	}
	v = math.RoundToEven(v) + float64(zero)
	return int(min(max(v, float64(lo)), float64(hi)))
}

// QuantizeLinear is y = saturate(rne(x / scale) + zero_point), the division in
// float32, rounding half to even.
//
//	in  0 x floating point or int32   1 scale   2 zero_point, optional
//	out 0 y, of zero_point's type, or DType, or uint8
//
// Results: uint8, int8, uint16, int16, uint4, int4. Scale and zero point are
// for all of x, one axis or blocks, see the fields.
// https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html
type QuantizeLinear struct {
	Axis      int          // with a scale of rank 1, or blocks; a file's default is 1
	BlockSize int          // 0: no blocks
	DType     tensor.DType // of y where the zero point is omitted
}

var (
	_ ir.Evaluator  = QuantizeLinear{}
	_ ir.Costed     = QuantizeLinear{}
	_ ir.AxisMapper = QuantizeLinear{}
)

func (QuantizeLinear) Kind() string { return "QuantizeLinear" }

func (q QuantizeLinear) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 3); err != nil {
		return nil, err
	}
	x, zero := in[0], present(in, 2)
	if !x.Type.DType.IsFloat() && x.Type.DType != tensor.Int32 {
		return nil, fmt.Errorf("input: got %v elements, want floating point or int32", x.Type.DType)
	}
	d := q.DType
	if zero != nil {
		if d = zero.Type.DType; q.DType != tensor.Invalid && q.DType != d {
			return nil, fmt.Errorf("output_dtype: got %v with a zero point of %v", q.DType, d)
		}
	}
	switch d {
	case tensor.Invalid:
		d = tensor.Uint8
	case tensor.Uint8, tensor.Int8, tensor.Uint16, tensor.Int16, tensor.Uint4, tensor.Int4:
	default:
		return nil, fmt.Errorf("got results of %v, want 4-, 8- or 16-bit integers", d)
	}
	if err := (quantParams{q.Axis, q.BlockSize}).infer(x, in[1], zero); err != nil {
		return nil, err
	}
	return []ir.Type{x.Type.WithDType(d)}, nil
}

func (q QuantizeLinear) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if err := wantTensors(in, 2); err != nil {
		return nil, err
	}
	x, zero := in[0], present(in, 2)
	d := q.DType
	if zero != nil {
		d = zero.DType()
	} else if d == tensor.Invalid {
		d = tensor.Uint8
	}
	v, err := x.Float64s()
	if err != nil {
		return nil, err
	}
	scale, err := reals(in[1])
	if err != nil {
		return nil, fmt.Errorf("scale: %w", err)
	}
	z, err := zeros(zero, len(scale))
	if err != nil {
		return nil, err
	}
	pos, err := quantParams{q.Axis, q.BlockSize}.positions(x.Shape(), in[1].Shape())
	if err != nil {
		return nil, err
	}
	lo, hi := intRange(d)
	y := make([]int, len(v))
	for i, p := range pos {
		y[i] = saturate(float64(float32(v[i])/float32(scale[p])), z[p], lo, hi)
	}
	return one(fromInts(d, y, x.Shape()...)), nil
}

func (QuantizeLinear) Cost(n *ir.Node) ir.Cost { return elementOps(n, 4) }

// MapAxes implements [ir.AxisMapper].
func (q QuantizeLinear) MapAxes(n *ir.Node, m ir.AxisMap) {
	axis := -1
	if a, err := tensor.Axis(q.Axis, n.In[0].Type.Rank()); err == nil && q.BlockSize == 0 {
		axis = a
	}
	quantizerAxes(n, m, axis)
}

func decodeQuantizeLinear(d *Decoder) ir.Op {
	d.Ignore("saturate", "precision") // float8 only; the precision of the division
	q := QuantizeLinear{Axis: d.Int("axis", 1), BlockSize: d.Int("block_size", 0)}
	q.DType = decodeOutputDType(d)
	return q
}

// decodeOutputDType reads output_dtype; 0 means that it is not set.
func decodeOutputDType(d *Decoder) tensor.DType {
	code := d.Int("output_dtype", 0)
	if code == 0 {
		return tensor.Invalid
	}
	t, err := TypeOfCode(code)
	if err != nil {
		d.Errorf("output_dtype: %w", err)
	}
	return t
}

func encodeQuantizeLinear(e *Encoder) {
	q := e.Node.Op.(QuantizeLinear)
	quantParams{q.Axis, q.BlockSize}.encode(e)
	y := e.Node.Out[0].Type.DType
	if y != tensor.Uint8 && y != tensor.Int8 {
		e.MinOpset(21)
	}
	if q.DType != tensor.Invalid && e.Node.Input(2) == nil && y != tensor.Uint8 {
		e.MinOpset(21)
		e.Set("output_dtype", TypeCode(y))
	}
}

// DequantizeLinear is y = (x - zero_point)·scale, in float32.
//
//	in  0 x of 4, 8 or 16 bits, or int32   1 scale   2 zero_point, optional
//	out 0 y, of scale's type, or DType
//
// Scale and zero point are for all of x, one axis or blocks, see the fields.
// https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html
type DequantizeLinear struct {
	Axis      int          // with a scale of rank 1, or blocks; a file's default is 1
	BlockSize int          // 0: no blocks
	DType     tensor.DType // of y, if not that of the scale
}

var (
	_ ir.Evaluator         = DequantizeLinear{}
	_ ir.NonDifferentiable = DequantizeLinear{}
	_ ir.Costed            = DequantizeLinear{}
	_ ir.AxisMapper        = DequantizeLinear{}
)

func (DequantizeLinear) Kind() string { return "DequantizeLinear" }

func (q DequantizeLinear) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 2, 3); err != nil {
		return nil, err
	}
	x, zero := in[0], present(in, 2)
	if err := wantDType(x, "input", tensor.Uint8, tensor.Int8, tensor.Uint16, tensor.Int16, tensor.Int32, tensor.Uint4, tensor.Int4); err != nil {
		return nil, err
	}
	if err := wantSameDType(x, zero); err != nil {
		return nil, err
	}
	if err := (quantParams{q.Axis, q.BlockSize}).infer(x, in[1], zero); err != nil {
		return nil, err
	}
	d := in[1].Type.DType
	if q.DType != tensor.Invalid {
		if d = q.DType; !d.IsFloat() {
			return nil, fmt.Errorf("output_dtype: got %v, want floating point", d)
		}
	}
	return []ir.Type{x.Type.WithDType(d)}, nil
}

func (q DequantizeLinear) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if err := wantTensors(in, 2); err != nil {
		return nil, err
	}
	x := in[0]
	v, err := x.Ints()
	if err != nil {
		return nil, err
	}
	scale, err := reals(in[1])
	if err != nil {
		return nil, fmt.Errorf("scale: %w", err)
	}
	z, err := zeros(present(in, 2), len(scale))
	if err != nil {
		return nil, err
	}
	pos, err := quantParams{q.Axis, q.BlockSize}.positions(x.Shape(), in[1].Shape())
	if err != nil {
		return nil, err
	}
	d := in[1].DType()
	if q.DType != tensor.Invalid {
		d = q.DType
	}
	y := make([]float64, len(v))
	for i, p := range pos {
		y[i] = float64(float32(v[i]-z[p]) * float32(scale[p]))
	}
	return one(fromFloats(d, y, x.Shape()...)), nil
}

func (DequantizeLinear) NoGrad() string {
	return "its input is integer; fine-tuning trains fake-quantizers instead"
}

func (DequantizeLinear) Cost(n *ir.Node) ir.Cost { return elementOps(n, 2) }

// MapAxes implements [ir.AxisMapper].
func (q DequantizeLinear) MapAxes(n *ir.Node, m ir.AxisMap) {
	axis := -1
	if a, err := tensor.Axis(q.Axis, n.In[0].Type.Rank()); err == nil && q.BlockSize == 0 {
		axis = a
	}
	quantizerAxes(n, m, axis)
}

func decodeDequantizeLinear(d *Decoder) ir.Op {
	q := DequantizeLinear{Axis: d.Int("axis", 1), BlockSize: d.Int("block_size", 0)}
	q.DType = decodeOutputDType(d)
	return q
}

func encodeDequantizeLinear(e *Encoder) {
	q := e.Node.Op.(DequantizeLinear)
	quantParams{q.Axis, q.BlockSize}.encode(e)
	switch x := e.Node.In[0].Type.DType; x {
	case tensor.Uint8, tensor.Int8, tensor.Int32:
	default:
		e.MinOpset(21)
	}
	if q.DType != tensor.Invalid && q.DType != e.Node.In[1].Type.DType {
		e.MinOpset(23)
		e.Set("output_dtype", TypeCode(q.DType))
	}
}

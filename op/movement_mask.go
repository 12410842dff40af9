package op

import (
	"fmt"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// MovementMask keeps the blocks of a matrix whose trained score is above a
// threshold (Sanh, Wolf, Rush 2020, https://arxiv.org/abs/2005.07683; blocks after
// Lagunas et al. 2021, https://arxiv.org/abs/2109.04838):
//
//	y = w where keep = 1 and s > threshold of the block, else 0
//
// Blocks have Rows × Cols elements, those at the ends fewer; 1×1 are single
// weights.
//
//	in  0 w [R C]   1 s [⌈R/Rows⌉ ⌈C/Cols⌉]   2 keep uint8, as s   3 threshold []
//	out 0 y, as w
//
// Internal. The gradient is the straight-through one: dw = dy where y is kept, and
// ds = Σ dy·w over the block, kept or not, which is how far the weights move away
// from zero.
type MovementMask struct{ Rows, Cols int }

var (
	_ ir.Evaluator      = MovementMask{}
	_ ir.Differentiable = MovementMask{}
	_ ir.Costed         = MovementMask{}
)

func (MovementMask) Kind() string { return "MovementMask" }

// Blocks returns the shape of the scores of a matrix.
func (o MovementMask) Blocks(rows, cols int) (int, int) {
	return (rows + o.Rows - 1) / o.Rows, (cols + o.Cols - 1) / o.Cols
}

func (o MovementMask) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 4, 4); err != nil {
		return nil, err
	}
	if o.Rows < 1 || o.Cols < 1 {
		return nil, fmt.Errorf("got blocks of %d × %d, want at least 1 × 1", o.Rows, o.Cols)
	}
	for _, i := range []int{0, 1, 3} {
		if err := wantDType(in[i], fmt.Sprintf("input %d", i), tensor.Float32); err != nil {
			return nil, err
		}
	}
	s, ok := in[0].Type.Shape()
	if !ok || len(s) != 2 {
		return nil, fmt.Errorf("got weight %v, want a matrix of known size", in[0].Type)
	}
	r, c := o.Blocks(s[0], s[1])
	want := ir.MakeType(tensor.Float32, r, c)
	if err := wantMayEqual(in[1], "scores", want); err != nil {
		return nil, err
	}
	return []ir.Type{in[0].Type}, wantMayEqual(in[2], "mask", want.WithDType(tensor.Uint8))
}

// MovementBlocks are the inputs of a mask as slices.
type MovementBlocks struct {
	MovementMask
	R, C      int
	W, S      []float32
	Keep      []uint8
	Threshold float32
}

func (o MovementMask) blocks(in []*tensor.Tensor) (*MovementBlocks, error) {
	if err := wantTensors(in, 4); err != nil {
		return nil, err
	}
	w, s, k, t := in[0], in[1], in[2], in[3]
	if w.DType() != tensor.Float32 || s.DType() != tensor.Float32 || k.DType() != tensor.Uint8 || t.DType() != tensor.Float32 || w.Rank() != 2 || t.Len() != 1 || o.Rows < 1 || o.Cols < 1 {
		return nil, fmt.Errorf("got weight %v, scores %v, mask %v and threshold %v", w, s, k, t)
	}
	b := &MovementBlocks{MovementMask: o, R: w.Shape()[0], C: w.Shape()[1], W: w.F32(), S: s.F32(), Keep: tensor.Data[uint8](k), Threshold: t.F32()[0]}
	if r, c := o.Blocks(b.R, b.C); len(b.S) != r*c || len(b.Keep) != r*c {
		return nil, fmt.Errorf("got %d scores and %d mask elements, want %d", len(b.S), len(b.Keep), r*c)
	}
	return b, nil
}

// Kept reports whether block b is kept.
func (m *MovementBlocks) Kept(b int) bool { return m.Keep[b] != 0 && m.S[b] > m.Threshold }

// Apply writes the masked weights of row r.
func (m *MovementBlocks) Apply(y []float32, r int) {
	_, cols := m.Blocks(m.R, m.C)
	for c := range cols {
		lo, hi := r*m.C+c*m.Cols, r*m.C+min(m.C, (c+1)*m.Cols)
		if m.Kept(r/m.Rows*cols + c) {
			copy(y[lo:hi], m.W[lo:hi])
		} else {
			clear(y[lo:hi])
		}
	}
}

// Grad writes the gradients of the rows of blocks r; dw or ds may be nil.
func (m *MovementBlocks) Grad(dw, ds, dy []float32, r int) {
	_, cols := m.Blocks(m.R, m.C)
	for c := range cols {
		b := r*cols + c
		kept, sum := m.Kept(b), 0.0
		for i := r * m.Rows; i < min(m.R, (r+1)*m.Rows); i++ {
			for j := i*m.C + c*m.Cols; j < i*m.C+min(m.C, (c+1)*m.Cols); j++ {
				sum += float64(dy[j]) * float64(m.W[j])
				if dw == nil {
					continue
				}
				dw[j] = 0
				if kept {
					dw[j] = dy[j]
				}
			}
		}
		if ds != nil {
			ds[b] = float32(sum)
		}
	}
}

func (o MovementMask) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	m, err := o.blocks(in)
	if err != nil {
		return nil, err
	}
	y := make([]float32, len(m.W))
	for r := range m.R {
		m.Apply(y, r)
	}
	return one(tensor.From(y, in[0].Shape()...)), nil
}

func (o MovementMask) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	g := b.Multi(MovementMaskGrad(o), n.Name+"/grad", 2, n.In[0], n.In[1], n.In[2], n.In[3], dOut[0])
	return wanted(g, need), nil
}

func (MovementMask) Cost(n *ir.Node) ir.Cost { return elementOps(n, 1) }

// MovementMaskGrad is the gradient of [MovementMask], whose fields it has.
//
//	in  0 w   1 s   2 keep   3 threshold   4 dy
//	out 0 dw   1 ds
//
// Internal.
type MovementMaskGrad MovementMask

var (
	_ ir.Evaluator         = MovementMaskGrad{}
	_ ir.NonDifferentiable = MovementMaskGrad{}
	_ ir.Costed            = MovementMaskGrad{}
)

func (MovementMaskGrad) Kind() string { return "MovementMaskGrad" }

func (o MovementMaskGrad) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 5, 5); err != nil {
		return nil, err
	}
	if _, err := MovementMask(o).Infer(in[:4]); err != nil {
		return nil, err
	}
	return []ir.Type{in[0].Type, in[1].Type}, wantMayEqual(in[4], "gradient", in[0].Type)
}

func (o MovementMaskGrad) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if err := wantTensors(in, 5); err != nil {
		return nil, err
	}
	m, err := MovementMask(o).blocks(in[:4])
	if err != nil {
		return nil, err
	}
	if in[4].DType() != tensor.Float32 || in[4].Len() != len(m.W) {
		return nil, fmt.Errorf("got gradient %v for weight %v", in[4], in[0])
	}
	dw, ds := make([]float32, len(m.W)), make([]float32, len(m.S))
	rows, _ := m.Blocks(m.R, m.C)
	for r := range rows {
		m.Grad(dw, ds, in[4].F32(), r)
	}
	return []*tensor.Tensor{tensor.From(dw, in[0].Shape()...), tensor.From(ds, in[1].Shape()...)}, nil
}

func (MovementMaskGrad) NoGrad() string {
	return "straight-through gradients are differentiated once only"
}

func (MovementMaskGrad) Cost(n *ir.Node) ir.Cost { return elementOps(n, 3) }

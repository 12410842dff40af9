package op

import (
	"fmt"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// RotaryEmbedding turns pairs (a, b) of each head by an angle that depends on the
// position: a' = a·cos - b·sin, b' = a·sin + b·cos. Pairs are entries j and
// j+Dim/2, or 2j and 2j+1 with Interleaved; entries behind Dim stay.
//
//	in  0 x [N, H, L, E] or [N, L, Heads·E]
//	    1 cos, 2 sin [P, Dim/2] with positions, else [N, L, Dim/2]   3 positions [N, L], int64, optional
//	out 0 y, as x
//
// Dim 0 stands for E. Only x has a gradient.
// https://onnx.ai/onnx/operators/onnx__RotaryEmbedding.html
type RotaryEmbedding struct {
	Interleaved bool
	Heads       int // of an x with 3 axes; 0 with 4
	Dim         int
}

var (
	_ ir.Evaluator      = RotaryEmbedding{}
	_ ir.Differentiable = RotaryEmbedding{}
	_ ir.Costed         = RotaryEmbedding{}
)

func (RotaryEmbedding) Kind() string { return "RotaryEmbedding" }

// width returns the size of a head and how much of it turns.
func (r RotaryEmbedding) width(x ir.Type) (e, dim int, err error) {
	if x.Rank() != 3 && x.Rank() != 4 {
		return 0, 0, fmt.Errorf("got %v, want [N H L E] or [N L H·E]", x)
	}
	e, ok := x.Dims[x.Rank()-1].Known()
	if !ok {
		return 0, 0, fmt.Errorf("got %v, want a known last axis", x)
	}
	if x.Rank() == 3 {
		if r.Heads < 1 || e%r.Heads != 0 {
			return 0, 0, fmt.Errorf("num_heads: got %d for %v, want a divisor of the last axis", r.Heads, x)
		}
		e /= r.Heads
	}
	dim = r.Dim
	if dim == 0 {
		dim = e
	}
	if dim < 0 || dim > e || dim%2 != 0 {
		return 0, 0, fmt.Errorf("rotary_embedding_dim: got %d for heads of %d, want an even number of at most that", dim, e)
	}
	return e, dim, nil
}

func (r RotaryEmbedding) Infer(in []*ir.Value) ([]ir.Type, error) {
	if err := wantInputs(in, 3, 4); err != nil {
		return nil, err
	}
	if err := wantSameDType(in[0], in[1], in[2]); err != nil {
		return nil, err
	}
	if err := wantFloat(in[0]); err != nil {
		return nil, err
	}
	x := in[0].Type
	_, dim, err := r.width(x)
	if err != nil {
		return nil, err
	}
	n, l := x.Dims[0], x.Dims[x.Rank()-2]
	rank := 3
	if p := present(in, 3); p != nil {
		rank = 2
		if err := wantDType(p, "position_ids", tensor.Int64); err != nil {
			return nil, err
		}
		if p.Type.Rank() != 2 || !p.Type.Dims[0].MayEqual(n) || !p.Type.Dims[1].MayEqual(l) {
			return nil, fmt.Errorf("position_ids: got %v, want [%v %v]", p.Type, n, l)
		}
	}
	for _, v := range in[1:3] {
		t := v.Type
		if t.Rank() != rank || !t.Dims[rank-1].MayEqual(ir.Len(dim/2)) || rank == 3 && (!t.Dims[0].MayEqual(n) || !t.Dims[1].MayEqual(l)) {
			return nil, fmt.Errorf("cos and sin: got %v, want %d axes, the last of length %d", t, rank, dim/2)
		}
	}
	return []ir.Type{x}, nil
}

func (r RotaryEmbedding) Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if err := wantTensors(in, 3); err != nil {
		return nil, err
	}
	vals := make([]*ir.Value, len(in))
	for i, t := range in {
		if t != nil {
			vals[i] = &ir.Value{Type: ir.TypeOf(t)}
		}
	}
	if _, err := r.Infer(vals); err != nil {
		return nil, err
	}
	e, dim, err := r.width(vals[0].Type)
	if err != nil {
		return nil, err
	}
	v, err := realsOf(in[:3]...)
	if err != nil {
		return nil, err
	}
	if len(v[1]) != len(v[2]) {
		return nil, fmt.Errorf("got cos %v and sin %v, want the same shape", in[1].Shape(), in[2].Shape())
	}
	var at []int
	if p := present(in, 3); p != nil {
		if at, err = p.Ints(); err != nil {
			return nil, err
		}
		for _, i := range at {
			if i < 0 || i >= in[1].Shape()[0] {
				return nil, fmt.Errorf("position %d is out of range for %d angles", i, in[1].Shape()[0])
			}
		}
	}
	s, half := in[0].Shape(), dim/2
	y := append([]float64(nil), v[0]...)
	for i := 0; e > 0 && i < len(y)/e; i++ {
		place := 0 // of sample and position
		if len(s) == 4 {
			place = i/(s[1]*s[2])*s[2] + i%s[2]
		} else {
			place = i / r.Heads
		}
		if at != nil {
			place = at[place]
		}
		cos, sin, head := v[1][place*half:][:half], v[2][place*half:][:half], y[i*e:][:e]
		for j := range half {
			p, q := j, j+half
			if r.Interleaved {
				p, q = 2*j, 2*j+1
			}
			head[p], head[q] = head[p]*cos[j]-head[q]*sin[j], head[p]*sin[j]+head[q]*cos[j]
		}
	}
	return one(fromFloats(in[0].DType(), y, s...)), nil
}

// Grad turns back. Angles are constants of a model.
func (r RotaryEmbedding) Grad(b *ir.Builder, n *ir.Node, dOut []*ir.Value, need []bool) ([]*ir.Value, error) {
	if need[1] || need[2] {
		return nil, fmt.Errorf("the angles have no gradient; want constants")
	}
	in := append([]*ir.Value{dOut[0], n.In[1], b.Op(Neg{}, n.Name+"/back", n.In[2])}, n.In[3:]...)
	return first(b.Op(r, n.Name+"/grad", in...), n)
}

func (RotaryEmbedding) Cost(n *ir.Node) ir.Cost { return elementOps(n, 3) }

func decodeRotaryEmbedding(d *Decoder) ir.Op {
	return RotaryEmbedding{Interleaved: d.Bool("interleaved", false), Heads: d.Int("num_heads", 0), Dim: d.Int("rotary_embedding_dim", 0)}
}

func encodeRotaryEmbedding(e *Encoder) {
	e.MinOpset(23)
	r := e.Node.Op.(RotaryEmbedding)
	if r.Interleaved {
		e.Set("interleaved", 1)
	}
	if e.Node.In[0].Type.Rank() == 3 {
		e.Set("num_heads", r.Heads)
	}
	if r.Dim != 0 {
		e.Set("rotary_embedding_dim", r.Dim)
	}
}

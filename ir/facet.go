package ir

import "github.com/go-nncf/nncf/tensor"

// Op is an operator with its attributes. Operators are small structs of
// exported fields, passed by value and never changed after creation.
type Op interface {
	// Kind is the ONNX op_type, or our own name for operators that ONNX lacks.
	Kind() string

	// Infer returns the types of all outputs the operator can have. Elements of
	// in are nil for omitted inputs. Errors give the bare reason, "got X, want
	// Y"; the caller adds node and kind.
	Infer(in []*Value) ([]Type, error)
}

// The facets: what an operator can do beyond typing. An operator lists those it
// has in an assertion block; a missing line is a decision.
type (
	// Evaluator computes the right answer in plain loops, however slowly. It is
	// the definition that engines are tested against. The results may share
	// memory with inputs, and are never changed.
	Evaluator interface {
		Op
		Eval(in []*tensor.Tensor) ([]*tensor.Tensor, error)
	}

	// Elementwise is an Evaluator that maps each element of its one floating-point
	// input by itself: engines may do so wherever the element is at hand.
	Elementwise interface {
		Evaluator
		Element() func(x float64) float64
	}

	// Differentiable builds the nodes that compute input gradients from output
	// gradients. Elements of dOut are nil where no gradient arrives; need says
	// which inputs want one. The result has one entry per input, nil where not
	// needed or identically zero. Types in the graph have no symbolic axes.
	Differentiable interface {
		Op
		Grad(b *Builder, n *Node, dOut []*Value, need []bool) ([]*Value, error)
	}

	// NonDifferentiable says why an operator with floating-point outputs has no gradient.
	NonDifferentiable interface {
		Op
		NoGrad() string
	}

	// DimsEvaluator computes the elements of a small integer result from what
	// type inference knows of the inputs (Value.Content, constants), keeping
	// symbols: Shape, Gather, Concat and the arithmetic between them.
	DimsEvaluator interface {
		Op
		EvalDims(in []*Value) ([]Dim, bool)
	}

	// Costed reports the arithmetic of one node with known axes.
	Costed interface {
		Op
		Cost(n *Node) Cost
	}

	// QuantTraited says how quantizers treat the operator; without this facet
	// the operator stays in float and quantizers do not pass it.
	QuantTraited interface {
		Op
		QuantTrait() QuantTrait
	}

	// Weighted names the ports that hold trained weights.
	Weighted interface {
		Op
		Weights(n *Node) WeightPorts
	}

	// ManyWeighted names the ports of trained weights behind the first one, such as
	// the recurrent weights of an LSTM. Weight may be -1 where only Bias is trained.
	ManyWeighted interface {
		Weighted
		MoreWeights(n *Node) []WeightPorts
	}

	// AxisMapper says which entries along the axes of a node's values can only
	// be removed together: channels of an addition's operands, a filter and its
	// bias. Without this facet no axis that meets the operator loses an entry.
	AxisMapper interface {
		Op
		MapAxes(n *Node, m AxisMap)
	}

	// AxisCutter is for operators whose attributes or constant inputs count
	// entries. kept returns the sorted entries of an axis, in its old numbering,
	// that stay, or nil if all do. The result replaces operator and inputs; inputs
	// that stay the same are returned as they are. Types in n are the old ones.
	AxisCutter interface {
		AxisMapper
		CutAxes(b *Builder, n *Node, kept func(v *Value, axis int) []int) (Op, []*Value)
	}
)

// AxisMap takes what an [AxisMapper] says. Axes and entries count from 0.
type AxisMap interface {
	// Tie: entry i along axis a of v and entry j along axis b of w stay or go
	// together.
	Tie(v *Value, a, i int, w *Value, b, j int)
	// Fix: all entries along axis a of v stay, and why.
	Fix(v *Value, a int, why string)
	// Fixed reports whether some entry along axis a of v is known to stay, from
	// what nodes before this one said.
	Fixed(v *Value, a int) bool
}

// Cost is the arithmetic of one node. 1 MAC = 2 FLOPs.
type Cost struct {
	MACs int64 // multiply-accumulates of convolutions and matrix products
	Ops  int64 // other elementary operations
}

// QuantTrait says how quantizers treat an operator.
type QuantTrait uint8

const (
	// QuantFloat: the operator computes in float; no quantizer passes it.
	QuantFloat QuantTrait = iota
	// QuantAgnostic: the operator only moves or selects values, so a quantizer
	// may sit before or after it.
	QuantAgnostic
	// QuantInputs: the operator runs faster, or only, with quantized inputs.
	QuantInputs
	// QuantConcat: agnostic if all its inputs share one quantizer.
	QuantConcat
)

// WeightPorts names the weight and bias inputs of an operator, -1 for none.
// OutAxis and InAxis are the weight's output- and input-channel axes.
type WeightPorts struct {
	Weight, OutAxis, InAxis int
	Bias                    int
}

// AllWeights returns the ports of all trained weights of n, the first one first;
// none if it has none.
func AllWeights(n *Node) []WeightPorts {
	w, ok := n.Op.(Weighted)
	if !ok {
		return nil
	}
	list := []WeightPorts{w.Weights(n)}
	if m, ok := n.Op.(ManyWeighted); ok {
		list = append(list, m.MoreWeights(n)...)
	}
	return list
}

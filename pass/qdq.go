package pass

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// ToQDQ replaces trainable fake-quantizers by QuantizeLinear and
// DequantizeLinear in the layout that ONNX Runtime and OpenVINO run in int8:
//
//	weights      int8 constant, zero point 0 → DequantizeLinear along the quantizer's axis
//	activations  QuantizeLinear → DequantizeLinear, uint8, one pair whose result fans out;
//	             int8 where it is only the first factor of products of activations
//	biases       int32 constant → DequantizeLinear, scale s_x·s_w[c], if input and weight are quantized
//	recurrent    int8 constant → Cast → Mul, which runtimes compute once: they need constant weights in recurrent cells
//
// Operators that only move values (MaxPool, Reshape, Concat of equals …) get the
// same pair behind them as before them if a quantized operator follows: that
// changes no value, and lets runtimes move uint8. A Conv or Gemm that is meant
// to stay float between quantized neighbours gets a bias through
// DequantizeLinear, without which ONNX Runtime would quantize its weight.
//
// The result computes what the graph computed up to the rounding of biases, at
// most s_x·s_w[c]/2, and of quotients that lie within float32 rounding of a tie.
// A bias that does not fit, because its channel's scale is tiny, widens that
// scale: the points are rounded again.
//
// An activation's grid with fewer than 256 points gets a Clip in front, which
// runtimes do not fuse. Grids of more than 256 points become uint16 and int16
// (opset 21), their layers keep float biases: runtimes compute them in float, so
// the trace notes them. Errors, all together: quantizers of activations per
// channel, grids of more than 65536 points, parameters that are not stored.
// Weights stored as uint8 (a grid that int8 cannot hold) are noted in the trace.
//
// Batch normalization should be folded before, see [FoldBatchNorm].
func ToQDQ(g *ir.Graph, t *rewrite.Trace) error {
	return run(g, t, []Pass{
		{Name: "quantize-activations", Doc: "activation quantizers become pairs of QuantizeLinear and DequantizeLinear", Run: quantizeActivations},
		{Name: "propagate-pairs", Doc: "operators that only move values get the pair of their input", Run: propagatePairs},
		{Name: "recurrent-weights", Doc: "weight quantizers of recurrent cells become integers that runtimes turn into constants", Run: recurrentWeights},
		{Name: "quantize-weights", Doc: "weight quantizers become integers with DequantizeLinear, biases int32", Run: quantizeWeights},
		{Name: "guard-float", Doc: "layers that stay float are kept from being quantized by runtimes", Run: guardFloat},
		{Name: "spread-bias", Doc: "a bias gets the rank of the product that it is added to where runtimes would make a float Gemm of both", Run: spreadBiases},
	})
}

func quantizeActivations(g *ir.Graph, t *rewrite.Trace) error {
	p := rewrite.New(g, "quantize-activations", t)
	var errs []error
	for _, n := range append([]*ir.Node(nil), g.Nodes()...) {
		if !op.IsFakeQuantizer(n) || onWeights(n) {
			continue
		}
		if err := activationPair(p, n); err != nil {
			errs = append(errs, n.Wrap("quantize", err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return p.Commit()
}

func activationPair(p *rewrite.Patch, n *ir.Node) error {
	q, err := readQuantizer(n)
	if err != nil {
		return err
	}
	if len(q.grids) != 1 {
		return fmt.Errorf("got a quantizer with %d channels on an activation, want one for the whole tensor: runtimes do not run others (the FakeQuantize form can)", len(q.grids))
	}
	grid := q.grids[0]
	full := 255
	if grid.n > full {
		full = math.MaxUint16
	}
	if grid.n > full || grid.zero < 0 || grid.zero > full {
		return fmt.Errorf("got a grid of %d points with 0 at point %d, want at most 65536 that contain 0", grid.n+1, grid.zero)
	}
	x, y, scale := n.In[0], n.Out[0], grid.step()
	if off := math.Abs(float64(-grid.low*grid.s) - float64(grid.zero)); off > 0.01 {
		p.Note("%s: 0 lies %.2f steps off the grid, which rounds other values than QuantizeLinear does", n.Label(), off)
	}
	if top := float32(grid.max()) * scale; grid.n < full && !boundedBy(x, top) {
		x = p.B.Op(op.Clip{}, n.Name+"/clip", x, nil, p.B.ConstF32(y.Name+"/high", top))
		p.Note("%s: %d points need a Clip, which runtimes do not fuse", n.Label(), grid.n+1)
	}
	s := p.B.ConstF32(y.Name+"/scale", scale)
	zero := point(grid.zero, full > 255)
	if grid.n == 255 && grid.zero == 128 && !isLayerResult(x) && firstFactors(p.Graph(), y) {
		zero = tensor.Scalar(int8(0))
	}
	z := p.B.Const(y.Name+"/zero_point", zero)
	if full > 255 {
		p.Note("%s: %d points need 16 bits, which runtimes compute in float", n.Label(), grid.n+1)
	}
	take(p, y, pair(p, n.Name, y.Name, x, s, z))
	return nil
}

// point is a point of an activation's grid as a scalar.
func point(k int, wide bool) *tensor.Tensor {
	if wide {
		return tensor.Scalar(uint16(k))
	}
	return tensor.Scalar(uint8(k))
}

// firstFactors reports whether v is read, directly or through operators that only
// move values, as the first factor of products of two computed matrices alone,
// such as the queries of attention. OpenVINO multiplies those on integers only if
// the first zero point is 0; to ONNX Runtime all types are the same.
func firstFactors(g *ir.Graph, v *ir.Value) bool {
	if len(v.Uses()) == 0 || isOutput(g, v) {
		return false
	}
	for _, u := range v.Uses() {
		if _, ok := u.Node.Op.(op.MatMul); ok {
			if u.Port != 0 || u.Node.In[1].FromStored() {
				return false
			}
			continue
		}
		if _, pad := u.Node.Op.(op.Pad); pad || trait(u.Node) != ir.QuantAgnostic || u.Port != 0 || !firstFactors(g, u.Node.Out[0]) {
			return false
		}
	}
	return true
}

// isLayerResult reports whether an operator computes v whose result must have the
// type of its input for ONNX Runtime to compute it on integers.
func isLayerResult(v *ir.Value) bool {
	if v.Def == nil {
		return false
	}
	switch v.Def.Op.(type) {
	case op.Conv, op.Gemm, op.AveragePool, op.GlobalAveragePool:
		return true
	case op.Relu, op.Clip:
		return isLayerResult(v.Def.In[0])
	}
	return false
}

// isWide reports whether a zero point is that of 16-bit integers.
func isWide(zero *ir.Value) bool {
	return zero != nil && (zero.Type.DType == tensor.Uint16 || zero.Type.DType == tensor.Int16)
}

// pair adds QuantizeLinear and DequantizeLinear behind x.
func pair(p *rewrite.Patch, node, name string, x, scale, zero *ir.Value) *ir.Value {
	k := p.B.Op(op.QuantizeLinear{Axis: 1}, node+"/quantize", x, scale, zero)
	y := p.B.Op(op.DequantizeLinear{Axis: 1}, node+"/dequantize", k, scale, zero)
	if p.B.Err() == nil {
		g := p.Graph()
		g.Rename(k, g.UniqueName(name+"/quantized"))
	}
	return y
}

// boundedBy reports whether x is never above top.
func boundedBy(x *ir.Value, top float32) bool {
	if x.Def == nil {
		return false
	}
	switch x.Def.Op.(type) {
	case op.Sigmoid, op.Softmax:
		return top >= 1
	case op.Clip:
		hi, ok := scalar(x.Def.Input(2))
		return ok && hi <= float64(top)
	}
	return false
}

// dequantized returns the scale and zero point of the whole-tensor
// DequantizeLinear that computes v.
func dequantized(v *ir.Value) (n *ir.Node, scale float32, zero int, ok bool) {
	n, _, ok = producer[op.DequantizeLinear](v)
	if !ok || n.In[0].IsStored() || !isConst(n.In[1]) || n.In[1].Data.Len() != 1 || n.In[1].Type.DType != tensor.Float32 {
		return nil, 0, 0, false
	}
	if z := n.Input(2); z != nil {
		ints, known := z.ConstInts()
		if !known || len(ints) != 1 {
			return nil, 0, 0, false
		}
		zero = ints[0]
	}
	return n, n.In[1].Data.F32()[0], zero, true
}

func trait(n *ir.Node) ir.QuantTrait {
	if q, ok := n.Op.(ir.QuantTraited); ok {
		return q.QuantTrait()
	}
	return ir.QuantFloat
}

func propagatePairs(g *ir.Graph, t *rewrite.Trace) error {
	p := rewrite.New(g, "propagate-pairs", t)
	feeds := feedQuantized(g)
	for _, n := range append([]*ir.Node(nil), g.Nodes()...) {
		from := pairToCopy(n)
		if from == nil {
			continue
		}
		for _, v := range n.Out {
			if v == nil || !v.Type.DType.IsFloat() || !feeds[v.ID] {
				continue
			}
			if padIntegers(p, n, from) {
				continue
			}
			base, uses := v.Name, v.Uses()
			p.Note("%s", base)
			y := pair(p, base, base, v, from.In[1], from.Input(2))
			if err := p.B.Err(); err != nil {
				return err
			}
			for _, u := range append([]ir.Use(nil), uses...) {
				if u.Node != y.Def.In[0].Def {
					p.SetInput(u.Node, u.Port, y)
				}
			}
		}
	}
	return p.Commit()
}

// padIntegers makes a Pad work on the integers in front of from; ONNX Runtime
// would pad in float otherwise, OpenVINO pads integers either way.
func padIntegers(p *rewrite.Patch, n, from *ir.Node) bool {
	pad, ok := n.Op.(op.Pad)
	if !ok || isWide(from.Input(2)) { // ONNX Runtime cannot pad 16-bit integers
		return false
	}
	in := slices.Clone(n.In)
	scale, zero := from.In[1], from.Input(2)
	in[0] = from.In[0]
	if pad.Mode == "" {
		fill := zero
		if v := n.Input(2); v != nil {
			c, ok := scalar(v)
			_, s, z, _ := dequantized(from.Out[0])
			if !ok {
				return false
			}
			if c != 0 {
				fill = p.B.Const(v.Name+"/quantized", point(int(c/float64(s)+float64(z)), false))
			}
		}
		for len(in) < 3 {
			in = append(in, nil)
		}
		in[2] = fill
	}
	y := n.Out[0]
	k := p.B.Op(pad, n.Name, in...)
	d := p.B.Op(op.DequantizeLinear{Axis: 1}, y.Name+"/dequantize", k, scale, zero)
	name := y.Name
	take(p, y, d)
	if p.B.Err() == nil {
		p.Graph().Rename(k, p.Graph().UniqueName(name+"/quantized"))
	}
	return true
}

// pairToCopy returns the DequantizeLinear in front of an operator that only
// moves values, if everything it moves lies on that grid.
func pairToCopy(n *ir.Node) *ir.Node {
	switch n.Op.(type) {
	case op.QuantizeLinear, op.DequantizeLinear:
		return nil
	}
	kind := trait(n)
	if kind != ir.QuantAgnostic && kind != ir.QuantConcat || len(n.In) == 0 {
		return nil
	}
	from, scale, zero, ok := dequantized(n.In[0])
	if !ok {
		return nil
	}
	if _, ok := n.Op.(op.Resize); ok {
		return from // the other inputs are sizes
	}
	top := float64(math.MaxUint8)
	if isWide(from.Input(2)) {
		top = math.MaxUint16
	}
	for _, v := range n.In[1:] {
		if v == nil || !v.Type.DType.IsFloat() {
			continue
		}
		if _, s, z, ok := dequantized(v); ok && s == scale && z == zero {
			continue
		}
		if c, ok := scalar(v); ok { // the filling of a Pad
			k := c / float64(scale)
			if k == math.Trunc(k) && k+float64(zero) >= 0 && k+float64(zero) <= top {
				continue
			}
		}
		return nil
	}
	return from
}

// feedQuantized returns which values an operator that runs on integers reads,
// directly or through operators that only move values, by value ID.
func feedQuantized(g *ir.Graph) []bool {
	feeds := make([]bool, g.NumValues())
	for _, n := range slices.Backward(g.Nodes()) {
		on := false
		switch trait(n) {
		case ir.QuantInputs:
			on = true
		case ir.QuantAgnostic, ir.QuantConcat:
			for _, v := range n.Out {
				on = on || v != nil && feeds[v.ID]
			}
		}
		if on {
			for _, v := range n.In {
				if v != nil {
					feeds[v.ID] = true
				}
			}
		}
	}
	return feeds
}

// guardFloat gives layers that are computed in float between quantized neighbours
// a bias through DequantizeLinear. ONNX Runtime would quantize the weight of others
// that is in float, and to int32 the bias of those with wide grids, by the product
// of the scales, in whose range it need not lie: with 16 bits on both sides most do
// not, and are cut off.
func guardFloat(g *ir.Graph, t *rewrite.Trace) error {
	p := rewrite.New(g, "guard-float", t)
	for _, n := range append([]*ir.Node(nil), g.Nodes()...) {
		switch n.Op.(type) {
		case op.Conv, op.Gemm:
		default:
			continue
		}
		if !n.In[1].IsStored() && !widePlain(n) {
			continue
		}
		if _, _, _, ok := dequantized(n.In[0]); !ok || !quantizedNext(g, n.Out[0]) {
			continue
		}
		channels, ok := outChannels(n)
		if !ok {
			continue
		}
		bias := make([]float32, channels)
		if b := n.Input(2); b != nil {
			t, ok := StoredTensor(b)
			if !ok {
				continue // not an initializer: runtimes leave it alone
			}
			if bias, ok = rowVector(t, channels); !ok {
				continue
			}
		}
		c := consumer{node: n, scale: 1, bias: make([]float64, channels)}
		steps := make([]float32, channels)
		for i, b := range bias {
			c.bias[i] = float64(b)
			if o, ok := n.Op.(op.Gemm); ok {
				_, beta := o.Factors()
				c.bias[i] *= float64(beta)
			}
			if steps[i] = float32(math.Abs(c.bias[i]) / maxBias); steps[i] < smallestStep {
				steps[i] = 1
			}
		}
		if n.Input(2) == nil {
			b := p.B.Const(n.Label()+"/bias", tensor.From(bias, channels))
			m := p.B.Op(n.Op, n.Name, n.In[0], n.In[1], b)
			if p.B.Err() != nil {
				break
			}
			take(p, n.Out[0], m)
			c.node = m.Def
		}
		integerBias(p, c, steps)
		p.Note("%s stays float", n.Label())
	}
	return p.Commit()
}

// widePlain reports whether the weight of n is quantized and its bias is not,
// which is so with 16-bit grids.
func widePlain(n *ir.Node) bool {
	return isDequantized(n.In[1]) && n.Input(2) != nil && n.In[2].IsStored()
}

// quantizedNext reports whether v goes to a QuantizeLinear alone, directly or
// through a Relu or Clip.
func quantizedNext(g *ir.Graph, v *ir.Value) bool {
	u, ok := onlyUse(g, v)
	if !ok {
		return false
	}
	switch u.Node.Op.(type) {
	case op.QuantizeLinear:
		return true
	case op.Relu, op.Clip:
		return quantizedNext(g, u.Node.Out[0])
	}
	return false
}

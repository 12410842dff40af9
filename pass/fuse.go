package pass

import (
	"slices"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// fuseRules make one node of layers that exporters take apart.
var fuseRules = []rewrite.Rule{
	{Name: "fuse-bias", Doc: "an Add of a constant per output channel behind a Conv, ConvTranspose or Gemm is its bias", Match: fuseBias},
	{Name: "fuse-scale", Doc: "a Mul by a constant per output channel behind a Conv, ConvTranspose or Gemm is part of its weights and bias", Match: fuseScale},
	{Name: "fuse-gemm", Doc: "a MatMul of a matrix with a constant one, and the Add of a vector behind it, is a Gemm", Match: fuseGemm},
	{Name: "fuse-factors", Doc: "the factors of a Gemm become part of its constants, so that it is plain", Match: fuseFactors},
	{Name: "fuse-pad", Doc: "a Pad with zeros in front of a Conv or a pool that pads the same way is part of it", Match: fusePad},
	{Name: "fuse-relu-clip", Doc: "a Relu before a Clip from 0 or more, or behind any Clip, is part of the Clip", Match: fuseReluClip},
}

// addend returns the operands of a two-operand node with one constant.
func addend(n *ir.Node) (x, c *ir.Value, ok bool) {
	switch {
	case isConst(n.In[1]) && !isConst(n.In[0]):
		return n.In[0], n.In[1], true
	case isConst(n.In[0]) && !isConst(n.In[1]):
		return n.In[1], n.In[0], true
	}
	return nil, nil, false
}

// perChannel returns the elements of a constant that broadcasts to y as one
// value for each of the n indices of axis.
func perChannel(c *ir.Value, y ir.Type, axis, n int) ([]float32, bool) {
	if c.Type.DType != tensor.Float32 {
		return nil, false
	}
	shape, off := c.Data.Shape(), y.Rank()-c.Type.Rank()
	if off < 0 {
		return nil, false
	}
	for i, d := range shape {
		if d != 1 && (i+off != axis || d != n) {
			return nil, false
		}
	}
	v := c.Data.F32()
	if len(v) == n {
		return slices.Clone(v), true
	}
	out := make([]float32, n)
	for i := range out {
		out[i] = v[0]
	}
	return out, true
}

func fuseBias(p *rewrite.Patch, n *ir.Node) bool {
	if _, ok := n.Op.(op.Add); !ok {
		return false
	}
	y, c, ok := addend(n)
	if !ok || y.Def == nil {
		return false
	}
	layer := y.Def
	if _, ok := onlyUse(p.Graph(), y); !ok {
		return false
	}
	axis := 1
	switch o := layer.Op.(type) {
	case op.Conv, op.ConvTranspose:
	case op.Gemm:
		if _, beta := o.Factors(); beta != 1 {
			return false
		}
	default:
		return false
	}
	channels, ok := outChannels(layer)
	if !ok {
		return false
	}
	bias, ok := perChannel(c, n.Out[0].Type, axis, channels)
	if !ok || n.Out[0].Type.Rank() != y.Type.Rank() {
		return false
	}
	named := c
	if old := layer.Input(2); old != nil {
		if !isConst(old) {
			return false
		}
		was, ok := perChannel(old, y.Type, axis, channels)
		if old.Type.Rank() == 1 && layer.Op.Kind() != "Gemm" {
			was, ok = slices.Clone(old.Data.F32()), true
		}
		if !ok {
			return false
		}
		for i := range bias {
			bias[i] += was[i]
		}
		named = old
	}
	b := replacement(p, named, ir.Constant, "", tensor.From(bias, len(bias)))
	take(p, n.Out[0], p.B.Op(layer.Op, layer.Name, layer.In[0], layer.In[1], b))
	return true
}

// fuseScale merges what exporters leave of batch normalization behind a layer, as
// TensorFlow's does behind depthwise ones. Factors for all channels alike, and
// those of outputs, stay: training steps would change with the weights' scale. So
// do those behind binary weights, which are signs (ADR 0014).
func fuseScale(p *rewrite.Patch, n *ir.Node) bool {
	if _, ok := n.Op.(op.Mul); !ok {
		return false
	}
	y, c, ok := addend(n)
	if !ok || y.Def == nil || n.Out[0].Type.Rank() != y.Type.Rank() {
		return false
	}
	layer := y.Def
	channelOf, ok := weightChannels(layer)
	if !ok {
		return false
	}
	if _, ok := onlyUse(p.Graph(), y); !ok {
		return false
	}
	channels, ok := outChannels(layer)
	if !ok {
		return false
	}
	if c.Data.Len() != channels || channels == 1 || isOutput(p.Graph(), n.Out[0]) { // a change of units, say
		return false
	}
	scale, ok := perChannel(c, n.Out[0].Type, 1, channels)
	if !ok {
		return false
	}
	weights, bias := layer.Input(1), layer.Input(2)
	if !isScalable(weights) || areSigns(weights.Data.F32()) || bias != nil && (!isScalable(bias) || bias.Data.Len() != channels) {
		return false
	}
	in := slices.Clone(layer.In)
	in[1] = scaled(p, weights, func(i int) float32 { return scale[channelOf(i)] })
	if bias != nil {
		in[2] = scaled(p, bias, func(i int) float32 { return scale[i] })
	}
	take(p, n.Out[0], p.B.Op(layer.Op, layer.Name, in...))
	return true
}

// isScalable reports whether v can be replaced by a multiple.
func isScalable(v *ir.Value) bool { return isConst(v) && v.Type.DType == tensor.Float32 }

// scaled replaces a constant by one whose element i is multiplied by factor(i).
func scaled(p *rewrite.Patch, v *ir.Value, factor func(i int) float32) *ir.Value {
	d := slices.Clone(v.Data.F32())
	for i := range d {
		d[i] *= factor(i)
	}
	return replacement(p, v, ir.Constant, "", tensor.From(d, v.Data.Shape()...))
}

// areSigns reports whether all weights are 1 or -1.
func areSigns(w []float32) bool {
	return !slices.ContainsFunc(w, func(v float32) bool { return v != 1 && v != -1 })
}

// weightChannels returns the output channel that each element of a layer's
// weights belongs to.
func weightChannels(n *ir.Node) (of func(i int) int, ok bool) {
	w := n.Input(1)
	if w == nil {
		return nil, false
	}
	shape, ok := w.Type.Shape()
	if !ok || len(shape) < 2 || shape.Numel() == 0 {
		return nil, false
	}
	inner := shape[1:].Numel() // elements of an entry of axis 0
	switch o := n.Op.(type) {
	case op.Conv:
		return func(i int) int { return i / inner }, true
	case op.ConvTranspose: // [C, O/groups, kernel…]
		perGroup, kernel := shape[0]/o.Groups(), shape[2:].Numel()
		return func(i int) int { return i/inner/perGroup*shape[1] + i%inner/kernel }, true
	case op.Gemm:
		if o.TransB {
			return func(i int) int { return i / inner }, true
		}
		return func(i int) int { return i % inner }, true
	}
	return nil, false
}

// outChannels returns the number of output channels of a layer.
func outChannels(n *ir.Node) (int, bool) {
	if n.Out[0].Type.Rank() < 2 {
		return 0, false
	}
	return n.Out[0].Type.Dims[1].Known()
}

func fuseGemm(p *rewrite.Patch, n *ir.Node) bool {
	if _, ok := n.Op.(op.Add); !ok {
		return false
	}
	y, c, ok := addend(n)
	if !ok {
		return false
	}
	m, _, ok := producer[op.MatMul](y)
	if !ok || m.In[0].Type.Rank() != 2 || m.In[1].Type.Rank() != 2 || !isConst(m.In[1]) || n.Out[0].Type.Rank() != 2 {
		return false
	}
	if _, ok := onlyUse(p.Graph(), y); !ok {
		return false
	}
	channels, ok := outChannels(m)
	if !ok {
		return false
	}
	bias, ok := perChannel(c, n.Out[0].Type, 1, channels)
	if !ok {
		return false
	}
	b := c
	if c.Type.Rank() != 1 || c.Data.Len() != channels {
		b = replacement(p, c, ir.Constant, "", tensor.From(bias, channels))
	}
	take(p, n.Out[0], p.B.Op(op.Gemm{}, m.Name, m.In[0], m.In[1], b))
	return true
}

func fuseFactors(p *rewrite.Patch, n *ir.Node) bool {
	o, ok := n.Op.(op.Gemm)
	if !ok {
		return false
	}
	alpha, beta := o.Factors()
	changed := false
	scale := func(port int, f float32, factor *float32) {
		v := n.Input(port)
		if f == 1 || v == nil || !isScalable(v) {
			return
		}
		*factor, changed = 0, true
		p.SetInput(n, port, scaled(p, v, func(int) float32 { return f }))
	}
	scale(1, alpha, &o.Alpha)
	scale(2, beta, &o.Beta)
	if n.Input(2) == nil && o.Beta != 0 {
		o.Beta, changed = 0, true
	}
	if changed {
		p.SetOp(n, o)
		p.Note("%s", n.Label())
	}
	return changed
}

// spatialZeroPads returns the pads of a Pad with zeros that touches only the
// spatial axes: begins, then ends.
func spatialZeroPads(n *ir.Node) ([]int, bool) {
	pad, ok := n.Op.(op.Pad)
	if !ok || pad.Mode != "" || n.Input(3) != nil {
		return nil, false
	}
	if v := n.Input(2); v != nil {
		if !isConst(v) {
			return nil, false
		}
		if f, err := v.Data.Float64s(); err != nil || len(f) != 1 || f[0] != 0 {
			return nil, false
		}
	}
	pads, ok := n.In[1].ConstInts()
	rank := n.In[0].Type.Rank()
	if !ok || len(pads) != 2*rank || rank < 3 {
		return nil, false
	}
	for i, v := range pads {
		if v < 0 || v > 0 && i%rank < 2 {
			return nil, false
		}
	}
	return append(slices.Clone(pads[2:rank]), pads[rank+2:]...), true
}

func fusePad(p *rewrite.Patch, n *ir.Node) bool {
	if len(n.In) == 0 || n.In[0] == nil || n.In[0].Def == nil {
		return false
	}
	pad := n.In[0].Def
	pads, ok := spatialZeroPads(pad)
	if !ok {
		return false
	}
	if _, ok := onlyUse(p.Graph(), n.In[0]); !ok {
		return false
	}
	widen := func(w op.Window) (op.Window, bool) {
		if w.AutoPad != "" && w.AutoPad != "VALID" {
			return w, false
		}
		sum := slices.Clone(pads)
		if w.AutoPad == "" {
			for i, v := range w.Pads {
				sum[i] += v
			}
		}
		w.AutoPad, w.Pads = "", sum
		return w, true
	}
	var o ir.Op
	switch layer := n.Op.(type) {
	case op.Conv:
		layer.Window, ok = widen(layer.Window)
		o = layer
	case op.AveragePool:
		if layer.CeilMode || !layer.CountIncludePad && !allZero(layer.Pads) {
			return false
		}
		layer.Window, ok = widen(layer.Window)
		layer.CountIncludePad = true
		o = layer
	case op.MaxPool:
		// Zeros never win against values of at least 0, as long as every
		// window has one.
		if layer.CeilMode || len(n.Out) > 1 || !allZero(layer.Pads) || !nonNegative(pad.In[0]) || !inside(pads, layer.Kernel) {
			return false
		}
		layer.Window, ok = widen(layer.Window)
		o = layer
	default:
		return false
	}
	if !ok {
		return false
	}
	p.SetInput(n, 0, pad.In[0])
	p.SetOp(n, o)
	p.Note("%s", n.Out[0].Name)
	return true
}

func allZero(list []int) bool {
	return !slices.ContainsFunc(list, func(v int) bool { return v != 0 })
}

// inside reports whether every pad is smaller than the kernel.
func inside(pads, kernel []int) bool {
	for i, v := range pads {
		if v >= kernel[i%len(kernel)] {
			return false
		}
	}
	return true
}

// nonNegative reports whether the operator that computes v cannot give
// negative numbers.
func nonNegative(v *ir.Value) bool {
	if v.Def == nil {
		return false
	}
	switch v.Def.Op.(type) {
	case op.Relu, op.Sigmoid, op.Softmax, op.Abs, op.Exp:
		return true
	case op.Clip:
		lo, ok := scalar(v.Def.Input(1))
		return ok && lo >= 0
	case op.MaxPool, op.AveragePool, op.GlobalAveragePool, op.GlobalMaxPool:
		return nonNegative(v.Def.In[0])
	}
	return false
}

// scalar reads a constant of one element.
func scalar(v *ir.Value) (float64, bool) {
	if !isConst(v) || v.Data.Len() != 1 {
		return 0, false
	}
	f, err := v.Data.Float64s()
	if err != nil {
		return 0, false
	}
	return f[0], true
}

func fuseReluClip(p *rewrite.Patch, n *ir.Node) bool {
	g := p.Graph()
	switch n.Op.(type) {
	case op.Clip:
		r, _, ok := producer[op.Relu](n.In[0])
		if !ok {
			return false
		}
		if _, ok := onlyUse(g, n.In[0]); !ok {
			return false
		}
		lo, hasLo := scalar(n.Input(1))
		if n.Input(1) != nil && !hasLo {
			return false
		}
		if hi, ok := scalar(n.Input(2)); n.Input(2) != nil && (!ok || hi < 0) {
			return false
		}
		bound := n.Input(1)
		if !hasLo || lo < 0 {
			bound = zeroLike(p, n)
		}
		take(p, n.Out[0], p.B.Op(op.Clip{}, n.Name, r.In[0], bound, n.Input(2)))
		return true
	case op.Relu:
		c, _, ok := producer[op.Clip](n.In[0])
		if !ok {
			return false
		}
		if _, ok := onlyUse(g, n.In[0]); !ok {
			return false
		}
		lo, hasLo := scalar(c.Input(1))
		hi, hasHi := scalar(c.Input(2))
		if c.Input(1) != nil && !hasLo || c.Input(2) != nil && !hasHi || hasHi && hi < 0 {
			return false
		}
		bound := c.Input(1)
		if !hasLo || lo < 0 {
			bound = zeroLike(p, n)
		}
		take(p, n.Out[0], p.B.Op(op.Clip{}, c.Name, c.In[0], bound, c.Input(2)))
		return true
	}
	return false
}

// zeroLike adds the constant 0 of n's element type.
func zeroLike(p *rewrite.Patch, n *ir.Node) *ir.Value {
	return p.B.Const(n.Name+"/zero", tensor.New(n.Out[0].Type.DType))
}

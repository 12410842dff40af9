package pass

import (
	"fmt"
	"math"
	"slices"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// FoldBatchNorm merges every inference-form BatchNormalization into the Conv,
// ConvTranspose, Gemm or MatMul (of matrices) in front of it. With
// g[c] = scale/√(var + ε), weight and bias become w·g and (b - mean)·g + bias.
//
// If the weight goes through a fake-quantizer the quantized values are what is
// multiplied, exactly: the points that the stored weights are rounded to stay
// (mirrored where g is negative), and the grid is stretched by |g|. So a
// quantizer of the whole tensor becomes one per output channel. Where g is 0, or
// so small that float32 cannot hold the grid, the channel's weights become 0 and
// its grid stays. A grid with one more negative than positive points gets another
// positive one where g is negative; only -128, which int8 cannot mirror, moves by a
// step, and the trace counts such weights.
//
// A BatchNormalization that stands elsewhere, or whose layer's result is used
// elsewhere too, stays; the trace says why. One in training form is an error.
func FoldBatchNorm(g *ir.Graph, t *rewrite.Trace) error {
	p := rewrite.New(g, "fold-batchnorm", t)
	for _, n := range append([]*ir.Node(nil), g.Nodes()...) {
		bn, ok := n.Op.(op.BatchNormalization)
		if !ok {
			continue
		}
		if bn.Training {
			return n.Errorf("fold", "got the training form, want the inference graph")
		}
		why, err := foldBatchNorm(p, n, bn)
		if err != nil {
			return n.Wrap("fold", err)
		}
		if why != "" {
			p.Note("%s stays: %s", n.Label(), why)
		}
	}
	return p.Commit()
}

// smallestSize is the size of a grid below which the operators' epsilon of
// 1e-16 would distort it.
const smallestSize = 1e-15

func foldBatchNorm(p *rewrite.Patch, n *ir.Node, bn op.BatchNormalization) (why string, err error) {
	layer := n.In[0].Def
	if layer == nil {
		return "it normalizes the model's input", nil
	}
	f := folding{p: p, layer: layer}
	switch o := layer.Op.(type) {
	case op.Conv:
		f.axis, f.groups = 0, 1
	case op.ConvTranspose:
		f.axis, f.groups = 1, o.Groups()
	case op.Gemm:
		f.axis, f.groups = 1, 1
		if o.TransB {
			f.axis = 0
		}
	case op.MatMul:
		f.axis, f.groups = 1, 1
		if layer.In[0].Type.Rank() != 2 || layer.In[1].Type.Rank() != 2 {
			return "the matrix product before it is not of two matrices", nil
		}
	default:
		return fmt.Sprintf("it follows %s, which has no weights to fold it into", layer.Op.Kind()), nil
	}
	if _, ok := onlyUse(p.Graph(), n.In[0]); !ok {
		return fmt.Sprintf("%s is used elsewhere too", n.In[0].Name), nil
	}
	if !layer.In[1].FromStored() {
		return fmt.Sprintf("the weight %s is not stored", layer.In[1].Name), nil
	}
	channels, ok := outChannels(layer)
	if !ok {
		return "the number of channels is not known", nil
	}
	var v [4][]float32 // scale, bias, mean, var
	for i := range v {
		t, ok := StoredTensor(n.In[1+i])
		if !ok || t.DType() != tensor.Float32 {
			return fmt.Sprintf("%s is not a stored float32 tensor", n.In[1+i].Name), nil
		}
		v[i] = t.F32()
	}
	f.gain = make([]float64, channels)
	bias := make([]float32, channels)
	var old []float32
	if b := layer.Input(2); b != nil {
		t, ok := StoredTensor(b)
		if ok {
			old, ok = rowVector(t, channels)
		}
		if !ok {
			return fmt.Sprintf("the bias %s is not one stored value per channel", b.Name), nil
		}
	}
	beta := 1.0
	if o, ok := layer.Op.(op.Gemm); ok {
		_, b := o.Factors()
		beta = float64(b)
	}
	for c := range channels {
		f.gain[c] = float64(v[0][c]) / math.Sqrt(float64(v[3][c])+float64(bn.Epsilon))
		if math.IsNaN(f.gain[c]) || math.IsInf(f.gain[c], 0) {
			return "", fmt.Errorf("channel %d: scale %g with variance %g gives no finite factor", c, v[0][c], v[3][c])
		}
		b := -float64(v[2][c])
		if old != nil {
			b += beta * float64(old[c])
		}
		bias[c] = float32(b*f.gain[c] + float64(v[1][c]))
	}
	w, why, err := f.weight()
	if err != nil || why != "" {
		return why, err
	}
	o := layer.Op
	switch l := o.(type) {
	case op.Gemm:
		l.Beta = 0
		o = l
	case op.MatMul:
		o = op.Gemm{}
	}
	name := layer.Label() + "/bias"
	b := replacement(p, layer.Input(2), n.In[2].Kind, name, tensor.From(bias, channels))
	take(p, n.Out[0], p.B.Op(o, layer.Name, layer.In[0], w, b))
	return "", p.B.Err()
}

// rowVector returns a tensor's elements if it is one value per channel.
func rowVector(t *tensor.Tensor, channels int) ([]float32, bool) {
	if t.DType() != tensor.Float32 || t.Len() != channels && t.Len() != 1 || t.Rank() > 0 && t.Shape()[t.Rank()-1] != t.Len() {
		return nil, false
	}
	if t.Len() == channels {
		return t.F32(), true
	}
	out := make([]float32, channels)
	for i := range out {
		out[i] = t.F32()[0]
	}
	return out, true
}

// folding is the work on one layer's weight.
type folding struct {
	p            *rewrite.Patch
	layer        *ir.Node
	axis, groups int // of the weight's output channels
	gain         []float64
}

// channel returns the output channel of each element of the weight.
func (f *folding) channel(s tensor.Shape) func(i int) int {
	inner, n := s[f.axis+1:].Numel(), s[f.axis]
	if f.groups == 1 {
		return func(i int) int { return i / inner % n }
	}
	per := s[0] / f.groups // input channels of a group
	return func(i int) int { return i/(inner*n)/per*n + i/inner%n }
}

// weight returns the value that stands for w·g.
func (f *folding) weight() (w *ir.Value, why string, err error) {
	v := f.layer.In[1]
	if v.Def != nil {
		switch v.Def.Op.(type) {
		case op.FakeQuantizeSymmetric, op.FakeQuantizeAsymmetric:
			return f.quantized(v.Def)
		case op.FakeQuantize:
			return f.fileQuantized(v.Def)
		case op.DequantizeLinear:
			return nil, "its weight is stored quantized", nil
		}
	}
	t, ok := StoredTensor(v)
	if !ok || t.DType() != tensor.Float32 {
		return nil, fmt.Sprintf("the weight %s cannot be computed", v.Name), nil
	}
	source := weightSource(v)
	return replacement(f.p, source, kindOf(source), v.Name, f.scaled(t)), "", nil
}

func kindOf(v *ir.Value) ir.ValueKind {
	if v == nil {
		return ir.Constant
	}
	return v.Kind
}

// scaled returns t·g.
func (f *folding) scaled(t *tensor.Tensor) *tensor.Tensor {
	of := f.channel(t.Shape())
	out := make([]float32, t.Len())
	for i, x := range t.F32() {
		out[i] = float32(float64(x) * f.gain[of(i)])
	}
	return tensor.From(out, t.Shape()...)
}

// quantized folds into a trainable fake-quantizer.
func (f *folding) quantized(n *ir.Node) (w *ir.Value, why string, err error) {
	if f.groups > 1 {
		return nil, "a quantizer along the weight's second axis cannot tell the groups' channels apart", nil
	}
	q, err := readQuantizer(n)
	if err != nil {
		return nil, "", n.Wrap("fold", err)
	}
	if q.axis >= 0 && q.axis != f.axis {
		return nil, fmt.Sprintf("the weight's quantizer has channels along axis %d, want the output channels, axis %d", q.axis, f.axis), nil
	}
	points, shape, err := q.points()
	if err != nil {
		return nil, "", n.Wrap("fold", err)
	}
	channels := len(f.gain)
	before := make([]grid, channels)
	for c := range before {
		before[c] = q.grids[min(c, len(q.grids)-1)]
	}
	lows, sizes := make([]float32, channels), make([]float32, channels)
	dead := make([]bool, channels)
	o, reach := f.mirrored(n.Op)
	_, symmetric := n.Op.(op.FakeQuantizeSymmetric)
	for c, g := range before {
		gain := math.Abs(f.gain[c])
		size := float64(g.width)
		if symmetric {
			size = (size + float64(g.low)) * reach // the scale is the upper end
		}
		if size*gain < smallestSize || size*gain > math.MaxFloat32/2 {
			if size*gain > smallestSize {
				return nil, "", fmt.Errorf("channel %d: the factor %g overflows float32", c, f.gain[c])
			}
			dead[c], gain = true, 1
		}
		sizes[c] = float32(size*gain) - fqEpsilon
		lows[c] = float32(float64(g.low) * gain)
		if f.gain[c] < 0 && !dead[c] {
			lows[c] = float32(-(float64(g.low) + float64(g.width)) * gain)
		}
	}
	source := weightSource(n.In[0])
	var params []*ir.Value
	param := func(port int, data []float32) {
		old := n.In[port]
		params = append(params, replacement(f.p, old, kindOf(old), old.Name, tensor.From(data, channels)))
	}
	if symmetric {
		param(1, sizes)
	} else {
		param(1, lows)
		param(2, sizes)
	}
	data := tensor.New(tensor.Float32, shape...)
	x := replacement(f.p, source, kindOf(source), n.Out[0].Name, data)
	w = f.p.B.Op(o, n.Name, append([]*ir.Value{x}, params...)...)
	if err := f.p.B.Err(); err != nil {
		return nil, "", err
	}
	after, err := readQuantizer(w.Def)
	if err != nil {
		return nil, "", n.Wrap("fold", err)
	}
	of, moved := f.channel(shape), 0
	for i, k := range points {
		c := of(i)
		switch {
		case dead[c]:
			k = 0
		case f.gain[c] < 0:
			k = -k
		}
		a := after.grids[c]
		if clipped := min(max(k, a.min()), a.max()); clipped != k {
			k = clipped
			moved++
		}
		data.F32()[i] = float32(k) * a.step()
	}
	if moved > 0 {
		f.p.Note("%s: %d weights move by a step, their mirrored points do not exist", f.layer.Label(), moved)
	}
	return w, "", nil
}

// mirrored returns the quantizer's operator for one linear parameter per output
// channel. Where a factor is negative and the grid has more negative than
// positive points, it gets as many positive ones if int8 can hold them; the upper
// end then lies reach times as far out.
func (f *folding) mirrored(o ir.Op) (_ ir.Op, reach float64) {
	switch o := o.(type) {
	case op.FakeQuantizeSymmetric:
		o.Axis, o.LogScale, reach = f.axis, false, 1
		negative := slices.ContainsFunc(f.gain, func(g float64) bool { return g < 0 })
		plain := o.Levels == 0 || o.Levels == o.High-o.Low+1
		if negative && plain && o.Low < -o.High && o.Low >= -127 {
			reach = -float64(o.Low) / float64(o.High)
			o.Levels, o.High = 0, -o.Low
		}
		return o, reach
	case op.FakeQuantizeAsymmetric:
		o.Axis, o.LogRange = f.axis, false
		return o, 1
	}
	panic("pass: not a trainable quantizer")
}

// fileQuantized folds into OpenVINO's operator: constant and bounds alike.
func (f *folding) fileQuantized(n *ir.Node) (w *ir.Value, why string, err error) {
	x, ok := StoredTensor(n.In[0])
	if !ok || x.DType() != tensor.Float32 {
		return nil, fmt.Sprintf("the weight %s cannot be computed", n.In[0].Name), nil
	}
	if f.groups > 1 {
		return nil, "bounds along the weight's second axis cannot tell the groups' channels apart", nil
	}
	channels := len(f.gain)
	var bounds [4][]float32
	for i := range bounds {
		if !n.In[1+i].FromStored() {
			return nil, fmt.Sprintf("the bound %s is not stored", n.In[1+i].Name), nil
		}
		t, ok := StoredTensor(n.In[1+i])
		if ok {
			bounds[i], ok = perChannel(&ir.Value{Type: ir.TypeOf(t), Data: t}, ir.TypeOf(x), f.axis, channels)
		}
		if !ok {
			return nil, fmt.Sprintf("the bound %s is not one value per output channel", n.In[1+i].Name), nil
		}
	}
	if y, ok := StoredTensor(n.Out[0]); ok && slices.Equal(bounds[0], bounds[2]) && slices.Equal(bounds[1], bounds[3]) {
		x = y // what is rounded already rounds to itself, also with other bounds
	}
	levels := float64(n.Op.(op.FakeQuantize).Levels - 1)
	for c, g := range f.gain {
		if g == 0 { // the constant becomes 0, and must stay 0
			il, ih, ol, oh := float64(bounds[0][c]), float64(bounds[1][c]), float64(bounds[2][c]), float64(bounds[3][c])
			if k := math.RoundToEven(-il / (ih - il) * levels); math.Abs(k/levels*(oh-ol)+ol) > 1e-6*(oh-ol) {
				bounds[2][c], bounds[3][c] = 0, 0
			}
			g = 1
		}
		for i := range bounds {
			bounds[i][c] = float32(float64(bounds[i][c]) * g)
		}
		if g < 0 {
			bounds[0][c], bounds[1][c] = bounds[1][c], bounds[0][c]
			bounds[2][c], bounds[3][c] = bounds[3][c], bounds[2][c]
		}
	}
	shape := make(tensor.Shape, x.Rank())
	for i := range shape {
		shape[i] = 1
	}
	shape[f.axis] = channels
	source := weightSource(n.In[0])
	in := []*ir.Value{replacement(f.p, source, kindOf(source), n.In[0].Name, f.scaled(x))}
	for i := range bounds {
		in = append(in, f.p.Graph().AddStored(ir.Constant, n.In[1+i].Name, tensor.From(bounds[i], shape...)))
	}
	return f.p.B.Op(n.Op, n.Name, in...), "", f.p.B.Err()
}

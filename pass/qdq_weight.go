package pass

import (
	"errors"
	"fmt"
	"math"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// Limits of the bias integers. Accumulators add at most K·255·127 to a bias, so
// 2^30 keeps 32 bits from overflowing for every K below 33,000; and products of
// scales below 2^-100 come near the end of float32.
const (
	maxBias      = 1 << 30
	smallestStep = 0x1p-100
)

func quantizeWeights(g *ir.Graph, t *rewrite.Trace) error {
	p := rewrite.New(g, "quantize-weights", t)
	var errs []error
	for _, n := range append([]*ir.Node(nil), g.Nodes()...) {
		if !op.IsFakeQuantizer(n) || !onWeights(n) {
			continue
		}
		if err := weightIntegers(p, n); err != nil {
			errs = append(errs, n.Wrap("quantize", err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return p.Commit()
}

// consumer is a layer that reads a quantized weight and whose input is
// quantized with scale: its bias can be int32.
type consumer struct {
	node    *ir.Node
	outAxis int
	scale   float32
	bias    []float64 // nil if it has none
}

// integerConsumers finds the layers whose bias follows from the weight's scale.
func integerConsumers(w *ir.Value) []consumer {
	var list []consumer
	for _, u := range w.Uses() {
		if u.Port != 1 {
			continue
		}
		c := consumer{node: u.Node, outAxis: -1}
		beta := float32(1)
		switch o := u.Node.Op.(type) {
		case op.Conv:
			c.outAxis = 0
		case op.ConvTranspose:
			if o.Groups() == 1 {
				c.outAxis = 1
			}
		case op.Gemm:
			var alpha float32
			if alpha, beta = o.Factors(); alpha != 1 {
				continue
			}
			c.outAxis = 1
			if o.TransB {
				c.outAxis = 0
			}
		}
		channels, known := outChannels(u.Node)
		from, scale, _, ok := dequantized(u.Node.In[0])
		ok = ok && !isWide(from.Input(2))
		if !ok || !known || c.outAxis < 0 {
			continue
		}
		c.scale = scale
		if b := u.Node.Input(2); b != nil {
			t, ok := StoredTensor(b)
			if !ok {
				continue
			}
			list32, ok := rowVector(t, channels)
			if !ok {
				continue
			}
			c.bias = make([]float64, channels)
			for i, v := range list32 {
				c.bias[i] = float64(v) * float64(beta)
			}
		}
		list = append(list, c)
	}
	return list
}

func weightIntegers(p *rewrite.Patch, n *ir.Node) error {
	q, err := readQuantizer(n)
	if err != nil {
		return err
	}
	points, shape, err := q.points()
	if err != nil {
		return err
	}
	var consumers []consumer
	if q.grids[0].n <= 255 {
		consumers = integerConsumers(n.Out[0])
	}
	steps := make([]float32, len(q.grids))
	for i, grid := range q.grids {
		if grid.n > math.MaxUint16 {
			return fmt.Errorf("got a grid of %d points, want at most 65536", grid.n+1)
		}
		steps[i] = grid.step()
	}
	q, steps = widen(p, q, points, shape, steps, consumers)

	k, zeros, err := q.integers(points, shape)
	if err != nil {
		return err
	}
	if k.DType() != tensor.Int8 {
		p.Note("%s: the weight needs %v, which runtimes run slowly or in float", n.Label(), k.DType())
	}
	source := weightSource(n.In[0])
	y := n.Out[0]
	name := y.Name
	if source != nil {
		name = source.Name
	}
	value := replacement(p, source, ir.Constant, name, k)
	perTensor := q.axis < 0
	o := op.DequantizeLinear{Axis: 1}
	scale, zero := tensor.From(steps, len(steps)), zeros
	if perTensor {
		scale, zero = scale.Reshape(), zeros.Reshape()
	} else {
		o.Axis = q.axis
	}
	w := p.B.Op(o, n.Name+"/dequantize", value, p.B.Const(name+"/scale", scale), p.B.Const(name+"/zero_point", zero))
	take(p, y, w)
	for _, c := range consumers {
		if c.bias != nil && (perTensor || c.outAxis == q.axis) {
			integerBias(p, c, steps)
		}
	}
	return p.B.Err()
}

// widen returns steps that are large enough for the biases, and rounds the
// points of the channels whose step grows. A channel without any point but 0
// takes the step that suits its bias. A quantizer of the whole tensor gets
// channels if one of them needs it.
func widen(p *rewrite.Patch, q *quantizer, points []int, shape tensor.Shape, steps []float32, consumers []consumer) (*quantizer, []float32) {
	for _, c := range consumers {
		if c.bias == nil || q.axis >= 0 && q.axis != c.outAxis {
			continue
		}
		of := (&quantizer{axis: c.outAxis}).channel(shape)
		live := make([]bool, len(c.bias))
		for i, k := range points {
			live[of(i)] = live[of(i)] || k != 0
		}
		want := make([]float64, len(c.bias))
		change := false
		for i, b := range c.bias {
			sx := float64(c.scale)
			have := float64(steps[min(i, len(steps)-1)])
			want[i] = max(math.Abs(b)/(maxBias*sx), smallestStep/sx)
			if !live[i] { // any step does: one that gives the bias 24 bits
				if want[i] = math.Abs(b) / (1 << 24 * sx); want[i] < smallestStep/sx {
					want[i] = max(1, smallestStep/sx)
				}
				change = change || q.axis >= 0
				continue
			}
			want[i] = max(want[i], have)
			change = change || want[i] > have
		}
		if !change {
			continue
		}
		wide := &quantizer{node: q.node, axis: c.outAxis, grids: make([]grid, len(want))}
		next := make([]float32, len(want))
		moved := 0
		for i := range want {
			wide.grids[i] = q.grids[min(i, len(q.grids)-1)]
			next[i] = float32(want[i])
			if live[i] && want[i] > float64(steps[min(i, len(steps)-1)]) {
				next[i] = nextUp(next[i])
				moved++
			}
		}
		for i, k := range points {
			if ch := of(i); live[ch] {
				points[i] = int(math.RoundToEven(float64(k) * float64(steps[min(ch, len(steps)-1)]) / float64(next[ch])))
			}
		}
		if moved > 0 {
			p.Note("%s: the scale of %d channels grows so that their biases fit 32 bits", c.node.Label(), moved)
		}
		q, steps = wide, next
	}
	return q, steps
}

func nextUp(x float32) float32 { return math.Nextafter32(x, float32(math.Inf(1))) }

// integers returns the points as int8 with zero points 0, or, if they do not
// fit, as uint8; of grids with more than 256 points as int16 or uint16.
func (q *quantizer) integers(points []int, shape tensor.Shape) (k, zeros *tensor.Tensor, err error) {
	lo, hi := 0, 0
	for _, v := range points {
		lo, hi = min(lo, v), max(hi, v)
	}
	wide := q.grids[0].n > 255
	switch {
	case !wide && lo >= math.MinInt8 && hi <= math.MaxInt8:
		k, zeros = signed[int8](q, points, shape)
		return k, zeros, nil
	case wide && lo >= math.MinInt16 && hi <= math.MaxInt16:
		k, zeros = signed[int16](q, points, shape)
		return k, zeros, nil
	case wide:
		return unsigned[uint16](q, points, shape, math.MaxUint16)
	}
	return unsigned[uint8](q, points, shape, math.MaxUint8)
}

// signed returns points with zero points 0.
func signed[T int8 | int16](q *quantizer, points []int, shape tensor.Shape) (k, zeros *tensor.Tensor) {
	out := make([]T, len(points))
	for i, v := range points {
		out[i] = T(v)
	}
	return tensor.From(out, shape...), tensor.From(make([]T, len(q.grids)), len(q.grids))
}

// unsigned returns points with the zero points of their grids.
func unsigned[T uint8 | uint16](q *quantizer, points []int, shape tensor.Shape, most int) (k, zeros *tensor.Tensor, err error) {
	of := q.channel(shape)
	out, z := make([]T, len(points)), make([]T, len(q.grids))
	for i, g := range q.grids {
		if g.zero < 0 || g.zero > most {
			return nil, nil, fmt.Errorf("0 is point %d of the grid, want 0 to %d", g.zero, most)
		}
		z[i] = T(g.zero)
	}
	for i, v := range points {
		v += int(z[of(i)])
		if v < 0 || v > most {
			return nil, nil, fmt.Errorf("weight %d is point %d of the grid, want 0 to %d", i, v, most)
		}
		out[i] = T(v)
	}
	return tensor.From(out, shape...), tensor.From(z, len(z)), nil
}

// integerBias makes a layer's bias int32 with the scale s_x·s_w, multiplied in
// float32 as runtimes do.
func integerBias(p *rewrite.Patch, c consumer, steps []float32) {
	k := make([]int32, len(c.bias))
	scale := make([]float32, len(steps))
	for i, s := range steps {
		scale[i] = float32(c.scale * s)
	}
	for i, b := range c.bias {
		k[i] = int32(min(max(math.RoundToEven(b/float64(scale[min(i, len(scale)-1)])), -math.MaxInt32), math.MaxInt32))
	}
	old := c.node.In[2]
	source := weightSource(old)
	name := old.Name
	if source != nil {
		name = source.Name
	}
	value := replacement(p, source, ir.Constant, name, tensor.From(k, len(k)))
	st := tensor.From(scale, len(scale))
	o := op.DequantizeLinear{Axis: 0}
	if len(scale) == 1 && len(k) != 1 {
		st = st.Reshape()
	}
	b := p.B.Op(o, name+"/dequantize", value, p.B.Const(name+"/scale", st))
	if p.B.Err() != nil {
		return
	}
	p.SetInput(c.node, 2, b)
	if o, ok := c.node.Op.(op.Gemm); ok {
		o.Beta = 0
		p.SetOp(c.node, o)
	}
}

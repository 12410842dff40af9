package native

import (
	"github.com/go-nncf/nncf/internal/kernel/elementwise"
	"github.com/go-nncf/nncf/internal/kernel/gemm"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// recurrence lowers a recurrent cell or its way back through time. What the
// input adds to the gates is one product for all times. Then blocks of samples
// go through time each by itself, on one worker, with a product per step and
// block: samples do not depend on each other, so workers need not wait.
type recurrence struct {
	c             *compiler
	node          *ir.Node
	r             op.Recurrent
	t, n, d, h, g int
	per, blocks   int // samples of a block, blocks of a direction
	f             []cellFn
	lens          *slot // nil: all sequences have t steps
}

// newRecurrence returns nil if the reference evaluator has to do the node: for
// other elements than float32 and empty operands.
func newRecurrence(c *compiler, n *ir.Node, r op.Recurrent, funcs []op.CellFunction, y, rec *ir.Value, lens *ir.Value) *recurrence {
	for _, v := range n.In {
		if v != nil && v != lens && v.Type.DType != tensor.Float32 || v != nil && v.Type.MustShape().Numel() == 0 {
			return nil
		}
	}
	ys, rs := y.Type.MustShape(), rec.Type.MustShape()
	if len(ys) != 4 || ys.Numel() == 0 {
		return nil
	}
	q := &recurrence{c: c, node: n, r: r, t: ys[0], d: ys[1], n: ys[2], h: ys[3], g: rs[1] / rs[2]}
	for _, f := range funcs {
		q.f = append(q.f, newCellFn(f, r.Clip))
	}
	if lens != nil {
		q.lens = c.in(lens, rowMajor)
	}
	q.per = blockRows(rs[1] * rs[2])
	q.blocks = (q.n + q.per - 1) / q.per
	q.per = (q.n + q.blocks - 1) / q.blocks // as even as can be
	q.blocks = (q.n + q.per - 1) / q.per
	return q
}

// forward is the recurrence of a cell, backward that of its gradient; nil if the
// reference evaluator has to do the node.
func (c *compiler) forward(n *ir.Node, o op.Cell) (*recurrence, error) {
	r := o.Shared()
	funcs, err := o.Functions()
	if err != nil {
		return nil, err
	}
	y := n.Output(0)
	if y == nil {
		y = recurrentResult(n)
	}
	if r.BatchFirst || y == nil {
		return nil, nil
	}
	return newRecurrence(c, n, r, funcs, y, n.In[2], n.Input(4)), nil
}

func (c *compiler) backward(n *ir.Node, o op.Cell) (*recurrence, error) {
	funcs, err := o.Functions()
	if err != nil {
		return nil, err
	}
	return newRecurrence(c, n, o.Shared(), funcs, n.In[0], n.In[1], n.Input(2)), nil
}

// recurrentResult makes up the y of a cell of whose results only states are wanted.
func recurrentResult(n *ir.Node) *ir.Value {
	types, err := n.Op.Infer(n.In)
	if err != nil {
		return nil
	}
	return &ir.Value{Type: types[0]}
}

// blockRows returns how many samples share one pass over recurrent weights of
// the given number of floats: few while the weights stay in the second-level cache.
func blockRows(weights int) int {
	switch {
	case weights <= 64<<10:
		return 8
	case weights <= 512<<10:
		return 24
	}
	return 48
}

// fn is function k of direction d.
func (q *recurrence) fn(d, k int) cellFn { return q.f[d*len(q.f)/q.d+k] }

// optional returns the input in row-major order, nil if it is omitted.
func (q *recurrence) optional(port int) *slot {
	v := q.node.Input(port)
	if v == nil {
		return nil
	}
	return q.c.in(v, rowMajor)
}

// result returns the output's slot, nil if nobody asked for it.
func (q *recurrence) result(i int) *slot {
	v := q.node.Output(i)
	if v == nil {
		return nil
	}
	return q.c.out(v, rowMajor)
}

// area is memory of a result, or scratch memory if nobody asked for the result.
type area struct {
	slot *slot
	temp *temp
}

// area returns memory for output i, or for size floats.
func (q *recurrence) area(i, size int) area {
	if s := q.result(i); s != nil {
		return area{slot: s}
	}
	return area{temp: q.c.temp(size)}
}

// temps is what a step that works in the area needs besides its slots.
func (a area) temps() []*temp {
	if a.temp == nil {
		return nil
	}
	return []*temp{a.temp}
}

func (a area) mem() []float32 {
	if a.slot != nil {
		return a.slot.f32()
	}
	return a.temp.mem
}

// of returns the elements of a slot that may be nil; for use in bind.
func of(s *slot) []float32 {
	if s == nil {
		return nil
	}
	return s.f32()
}

// mul is a product of a block of samples with a part of the recurrent weights,
// rows from..from+n of each direction: with its transpose, as forward passes
// need it, or as it is.
type mul struct {
	whole, last *gemm.Plan // of blocks, of the last one
	packed      *temp
	size        int // of packed, for a direction
}

// mul emits the packing of rows from..from+n of r.
func (q *recurrence) mul(rec *slot, from, n int, transposed bool) (*mul, error) {
	s := gemm.Shape{M: q.per, N: q.h, K: n}
	if transposed {
		s.N, s.K, s.TransB = n, q.h, true
	}
	m := &mul{}
	var err error
	if m.whole, err = gemm.New(s, gemm.Options{}); err != nil {
		return nil, err
	}
	m.last = m.whole
	if s.M = q.n - (q.blocks-1)*q.per; s.M != q.per {
		if m.last, err = gemm.New(s, gemm.Options{}); err != nil {
			return nil, err
		}
	}
	m.size = m.whole.Sizes().PackedB
	m.packed = q.c.temp(m.size * q.d)
	q.pack(rec, m.whole, m.packed, q.g*q.h, q.h, from, n)
	return m, nil
}

// pack emits the packing of rows from..from+n of each direction of a weight with
// the given rows and columns.
func (q *recurrence) pack(w *slot, p *gemm.Plan, packed *temp, rows, cols, from, n int) {
	sz := p.Sizes()
	q.c.emitPack(q.node, w, func() func() error {
		src := w.f32()
		return runSized(q.c.pool, sz.PackBTasks*q.d, len(src), func(t, _ int) {
			d, t := t/sz.PackBTasks, t%sz.PackBTasks
			p.PackB(t, packed.mem[d*sz.PackedB:][:sz.PackedB], src[(d*rows+from)*cols:][:n*cols])
		})
	}, packed)
}

// run multiplies the rows of a block.
func (m *mul) run(q *recurrence, d, block int, a []float32, f gemm.Fusion, y []float32) {
	p := m.whole
	if block == q.blocks-1 {
		p = m.last
	}
	for i := range p.Sizes().Tasks {
		p.Run(i, a, m.packed.mem[d*m.size:][:m.size], f, y)
	}
}

// project emits gates = x·wᵀ + biases for all times: the biases of w, and those
// of r for the first gates.
func (q *recurrence) project(gates area, recurrent int) error {
	x, w, b := q.c.in(q.node.In[0], rowMajor), q.c.in(q.node.In[1], rowMajor), q.optional(3)
	rows, cols, k := q.t*q.n, q.g*q.h, w.shape[2]
	p, err := gemm.New(gemm.Shape{M: rows, N: cols, K: k, TransB: true}, gemm.Options{})
	if err != nil {
		return err
	}
	sz := p.Sizes()
	packed := q.c.temp(sz.PackedB * q.d)
	q.pack(w, p, packed, cols, k, 0, cols)
	temps := []*temp{packed}
	var bias *temp
	if b != nil {
		bias = q.c.temp(q.d * cols)
		q.c.emitPack(q.node, b, func() func() error {
			src := b.f32()
			return func() error {
				for d := range q.d {
					dst := bias.mem[d*cols:][:cols]
					copy(dst, src[2*d*cols:])
					more := recurrent * q.h
					elementwise.Add.Run(dst[:more], dst, src[(2*d+1)*cols:])
				}
				return nil
			}
		}, bias)
		temps = append(temps, bias)
	}
	temps = append(temps, gates.temps()...)
	q.c.emit(q.node, "gemm", []*slot{x}, []*slot{gates.slot}, func() func() error {
		xd, gd := x.f32(), gates.mem()
		return runTasks(q.c.pool, sz.Tasks*q.d, func(t, _ int) {
			d, t := t/sz.Tasks, t%sz.Tasks
			f := gemm.Fusion{}
			if bias != nil {
				f.Bias = bias.mem[d*cols:][:cols]
			}
			p.Run(t, xd, packed.mem[d*sz.PackedB:][:sz.PackedB], f, gd[d*rows*cols:][:rows*cols])
		})
	}, temps...)
	return nil
}

// blockOf is what one task works on: the samples lo..lo+m of direction d.
type blockOf struct{ d, block, lo, m, worker int }

// emit appends the step that runs f for all blocks. lens are the lengths of the
// sequences, nil if all are t.
func (q *recurrence) emit(kernel string, reads, writes []*slot, bind func() func(b blockOf, lens []int), temps ...*temp) {
	q.c.emit(q.node, kernel, append(reads, q.lens), writes, func() func() error {
		f := bind()
		var lens []int
		if q.lens != nil {
			lens = make([]int, q.n)
		}
		run := runTasks(q.c.pool, q.d*q.blocks, func(t, worker int) {
			d, block := t/q.blocks, t%q.blocks
			lo := block * q.per
			f(blockOf{d, block, lo, min(q.per, q.n-lo), worker}, lens)
		})
		return func() error {
			if q.lens != nil {
				if err := op.SequenceLengths(lens, q.lens.data, q.t); err != nil {
					return err
				}
			}
			return run()
		}
	}, temps...)
}

// time returns the time of step k.
func (q *recurrence) time(d, k int) int {
	if q.r.Reversed(d) {
		return q.t - 1 - k
	}
	return k
}

// before returns the time that sample n visits before t, or -1.
func (q *recurrence) before(d, t, n int, lens []int) int {
	if !q.r.Reversed(d) {
		return t - 1
	}
	if t+1 < q.t && (lens == nil || t+1 < lens[n]) {
		return t + 1
	}
	return -1
}

// step returns where the numbers of direction, time and sample begin in [D, T, N, k].
func (q *recurrence) step(d, t, n, k int) int { return ((d*q.t+t)*q.n + n) * k }

// at returns where those of y begin.
func (q *recurrence) at(d, t, n int) int { return ((t*q.d+d)*q.n + n) * q.h }

// state returns the block's part of a state [D, N, k·H].
func (q *recurrence) state(x []float32, b blockOf, k int) []float32 {
	return x[(b.d*q.n+b.lo)*k*q.h:][:b.m*k*q.h]
}

// begin sets the block's state to its initial value, 0 if that is omitted.
func (q *recurrence) begin(dst, initial []float32, b blockOf) {
	if initial == nil {
		clear(dst)
	} else {
		copy(dst, q.state(initial, b, 1))
	}
}

// end writes the block's state to the result, unless nobody asked for it.
func (q *recurrence) end(result, state []float32, b blockOf) {
	if result != nil {
		copy(q.state(result, b, 1), state)
	}
}

// previous writes h before step t of sample n.
func (q *recurrence) previous(dst, y, h0 []float32, d, t, n int, lens []int) {
	switch p := q.before(d, t, n, lens); {
	case p >= 0:
		copy(dst, y[q.at(d, p, n):][:q.h])
	case h0 != nil:
		copy(dst, h0[(d*q.n+n)*q.h:][:q.h])
	default:
		clear(dst)
	}
}

// cellFn is a function of gates on vectors.
type cellFn struct {
	f      op.CellFunction
	clip   float32
	lo, hi float32
	fast   bool
	unary  elementwise.Unary
	grad   elementwise.Grad
}

func newCellFn(f op.CellFunction, clip float32) cellFn {
	c := cellFn{f: f, clip: clip}
	lo, hi := f.Limits(float64(clip))
	c.lo, c.hi = float32(lo), float32(hi)
	switch f.Name {
	case "Sigmoid":
		c.fast, c.unary, c.grad = true, elementwise.Sigmoid, elementwise.SigmoidGrad
	case "Tanh":
		c.fast, c.unary, c.grad = true, elementwise.Tanh, elementwise.TanhGrad
	case "Relu":
		c.fast, c.unary, c.grad = true, elementwise.Relu, elementwise.ReluGrad
	}
	return c
}

// apply sets x = f(clip(x)).
func (c *cellFn) apply(x []float32) {
	if c.clip > 0 {
		elementwise.Clip.Run(x, x, -c.clip, c.clip)
	}
	c.value(x, x)
}

// value sets dst = f(x).
func (c *cellFn) value(dst, x []float32) {
	if c.fast {
		c.unary.Run(dst, x)
		return
	}
	for i, v := range x {
		dst[i] = float32(c.f.Value(float64(v)))
	}
}

// back sets dx = g·f', given y = f(clip(x)).
func (c *cellFn) back(dx, g, y []float32) {
	c.slope(dx, g, y)
	if c.clip > 0 {
		for i, v := range y[:len(dx)] {
			if v <= c.lo || v >= c.hi {
				dx[i] = 0
			}
		}
	}
}

// slope is back for arguments that are not clipped.
func (c *cellFn) slope(dx, g, y []float32) {
	if c.fast {
		c.grad.Run(dx, g, y)
		return
	}
	for i := range dx {
		dx[i] = g[i] * float32(c.f.Slope(float64(y[i])))
	}
}

package native

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/engine/plan"
	"github.com/go-nncf/nncf/internal/par"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Backend compiles graphs for the CPU. The zero value is ready.
type Backend struct{}

var _ engine.Backend = Backend{}

// Name returns "native".
func (Backend) Name() string { return "native" }

// Compile implements [engine.Backend].
func (Backend) Compile(ctx context.Context, g *ir.Graph, opts engine.Options) (engine.Program, error) {
	if err := checkStatic(g); err != nil {
		return nil, err
	}
	g, err := withSlopes(g)
	if err != nil {
		return nil, err
	}
	pool := par.New(opts.Threads)
	var follow *decisions
	if opts.MaxMemory > 0 {
		var err error
		if g, follow, err = fit(ctx, g, pool.Workers(), opts.MaxMemory, opts.Updates); err != nil {
			pool.Close()
			return nil, err
		}
	}
	c := newCompiler(g, pool.Workers())
	c.follow, c.updates = follow, opts.Updates
	if err := c.lowerAll(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	p, err := c.place(pool)
	if err != nil {
		pool.Close()
		return nil, err
	}
	return p, nil
}

// checkStatic reports values whose types are not fully known.
func checkStatic(g *ir.Graph) error {
	var errs []error
	check := func(v *ir.Value) {
		if v == nil {
			return
		}
		if _, ok := v.Type.Shape(); !ok {
			errs = append(errs, fmt.Errorf("value %q has type %v: give the inputs known shapes first", v.Name, v.Type))
		}
		if v.Type.DType == tensor.String {
			errs = append(errs, fmt.Errorf("value %q holds strings, which the engine does not run", v.Name))
		}
	}
	for _, v := range g.Inputs {
		check(v)
	}
	for _, n := range g.Nodes() {
		for _, v := range n.Out {
			check(v)
		}
	}
	return errors.Join(errs...)
}

// step is one entry of the schedule.
type step struct {
	node   *ir.Node // nil for reorders and copies
	kernel string
	fused  []string
	notes  []engine.Fusion // what the rules say, see fuse.go
	reads  []*slot
	writes []*slot
	temps  []*temp
	given  []*temp    // those of temps that the step reads only, as far as is known
	chain  *chain     // nil unless the step streams elements, see chain.go
	also   *ir.Node   // a node that the step does too
	input  *loaded    // of convolutions, see load.go
	output *finished  // of convolutions, see finish.go
	forms  *former    // see form.go
	images *imagewise // nil unless the step goes image by image
	group  *group     // see rule_group.go
	packs  *packing
	// once says that the step's result never changes: it runs when memory is
	// placed, and its temps keep their memory.
	once bool
	// bind runs once memory is placed; the closure it returns runs each time.
	bind  func() func() error
	run   func() error
	bytes int64
}

// compiler lowers one graph.
type compiler struct {
	g       *ir.Graph
	workers int
	pool    *par.Pool // set before bind
	follow  *decisions
	updates *engine.Updates

	slots [][2]*slot // by value ID and order
	home  []*slot    // by value ID: the order the producer wrote

	all      []*slot
	byBuffer map[*plan.Buffer][]*slot
	scratch  []*temp
	first    []*step // run before steps
	steps    []*step
	periods  []*temp          // by value ID: see periodic
	winners  map[int]*slot    // by the ID of a max pool's gradient: see lowerMaxPool
	done     map[int]*ir.Node // nodes that another one does too, by ID
	inputs   []*slot
	outputs  []*slot
	taken    map[int]bool // outputs that updates take, see update.go
}

// temp is memory that lives during one step.
type temp struct {
	buf   *plan.Buffer
	mem   []float32
	local bool // of the workers: it stays in the caches
}

// resize changes the number of floats, before memory is placed.
func (t *temp) resize(n int) { t.buf.Size = 4 * n }

// part returns one worker's share of n floats.
func (t *temp) part(worker, n int) []float32 { return t.mem[worker*n:][:n] }

func newCompiler(g *ir.Graph, workers int) *compiler {
	return &compiler{
		g: g, workers: workers,
		slots:    make([][2]*slot, g.NumValues()),
		home:     make([]*slot, g.NumValues()),
		periods:  make([]*temp, g.NumValues()),
		byBuffer: map[*plan.Buffer][]*slot{},
		done:     map[int]*ir.Node{},
		winners:  map[int]*slot{},
	}
}

func (c *compiler) lowerAll(ctx context.Context) error {
	for _, v := range c.g.Inputs {
		s := c.fixed(v, rowMajor, tensor.New(v.Type.DType, v.Type.MustShape()...))
		c.inputs = append(c.inputs, s)
	}
	for _, v := range c.g.Stored() {
		c.fixed(v, rowMajor, v.Data)
	}
	var errs []error
	for _, n := range c.g.Nodes() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if c.done[n.ID] != nil {
			continue
		}
		lower := lowerings[n.Op.Kind()]
		if _, ok := n.Op.(ir.Elementwise); ok && lower == nil {
			lower = lowerElementwise
		}
		if lower == nil {
			lower = lowerReference
		}
		if err := lower(c, n); err != nil {
			errs = append(errs, n.Wrap("lower", err))
			// later nodes need the outputs to exist
			for _, v := range n.Out {
				if v != nil && c.home[v.ID] == nil {
					c.out(v, rowMajor)
				}
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	c.border()
	c.steps = append(c.first, c.steps...)
	for _, s := range c.all {
		c.byBuffer[s.buf] = append(c.byBuffer[s.buf], s)
	}
	if err := c.fuse(); err != nil {
		return err
	}
	return c.placeUpdates()
}

// border emits the copies to outputs that cannot be read in place and the
// state updates.
func (c *compiler) border() {
	for _, v := range c.g.Outputs {
		s := c.in(v, rowMajor)
		if s.buf == nil { // an input or stored value handed through
			d, src := c.fresh(v, rowMajor), s
			c.emit(nil, "copy", []*slot{src}, []*slot{d}, func() func() error {
				return func() error { d.data.CopyFrom(src.data); return nil }
			})
			s = d
		}
		c.outputs = append(c.outputs, s)
	}
	for _, a := range c.g.Assigns {
		s := c.in(a.Src, rowMajor)
		dst := a.Dst.Data
		c.emit(nil, "assign", []*slot{s}, nil, func() func() error {
			return func() error { dst.CopyFrom(s.data); return nil }
		})
	}
}

// fixed makes a slot over a tensor that stays where it is.
func (c *compiler) fixed(v *ir.Value, o order, t *tensor.Tensor) *slot {
	s := &slot{value: v, order: o, shape: v.Type.MustShape(), dtype: v.Type.DType, data: t}
	c.slots[v.ID][o] = s
	if c.home[v.ID] == nil {
		c.home[v.ID] = s
	}
	if sameMemory(s.shape) {
		c.slots[v.ID][1-o] = &slot{value: v, order: 1 - o, shape: s.shape, dtype: s.dtype, data: t.Reshape((1 - o).physical(s.shape)...)}
	}
	return s
}

// fresh makes a slot with memory of its own that is not (yet) the value's home.
func (c *compiler) fresh(v *ir.Value, o order) *slot {
	return c.span(v, v.Type.MustShape(), v.Type.DType, o)
}

func newBuffer(bytes int) *plan.Buffer { return &plan.Buffer{Size: bytes} }

// out makes the slot that the value's producer writes, in order o.
func (c *compiler) out(v *ir.Value, o order) *slot { return c.settle(v, c.fresh(v, o)) }

// alias makes v the same memory as s, read as another shape or value.
func (c *compiler) alias(v *ir.Value, o order, s *slot) *slot {
	a := &slot{value: v, order: o, shape: v.Type.MustShape(), dtype: v.Type.DType, buf: s.buf}
	if s.buf == nil {
		a.data = s.data.Reshape(o.physical(a.shape)...)
	}
	c.all = append(c.all, a)
	return c.settle(v, a)
}

func (c *compiler) settle(v *ir.Value, s *slot) *slot {
	c.slots[v.ID][s.order] = s
	c.home[v.ID] = s
	if sameMemory(s.shape) {
		o := 1 - s.order
		t := &slot{value: v, order: o, shape: s.shape, dtype: s.dtype, buf: s.buf}
		if s.buf == nil {
			t.data = s.data.Reshape(o.physical(s.shape)...)
		}
		c.all = append(c.all, t)
		c.slots[v.ID][o] = t
	}
	return s
}

// any returns v in the order its producer wrote.
func (c *compiler) any(v *ir.Value) *slot { return c.home[v.ID] }

// in returns v in order o, converting it once if its producer wrote the other.
func (c *compiler) in(v *ir.Value, o order) *slot {
	if s := c.slots[v.ID][o]; s != nil {
		return s
	}
	src := c.home[v.ID]
	if v.Kind == ir.Constant { // converted once, now
		t := tensor.New(v.Type.DType, o.physical(src.shape)...)
		reorder(t, src.data, src.shape, o)
		return c.fixed(v, o, t)
	}
	dst := c.fresh(v, o)
	c.slots[v.ID][o] = dst
	c.lowerReorder(src, dst)
	return dst
}

// emit appends a step that reads and writes the given slots; nil slots are
// left out.
func (c *compiler) emit(n *ir.Node, kernel string, reads, writes []*slot, bind func() func() error, temps ...*temp) *step {
	s := &step{node: n, kernel: kernel, reads: present(reads), writes: present(writes), temps: temps, bind: bind}
	c.steps = append(c.steps, s)
	return s
}

// emitFirst is emit for work that depends on stored values and inputs only: it
// runs at the start, where it does not stand between chains.
func (c *compiler) emitFirst(kernel string, reads []*slot, bind func() func() error, temps ...*temp) {
	c.first = append(c.first, &step{kernel: kernel, reads: reads, temps: temps, bind: bind})
}

func present(l []*slot) []*slot {
	return slices.DeleteFunc(slices.Clone(l), func(s *slot) bool { return s == nil })
}

// live sets the lives of all buffers from the final list of steps, and the
// bytes that each step moves. Buffers that no step touches keep no memory. Steps
// of a group run together, so what one of them touches lives as long as the
// group; and what an earlier one left in the caches is not moved again.
func (c *compiler) live() []*plan.Buffer {
	var used []*plan.Buffer
	touch := func(b *plan.Buffer, at int) {
		if b == nil {
			return
		}
		if !b.Touched() {
			used = append(used, b)
		}
		b.Touch(at)
	}
	for i, s := range c.steps {
		s.bytes = 0
		first, last := i, i
		var earlier []*step
		if s.group != nil {
			k := slices.Index(s.group.members, s)
			first, last = i-k, i-k+len(s.group.members)-1
			earlier = s.group.members[:k]
		}
		for _, l := range [][]*slot{s.reads, s.writes} {
			for k, r := range l {
				if r.buf == nil || !slices.ContainsFunc(l[:k], func(q *slot) bool { return q.buf == r.buf }) && !touches(earlier, r.buf) {
					s.bytes += int64(r.shape.Numel() * elemSize(r.dtype))
				}
				touch(r.buf, first)
				touch(r.buf, last)
			}
		}
		for _, t := range s.temps {
			if !t.local {
				s.bytes += int64(t.buf.Size)
			}
			touch(t.buf, first)
			touch(t.buf, last)
			if s.once {
				touch(t.buf, 0)
				touch(t.buf, len(c.steps))
			}
		}
	}
	for i, s := range c.outputs { // valid until the next run
		if !c.taken[i] {
			touch(s.buf, len(c.steps))
		}
	}
	return used
}

// touches reports whether one of the steps reads or writes the buffer.
func touches(steps []*step, b *plan.Buffer) bool {
	return slices.ContainsFunc(steps, func(s *step) bool {
		has := func(x *slot) bool { return x.buf == b }
		return slices.ContainsFunc(s.reads, has) || slices.ContainsFunc(s.writes, has)
	})
}

// packKernel is what steps that bring weights into the order of a kernel are called.
const packKernel = "pack"

// emitPack is emit for work whose result depends on one value only: it runs once
// if that is a constant.
func (c *compiler) emitPack(n *ir.Node, v *slot, bind func() func() error, packed *temp) {
	s := c.emit(n, packKernel, []*slot{v}, nil, bind, packed)
	s.once = v.value.Kind == ir.Constant && v.buf == nil
}

// workspace is temp for n float32 that workers use while they run one task.
func (c *compiler) workspace(n int) *temp {
	t := c.temp(n)
	t.local = true
	return t
}

// temp reserves n float32 that live during the steps it is passed to.
func (c *compiler) temp(n int) *temp {
	t := &temp{buf: newBuffer(4 * n)}
	c.scratch = append(c.scratch, t)
	return t
}

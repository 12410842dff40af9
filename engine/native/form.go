package native

import (
	"slices"

	"github.com/go-nncf/nncf/ir"
)

// A former makes a weight from a weight: it quantizes, masks or binarizes it.
// Weights are packed for the kernels in each run, a block of output channels at
// a time, and formers run on that block right before, while it is on its way
// through the caches (rule_form.go): an operator that sits on a weight costs no
// pass over memory of its own.
//
// # How a new operator on weights takes part
//
// If it is elementwise, lower it as a link (see chain.go): nothing more is
// needed. If it needs more than the elements at hand, such as parameters per
// output channel or random bits by position, lower it with emitFormer: say what
// it reads, and give a function that computes elements lo ≤ i < hi of the result,
// which are whole entries of axis 0. It must not depend on how the range is
// cut. What must happen once per run before, such as the choice of a random
// stream, goes into begin. Gradients are steps of their own.
type former struct {
	out  *slot
	unit int // elements of an entry of axis 0
	bind func() formerFuncs
}

type formerFuncs struct {
	begin func()                   // once per run; may be nil
	run   func(worker, lo, hi int) // elements lo ≤ i < hi, whole entries of axis 0
}

// emitFormer emits a former that stands on its own until a rule finds what packs
// its result. reads are the weight and the parameters, in row-major order.
func (c *compiler) emitFormer(n *ir.Node, name string, reads []*slot, out *slot, bind func() formerFuncs, temps ...*temp) {
	total := out.shape.Numel()
	f := &former{out: out, unit: total, bind: bind}
	if len(out.shape) > 0 {
		f.unit /= max(1, out.shape[0])
	}
	s := c.emit(n, name, reads, []*slot{out}, func() func() error {
		fs := bind()
		per := max(1, taskLen/max(1, f.unit)) * f.unit
		run := runSized(c.pool, (total+per-1)/per, total, func(t, worker int) {
			fs.run(worker, t*per, min(total, (t+1)*per))
		})
		if fs.begin == nil {
			return run
		}
		return func() error { fs.begin(); return run() }
	}, temps...)
	s.forms = f
}

// formsWeight returns the former of a step, or of a chain that makes one weight
// and leaves no sums.
func (c *compiler) formsWeight(s *step) *former {
	if s.forms != nil {
		return s.forms
	}
	ch := s.chain
	if ch == nil || ch.cut != nil || len(s.writes) != 1 || s.writes[0].order != rowMajor || len(s.writes[0].shape) == 0 {
		return nil
	}
	out := s.writes[0]
	unit := out.shape.Numel() / max(1, out.shape[0])
	if unit == 0 || unit%ch.unit != 0 || slices.ContainsFunc(ch.links, func(l *link) bool { return l.sums != nil }) {
		return nil
	}
	return &former{out: out, unit: unit, bind: func() formerFuncs {
		part := c.chainPart(ch, ch.stored)
		return formerFuncs{run: func(worker, lo, hi int) { part(0, worker, lo, hi) }}
	}}
}

// packing is a step that packs the output channels of a weight block by block,
// and what forms the weight before.
type packing struct {
	src     *slot
	tasks   func() int
	rows    func(task int) (lo, hi int) // of axis 0; all tasks together have each entry once
	pack    func(task int, src []float32)
	formers []*former // in order
}

// bind returns the step's run function.
func (p *packing) bind(c *compiler) func() error {
	src := p.src.f32()
	if len(p.formers) == 0 {
		return runSized(c.pool, p.tasks(), len(src), func(t, _ int) { p.pack(t, src) })
	}
	var forms []formerFuncs
	for _, f := range p.formers {
		forms = append(forms, f.bind())
	}
	unit := p.formers[0].unit
	run := runSized(c.pool, p.tasks(), len(src), func(t, worker int) {
		lo, hi := p.rows(t)
		for _, f := range forms {
			f.run(worker, lo*unit, hi*unit)
		}
		p.pack(t, src)
	})
	return func() error {
		for _, f := range forms {
			if f.begin != nil {
				f.begin()
			}
		}
		return run()
	}
}

// emitPackBlocks is emitPack for weights that are packed by blocks of axis 0.
func (c *compiler) emitPackBlocks(n *ir.Node, p *packing, packed *temp) {
	s := c.emit(n, packKernel, []*slot{p.src}, nil, func() func() error { return p.bind(c) }, packed)
	s.packs = p
	s.once = p.src.value.Kind == ir.Constant && p.src.buf == nil
}

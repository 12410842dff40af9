package native

import (
	"fmt"
	"slices"

	"github.com/go-nncf/nncf/internal/par"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// updateKernel is what steps are called that hand an output to who updates a
// stored value with it.
const updateKernel = "update"

// placeUpdates adds a step for each output that [engine.Updates] take: behind
// what makes it, behind the last step that reads the stored value, and behind
// what makes the outputs that Begin needs. Steps of a group stay together.
func (c *compiler) placeUpdates() error {
	if c.updates == nil || len(c.updates.Take) == 0 {
		return nil
	}
	c.taken = map[int]bool{}
	for _, u := range c.updates.Take {
		if u.Output < 0 || u.Output >= len(c.outputs) || c.taken[u.Output] {
			return fmt.Errorf("update of %q: got output %d, want one of %d, each once", u.Stored, u.Output, len(c.outputs))
		}
		c.taken[u.Output] = true
	}
	begin := 0 // the first place an update may have
	for _, i := range c.updates.Needs {
		if i < 0 || i >= len(c.outputs) || c.taken[i] {
			return fmt.Errorf("updates: got output %d as needed at the beginning, want one of %d that no update takes", i, len(c.outputs))
		}
		begin = max(begin, c.behind(func(s *step) bool { return wrote(s, c.outputs[i]) }))
	}
	updates := make([][]*step, len(c.steps)+1) // by the step that they stand before
	for i, u := range c.updates.Take {
		out, stored := c.outputs[u.Output], c.g.Value(u.Stored)
		if stored == nil || stored.Data == nil || out.dtype != tensor.Float32 {
			return fmt.Errorf("update %d: got stored value %q and output %q of type %v, want a stored value and float32", i, u.Stored, out.value.Name, out.dtype)
		}
		at := max(begin, c.behind(func(s *step) bool { return wrote(s, out) || readsStored(s, stored) }))
		updates[at] = append(updates[at], c.update(out, u.Apply))
	}
	var all []*step
	for i, before := range updates {
		all = append(all, before...)
		if i < len(c.steps) {
			all = append(all, c.steps[i])
		}
	}
	c.steps = all
	first := c.steps[slices.IndexFunc(c.steps, func(s *step) bool { return s.kernel == updateKernel })]
	if start := c.updates.Begin; start != nil {
		bind := first.bind
		first.bind = func() func() error {
			run := bind()
			return func() error {
				if err := start(); err != nil {
					return err
				}
				return run()
			}
		}
	}
	return nil
}

// update returns the step that hands out to apply.
func (c *compiler) update(out *slot, apply func(lo int, part []float32)) *step {
	return &step{node: out.value.Def, kernel: updateKernel, reads: []*slot{out}, bind: func() func() error {
		g := out.f32()
		tasks := par.Split(len(g), taskLen)
		return runSized(c.pool, tasks, len(g), func(t, _ int) {
			lo, hi := par.Range(len(g), tasks, t)
			apply(lo, g[lo:hi])
		})
	}}
}

// behind returns the first place behind all steps that f is true of.
func (c *compiler) behind(f func(*step) bool) int {
	at := 0
	for i, s := range c.steps {
		if f(s) {
			at = i + 1
			if s.group != nil {
				at += len(s.group.members) - 1 - slices.Index(s.group.members, s)
			}
		}
	}
	return at
}

func wrote(s *step, x *slot) bool {
	return slices.ContainsFunc(s.writes, func(w *slot) bool { return w == x || w.buf != nil && w.buf == x.buf })
}

// readsStored reports whether the step reads the stored value, under this name or
// another.
func readsStored(s *step, v *ir.Value) bool {
	node := func(n *ir.Node) bool { return n != nil && slices.Contains(n.In, v) }
	return node(s.node) || node(s.also) || slices.ContainsFunc(s.reads, func(r *slot) bool {
		return r.buf == nil && sameElements(r.data, v.Data)
	})
}

// sameElements reports whether a and b are one memory, in whatever shape.
func sameElements(a, b *tensor.Tensor) bool {
	if a.DType() != tensor.Float32 || b.DType() != tensor.Float32 || a.Len() == 0 || b.Len() == 0 {
		return false
	}
	return &a.F32()[0] == &b.F32()[0]
}

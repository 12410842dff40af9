package native

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/engine/plan"
	"github.com/go-nncf/nncf/internal/cpu"
	"github.com/go-nncf/nncf/internal/par"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// program implements [engine.Program] and [engine.Timed].
type program struct {
	pool    *par.Pool
	arena   *plan.Arena
	steps   []*step
	inputs  []*tensor.Tensor
	outputs []*tensor.Tensor
	info    engine.Info
	lacks   error // why it cannot run here, nil if it can
	commits int   // the step from which on stored values change: it is not to be interrupted
}

// place assigns memory and binds the steps to it.
func (c *compiler) place(pool *par.Pool) (*program, error) {
	c.pool = pool
	used := c.live()
	arena, err := plan.NewArena(plan.Assign(used))
	if err != nil {
		return nil, err
	}
	for _, s := range c.all {
		if s.buf != nil && s.buf.Touched() {
			s.bindArena(arena)
		}
	}
	for _, t := range c.scratch {
		if !t.buf.Touched() {
			continue
		}
		t.mem = plan.Slice[float32](arena, t.buf.Offset, t.buf.Size/4)
	}
	p := &program{pool: pool, arena: arena}
	p.info = engine.Info{Backend: "native", Threads: pool.Workers(), CPU: cpu.Planned().String(), ArenaBytes: int64(arena.Size())}
	if cpu.Planned() > cpu.Best() {
		p.lacks = fmt.Errorf("the program was planned for kernels of level %v, which this machine cannot run", cpu.Planned())
	}
	counted := map[*ir.Node]bool{}
	at := make([]int, 0, len(c.steps)+1) // steps of the program before each of c.steps
	for _, s := range c.steps {
		at = append(at, len(p.steps))
		s.run = s.bind()
		s.bind = nil
		if s.once && p.lacks != nil {
			continue
		}
		if s.once {
			if err := s.run(); err != nil {
				return nil, err
			}
			continue
		}
		p.steps = append(p.steps, s)
		e := s.info(counted)
		p.info.MACs += e.MACs
		p.info.Steps = append(p.info.Steps, e)
	}
	at = append(at, len(p.steps))
	for _, s := range p.steps {
		if s.group != nil && s == s.group.members[0] {
			s.group.bind(pool)
		}
	}
	for _, n := range c.g.Nodes() {
		if n.Rule == recomputeRule {
			p.info.Recomputed.Nodes++
			if k, ok := n.Op.(ir.Costed); ok {
				p.info.Recomputed.MACs += k.Cost(n).MACs
			}
		}
	}
	p.info.Arena = c.spans(used, at)
	for _, t := range c.scratch {
		p.info.ScratchBytes += int64(t.buf.Size)
	}
	for _, s := range c.inputs {
		p.inputs = append(p.inputs, s.data)
	}
	for i, s := range c.outputs {
		if c.taken[i] {
			p.outputs = append(p.outputs, nil)
			continue
		}
		p.outputs = append(p.outputs, s.data)
	}
	p.commits = len(p.steps)
	if i := slices.IndexFunc(p.steps, func(s *step) bool { return s.kernel == updateKernel }); i >= 0 {
		p.commits = i + 1
	}
	return p, nil
}

func (p *program) Input(i int) *tensor.Tensor  { return p.inputs[i] }
func (p *program) Output(i int) *tensor.Tensor { return p.outputs[i] }
func (p *program) Info() engine.Info           { return p.info }

// Run implements [engine.Program].
func (p *program) Run(ctx context.Context) error {
	if p.lacks != nil {
		return p.lacks
	}
	for i, s := range p.steps {
		if s.group != nil && s != s.group.members[0] {
			continue
		}
		if err := ctx.Err(); err != nil && i < p.commits {
			return err
		}
		if s.group != nil {
			s.group.run()
			continue
		}
		if err := s.run(); err != nil {
			return s.fail(err)
		}
	}
	return nil
}

// RunTimed implements [engine.Timed]. Steps of a group run one after the other,
// so that each has a time.
func (p *program) RunTimed(ctx context.Context, d []time.Duration) error {
	if p.lacks != nil {
		return p.lacks
	}
	if len(d) != len(p.steps) {
		return fmt.Errorf("got %d times for %d steps", len(d), len(p.steps))
	}
	last := time.Now()
	for i, s := range p.steps {
		if err := ctx.Err(); err != nil && i < p.commits {
			return err
		}
		if err := s.run(); err != nil {
			return s.fail(err)
		}
		now := time.Now()
		d[i] += now.Sub(last)
		last = now
	}
	return nil
}

// fail adds the place to an error of a run.
func (s *step) fail(err error) error {
	if s.node != nil {
		return s.node.Wrap("run", err)
	}
	return err
}

// Close implements [engine.Program]. Buffers of inputs stay valid, those of
// outputs do not.
func (p *program) Close() error {
	p.pool.Close()
	return p.arena.Close()
}

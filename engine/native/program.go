package native

import (
	"context"

	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/engine/plan"
	"github.com/go-nncf/nncf/internal/cpu"
	"github.com/go-nncf/nncf/internal/par"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// program implements [engine.Program].
type program struct {
	pool    *par.Pool
	arena   *plan.Arena
	steps   []*step
	inputs  []*tensor.Tensor
	outputs []*tensor.Tensor
	info    engine.Info
}

// place assigns memory and binds the steps to it.
func (c *compiler) place(pool *par.Pool) (*program, error) {
	c.pool = pool
	arena, err := plan.NewArena(plan.Assign(c.live()))
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
	p.info = engine.Info{Backend: "native", Threads: pool.Workers(), CPU: cpu.Best().String(), ArenaBytes: int64(arena.Size())}
	for _, s := range c.steps {
		s.run = s.bind()
		s.bind = nil
		if s.once {
			if err := s.run(); err != nil {
				return nil, err
			}
			continue
		}
		p.steps = append(p.steps, s)
		e := engine.Step{Kind: s.kernel, Kernel: s.kernel, Fused: s.fused, Bytes: s.bytes}
		if n := s.node; n != nil {
			e.Node, e.Kind, e.Rule = n.Name, n.Op.Kind(), n.Rule
			if s.also != nil {
				e.Fused = append(e.Fused, n.Op.Kind(), s.also.Op.Kind())
			}
			if k, ok := n.Op.(ir.Costed); ok {
				e.MACs = k.Cost(n).MACs
			}
		}
		p.info.MACs += e.MACs
		p.info.Steps = append(p.info.Steps, e)
	}
	for _, t := range c.scratch {
		p.info.ScratchBytes += int64(t.buf.Size)
	}
	for _, s := range c.inputs {
		p.inputs = append(p.inputs, s.data)
	}
	for _, s := range c.outputs {
		p.outputs = append(p.outputs, s.data)
	}
	return p, nil
}

func (p *program) Input(i int) *tensor.Tensor  { return p.inputs[i] }
func (p *program) Output(i int) *tensor.Tensor { return p.outputs[i] }
func (p *program) Info() engine.Info           { return p.info }

// Run implements [engine.Program].
func (p *program) Run(ctx context.Context) error {
	for _, s := range p.steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.run(); err != nil {
			if s.node != nil {
				return s.node.Wrap("run", err)
			}
			return err
		}
	}
	return nil
}

// Close implements [engine.Program]. Buffers of inputs stay valid, those of
// outputs do not.
func (p *program) Close() error {
	p.pool.Close()
	return p.arena.Close()
}

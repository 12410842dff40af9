package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/internal/cpu"
	"github.com/go-nncf/nncf/train"
)

// planFlags are the flags of inspect --plan.
type planFlags struct {
	Plan      bool `help:"Print the steps that the engine runs: kernels, what was fused and why or why not, bytes moved, the map of memory. With --cpu also for a machine that has more than this one." xor:"form" group:"graph"`
	PlanTrain bool `name:"train" help:"With --plan: of a training step rather than of inference." group:"graph"`
	PlanBatch *int `name:"plan-batch" help:"With --plan: batch size; default the one that the model was exported with, or 1." placeholder:"N" group:"graph"`
	memoryFlag
}

// plansFor reports whether all that is asked for is a plan, which can be made
// for a level that this machine cannot run. The environment's level must be fine.
func (f planFlags) plansFor(level string) bool {
	_, err := cpu.ParseLevel(level)
	return f.Plan && err == nil && cpu.EnvError() == nil
}

// assume lets plans count on the level that --cpu names, here or not.
func assume(level string) (restore func()) {
	l, err := cpu.ParseLevel(level)
	if err != nil || l <= cpu.Best() {
		return func() {}
	}
	return cpu.Assume(l)
}

// check refuses what would have no effect.
func (f planFlags) check() error {
	switch {
	case f.PlanBatch != nil && *f.PlanBatch < 1:
		return usagef("--plan-batch: got %d, want 1 or more", *f.PlanBatch)
	case !f.Plan && (f.PlanTrain || f.PlanBatch != nil || f.MaxMemory != ""):
		return usagef("--train, --plan-batch and --max-memory are about the plan: add --plan")
	}
	_, err := f.bytes()
	return err
}

// plan is what inspect --plan reports.
type plan struct {
	Model string `json:"model"`
	Batch int    `json:"batch"`
	Train bool   `json:"train"`
	Bytes int64  `json:"bytes_per_step"`
	engine.Info
}

// plan compiles the model as training or inference would, and prints the plan.
func (c *inspectCmd) plan(s *session) error {
	m, err := loadModel(c.Model)
	if err != nil {
		return err
	}
	f := c.planFlags
	inputs, err := inputBatch(s, m, f.PlanBatch)
	if err != nil {
		return err
	}
	var hook train.Hook
	if c.Config != "" {
		k, err := c.compress(s, m)
		if err != nil {
			return err
		}
		m, hook = &nncf.Model{Graph: k.Graph, Trace: k.Trace}, k
	}
	limit, err := f.bytes()
	if err != nil {
		return err
	}
	p := plan{Model: c.Model, Batch: inputs[0].Shape()[0], Train: f.PlanTrain}
	if f.PlanTrain {
		t, err := nncf.NewTrainer(m.Graph, s.stepOptions(m.Graph, limit), hook)
		if err != nil {
			return err
		}
		defer t.Close()
		defer assume(s.CPU)()
		prog, err := t.Program(s.ctx, inputs...)
		if err != nil {
			return err
		}
		p.Info = prog.Info()
	} else {
		g, err := deployed(m.Graph, inputs)
		if err != nil {
			return err
		}
		defer assume(s.CPU)()
		prog, err := nncf.Backend().Compile(s.ctx, g, engine.Options{Threads: s.Threads, MaxMemory: limit, Logger: s.log})
		if err != nil {
			return err
		}
		defer prog.Close()
		p.Info = prog.Info()
	}
	for _, st := range p.Steps {
		p.Bytes += st.Bytes
	}
	if s.JSON {
		return s.printJSON(p)
	}
	return p.table(s.Out)
}

// table prints the plan for people.
func (p plan) table(out io.Writer) error {
	what := "inference"
	if p.Train {
		what = "training"
	}
	fmt.Fprintf(out, "%s, %s, batch %d: %d steps, kernels %s, %d threads, %d MACs, %.2f MiB moved, arena %.2f MiB\n",
		p.Model, what, p.Batch, len(p.Steps), p.CPU, p.Threads, p.MACs, mib(p.Bytes), mib(p.ArenaBytes))
	if p.Recomputed.Nodes > 0 {
		fmt.Fprintf(out, "computed again to save memory: %d nodes, %d MACs (%.1f %% more)\n",
			p.Recomputed.Nodes, p.Recomputed.MACs, 100*float64(p.Recomputed.MACs)/float64(max(1, p.MACs-p.Recomputed.MACs)))
	}
	fmt.Fprintln(out)
	for i, s := range p.Steps {
		name := s.Layer
		if name == "" {
			name = "-"
		}
		fmt.Fprintf(out, "%4d  %s  %s", i, name, s.Kind)
		if s.Kernel != s.Kind {
			fmt.Fprintf(out, "  [%s]", s.Kernel)
		}
		if s.Pass != "" && s.Pass != "forward" {
			fmt.Fprintf(out, "  %s", s.Pass)
		}
		if s.MACs > 0 {
			fmt.Fprintf(out, "  %d MACs", s.MACs)
		}
		fmt.Fprintf(out, "  %.2f MiB\n", mib(s.Bytes))
		if len(s.Fused) > 0 {
			fmt.Fprintf(out, "        = %s\n", strings.Join(s.Fused, " → "))
		}
		for _, f := range s.Fusions {
			sign := "+"
			if !f.Applied {
				sign = "-"
			}
			fmt.Fprintf(out, "        %s %s: %s\n", sign, f.Rule, f.What)
		}
	}
	fmt.Fprintln(out, "\nmemory, by offset; lives in steps")
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, a := range p.Arena {
		fmt.Fprintf(w, "%d\t%d\t%d–%d\t\t%s\n", a.Offset, a.Bytes, a.First, a.Last, strings.Join(a.Values, ", "))
	}
	return w.Flush()
}

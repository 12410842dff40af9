// Package engine is the contract between graphs and what executes them:
// a [Backend] compiles a graph with known types into a [Program], and a program
// runs again and again in memory planned once.
//
// It holds interfaces and options only. Package engine/native is the CPU
// backend; package engine/plan its static schedule; engine/enginetest the
// conformance suite that every backend passes.
package engine

import (
	"context"
	"log/slog"
	"time"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Options say how to run; they never change a result's bits.
type Options struct {
	// Threads is the number of workers; 0 means one per available core.
	Threads int
	// MaxMemory bounds the bytes planned for values and scratch memory, the
	// arena. What does not fit is computed again where the backward pass needs
	// it; results keep their bits. Compile fails if no plan fits. 0 means no bound.
	MaxMemory int64
	// Updates change stored values while a program runs; nil: only g.Assigns do.
	Updates *Updates
	// Logger receives what was planned; nil discards it.
	Logger *slog.Logger
}

// Updates let a run change stored values with its own outputs, each as soon as
// nothing in the run reads the value any more. The memory of such an output then
// serves what comes later: gradients need not all wait for the end of the
// backward pass.
type Updates struct {
	// Begin is called once a run, before any update and when the outputs Needs are
	// complete. Its error ends the run, which has then changed nothing. nil stands
	// for a function that returns nil.
	Begin func() error
	Needs []int // indices in the graph's outputs
	Take  []Update
}

// Update is the update of one stored value.
type Update struct {
	Output int    // index in the graph's outputs, float32; [Program.Output] returns nil for it
	Stored string // name of the value that Apply changes
	// Apply gets the elements of the output from lo on. Parts do not overlap, all
	// together are the output, and several workers call it at once. It must not
	// change part.
	Apply func(lo int, part []float32)
}

// Backend compiles graphs.
type Backend interface {
	// Name is short and lower-case, such as "native".
	Name() string

	// Compile prepares g, whose types must have no symbolic axes (see
	// ir.Graph.Specialize). Stored values are read at each run from the tensors
	// that g shares, so changing their elements between runs is how weights are
	// updated; states named in g.Assigns are written at the end of each run.
	// Nodes the backend cannot run are all reported together.
	Compile(ctx context.Context, g *ir.Graph, opts Options) (Program, error)
}

// Program is a compiled graph. It belongs to one goroutine at a time.
type Program interface {
	// Input returns the buffer of input i, in the graph's order; the caller
	// fills it before Run. The buffer stays the same for the program's life.
	Input(i int) *tensor.Tensor

	// Output returns the buffer of output i, valid until the next Run; nil if an
	// update takes it.
	Output(i int) *tensor.Tensor

	// Run executes the graph once. Cancelling ctx stops between steps, but not
	// once updates have begun.
	Run(ctx context.Context) error

	// Info describes the plan.
	Info() Info

	// Close releases memory and workers.
	Close() error
}

// Timed is a facet of programs that can measure their steps.
type Timed interface {
	// RunTimed is Run that adds the time of step i, in the order of Info, to d[i].
	RunTimed(ctx context.Context, d []time.Duration) error
}

// Info describes a compiled program.
type Info struct {
	Backend string `json:"backend"`
	Threads int    `json:"threads"`
	CPU     string `json:"cpu"` // kernel level: generic, avx2, avx512
	MACs    int64  `json:"macs"`
	// ArenaBytes is the memory planned for values, ScratchBytes that for kernels.
	ArenaBytes   int64 `json:"arena_bytes"`
	ScratchBytes int64 `json:"scratch_bytes"`
	// Recomputed is what is computed again so that memory suffices, part of MACs.
	Recomputed Recomputed `json:"recomputed,omitzero"`
	Steps      []Step     `json:"steps"`
	// Arena is the map of the arena, by offset.
	Arena []Span `json:"arena"`
}

// Step is one entry of the schedule.
type Step struct {
	Node   string `json:"node"`
	Kind   string `json:"kind"`
	Kernel string `json:"kernel"` // variant chosen, or "reference"
	// Layer is the node of the model that the step belongs to; steps of a chain
	// may belong to several, and this is the first.
	Layer string `json:"layer,omitempty"`
	// Pass is "forward", "backward", "again" for what is computed again to save
	// memory, or "" for work that is none of these.
	Pass string `json:"pass,omitempty"`
	// Fused lists what one step does, in order, if more than Kind.
	Fused []string `json:"fused,omitempty"`
	// Fusions says what the rules of the backend did with the step, or why they
	// did nothing.
	Fusions []Fusion `json:"fusions,omitempty"`
	Rule    string   `json:"rule,omitempty"` // that made the node, empty for nodes of the model
	MACs    int64    `json:"macs,omitempty"`
	// Bytes are those of the operands read and results written, each counted
	// once, packed weights and partial sums included.
	Bytes int64 `json:"bytes"`
}

// Recomputed counts the nodes that run twice, and their multiplications.
type Recomputed struct {
	Nodes int   `json:"nodes"`
	MACs  int64 `json:"macs"`
}

// Fusion is what a rule did with a step, or why it did nothing.
type Fusion struct {
	Rule    string `json:"rule"`
	Applied bool   `json:"applied"`
	What    string `json:"what"`
}

// Span is a part of the arena and what lies there while the steps First to Last
// run, both inclusive; Last may be the number of steps: until the next run.
type Span struct {
	Offset int64    `json:"offset"`
	Bytes  int64    `json:"bytes"`
	First  int      `json:"first"`
	Last   int      `json:"last"`
	Values []string `json:"values"` // names; scratch memory has none
}

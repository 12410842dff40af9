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

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// Options say how to run; they never change a result's bits.
type Options struct {
	// Threads is the number of workers; 0 means one per available core.
	Threads int
	// Logger receives what was planned; nil discards it.
	Logger *slog.Logger
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

	// Output returns the buffer of output i, valid until the next Run.
	Output(i int) *tensor.Tensor

	// Run executes the graph once. Cancelling ctx stops between steps.
	Run(ctx context.Context) error

	// Info describes the plan.
	Info() Info

	// Close releases memory and workers.
	Close() error
}

// Info describes a compiled program.
type Info struct {
	Backend string `json:"backend"`
	Threads int    `json:"threads"`
	CPU     string `json:"cpu"` // kernel level: generic, avx2, avx512
	MACs    int64  `json:"macs"`
	// ArenaBytes is the memory planned for values, ScratchBytes that for kernels.
	ArenaBytes   int64  `json:"arena_bytes"`
	ScratchBytes int64  `json:"scratch_bytes"`
	Steps        []Step `json:"steps"`
}

// Step is one entry of the schedule.
type Step struct {
	Node   string   `json:"node"`
	Kind   string   `json:"kind"`
	Kernel string   `json:"kernel"` // variant chosen, or "reference"
	Fused  []string `json:"fused,omitempty"`
	Rule   string   `json:"rule,omitempty"`
	MACs   int64    `json:"macs,omitempty"`
	Bytes  int64    `json:"bytes"` // read and written
}

package compress

import (
	"context"
	"encoding/json"
	"iter"
	"time"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// Priority orders algorithms: lower ones change a value first.
type Priority int

// The priorities of the reference implementation.
const (
	PriorityDefault  Priority = 0
	PriorityPruning  Priority = 1
	PrioritySparsity Priority = 2
	PriorityQuantize Priority = 11
)

// Algorithm is a compression recipe with its options.
type Algorithm interface {
	// Name is the "algorithm" key of configurations.
	Name() string
	Priority() Priority

	// Setup decides where and what; it does not change g. Problems with the
	// options (scopes that match nothing, …) are reported together.
	Setup(g *ir.Graph) (Setup, error)
}

// Setup is an algorithm's decision for one graph. It marshals to JSON and
// back, so that a checkpoint can rebuild a compressed model without the
// configuration.
type Setup interface {
	// Algorithm is the name of the algorithm that made the setup.
	Algorithm() string

	// Apply inserts the nodes into g, the graph that was set up or an equal
	// one, and returns the handle to them.
	Apply(g *ir.Graph, t *rewrite.Trace) (Controller, error)
}

// Controller is the handle to one algorithm's part of a compressed model.
type Controller interface {
	// Algorithm is the name of the algorithm.
	Algorithm() string

	// Initialize does what needs data: ranges, statistics.
	Initialize(ctx context.Context, r Runner, c Calibration) error

	// EpochStep is called before each epoch, Step before each optimizer step.
	EpochStep()
	Step()

	// Loss adds the algorithm's term to a loss graph, in which the compressed
	// model's values have the same names; nil if it has none.
	Loss(b *ir.Builder) (*ir.Value, error)

	// Statistics reports what was compressed and how far.
	Statistics() Statistics

	// Stage says how much of the algorithm is in effect now.
	Stage() Stage

	// State returns what Apply and the parameters do not restore, LoadState
	// puts it back.
	State() (json.RawMessage, error)
	LoadState(json.RawMessage) error

	// Strip removes what only training needs from a clone of the compressed
	// graph.
	Strip(g *ir.Graph, t *rewrite.Trace) error
}

// Batches is a sequence of model inputs, in the order of the graph's inputs.
type Batches = iter.Seq2[[]*tensor.Tensor, error]

// Calibration is where initialisation gets its data.
type Calibration struct {
	// Batches starts over from the first sample at each call and yields at
	// least n samples, or all there are.
	Batches func(n int) Batches

	// Training is Batches as training sees them, with augmentation: what batch
	// normalization adapts to. Nil stands for Batches.
	Training func(n int) Batches
	// Labelled is Batches with the target of the loss behind each batch's inputs;
	// nil where samples have none.
	Labelled func(n int) Batches
	// Loss is what the model is trained with; nil is the cross-entropy of its
	// first output.
	Loss Loss
	// Cache is a folder for results that take long and are the same for the same
	// model, data and options; empty keeps none.
	Cache string
	// Latency measures the seconds that a model of one sample takes where it is to
	// run; nil where nothing can be measured.
	Latency func(ctx context.Context, g *ir.Graph) (seconds float64, err error)
	// Note, if set, receives a line about each long phase.
	Note func(format string, args ...any)
	// Progress, if set, is called after each step of a phase that takes long.
	Progress func(InitProgress)
}

// InitProgress is how far a long phase of initialisation has come.
type InitProgress struct {
	Phase       string // one word
	Step, Steps int    // steps done, and their number
	Status      string // what is known so far
	Remaining   time.Duration
}

// Loss builds the scalar loss of a model's outputs and a target into the graph
// under construction.
type Loss func(b *ir.Builder, outputs []*ir.Value, target *ir.Value) (*ir.Value, error)

// Runner runs graphs over data. Engines satisfy it by way of the facade.
type Runner interface {
	// Run feeds every batch to g, state updates (ir.Assign) included, and hands
	// the wanted values to f, which must not keep them.
	Run(ctx context.Context, g *ir.Graph, want []*ir.Value, data Batches, f func(got []*tensor.Tensor) error) error
}

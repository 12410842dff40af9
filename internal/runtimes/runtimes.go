package runtimes

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-nncf/nncf/tensor"
)

// ErrNotBuilt is returned by builds that have no bindings.
var ErrNotBuilt = errors.New("this program was built without foreign runtimes: build it with -tags runtimes, on Linux or macOS")

// ErrNoLibrary is wrapped by errors that say where a library was looked for.
var ErrNoLibrary = errors.New("library not found")

// Options says how a model is loaded. The zero value is one thread, the
// library's own optimisations, and the library found as [Find] says.
type Options struct {
	// Library is the file to load; "" searches.
	Library string
	// Threads is the number of threads that work on one inference; 0 is 1.
	Threads int
	// Profiling records the executed layers, see [Session.Layers].
	Profiling bool

	// OptimizedModelPath is where ONNX Runtime writes the graph that it
	// executes; "" is nowhere. OpenVINO ignores it.
	OptimizedModelPath string
	// DisableOptimizations makes ONNX Runtime compute what the file says,
	// node by node. OpenVINO ignores it.
	DisableOptimizations bool

	// Wide8Bit keeps ONNX Runtime from adding pairs of u8×s8 products in 16
	// bits, which saturates where the processor lacks VNNI: 2·255·127 does not
	// fit. OpenVINO saturates on such processors, whatever is asked; weights
	// within ±63 never do.
	Wide8Bit bool

	// Device is OpenVINO's; "" is "CPU". ONNX Runtime runs on the CPU only.
	Device string
	// PrecisionF32 keeps OpenVINO from computing float layers in bfloat16 or
	// float16 where the processor has them. ONNX Runtime never does.
	PrecisionF32 bool
	// Shapes fixes the shapes of OpenVINO's inputs, by name, before it
	// compiles. Inputs that are not named keep the file's shape.
	Shapes map[string][]int
}

// Validate reports all that is wrong with the options.
func (o Options) Validate() error {
	var errs []error
	if o.Threads < 0 {
		errs = append(errs, fmt.Errorf("threads: got %d, want 0 (one) or more", o.Threads))
	}
	for _, name := range slices.Sorted(maps.Keys(o.Shapes)) {
		if err := tensor.Shape(o.Shapes[name]).Check(); err != nil {
			errs = append(errs, fmt.Errorf("shape of input %q: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// Port is an input or output of a model. In Dims, -1 stands for an axis whose
// length the file leaves open. Ranked is false if even the number of axes is
// open.
type Port struct {
	Name   string
	DType  tensor.DType // Invalid for element types that tensors do not have
	Dims   []int
	Ranked bool
}

// String returns, for example, "input float32[-1 3 32 32]".
func (p Port) String() string {
	if !p.Ranked {
		return fmt.Sprintf("%s %v[…]", p.Name, p.DType)
	}
	return fmt.Sprintf("%s %v%v", p.Name, p.DType, p.Dims)
}

// accepts reports why t cannot be fed to p.
func (p Port) accepts(t *tensor.Tensor) error {
	if t.DType() != p.DType {
		return fmt.Errorf("got %v elements, want %v", t.DType(), p.DType)
	}
	if !p.Ranked {
		return nil
	}
	ok := len(p.Dims) == t.Rank()
	for i := 0; ok && i < t.Rank(); i++ {
		ok = p.Dims[i] < 0 || p.Dims[i] == t.Shape()[i]
	}
	if !ok {
		return fmt.Errorf("got shape %v, want %v", t.Shape(), p.Dims)
	}
	return nil
}

// Layer is one executed operation of a profiled session.
type Layer struct {
	Node string // name in the optimised graph
	Type string // operator, such as "QLinearConv" or "Convolution"
	// Exec names the kernel as the library does, such as
	// "brgconv_avx512_I8".
	Exec string
	// Precision is the type that the layer computes in, "i8" for both signed
	// and unsigned bytes, otherwise as in "f32", "bf16", "u1"; "" if the
	// library does not say.
	Precision string
	Time      time.Duration // of one run, on average
}

// Backend is what a binding does for a session. Run gets the inputs in the
// order of the ports, each of the right type and shape, and returns the
// outputs in theirs.
type Backend interface {
	Run(inputs []*tensor.Tensor) ([]*tensor.Tensor, error)
	Layers() ([]Layer, error)
	Close() error
}

// Session is a model loaded into a library. It may be used by one goroutine at
// a time.
type Session struct {
	runtime, version string
	inputs, outputs  []Port
	backend          Backend
}

// NewSession is called by the bindings.
func NewSession(runtime, version string, inputs, outputs []Port, b Backend) *Session {
	return &Session{runtime: runtime, version: version, inputs: inputs, outputs: outputs, backend: b}
}

// Runtime returns the name of the library, such as "onnxruntime".
func (s *Session) Runtime() string { return s.runtime }

// Version returns the library's own version text.
func (s *Session) Version() string { return s.version }

// Inputs returns the inputs in the model's order.
func (s *Session) Inputs() []Port { return s.inputs }

// Outputs returns the outputs in the model's order.
func (s *Session) Outputs() []Port { return s.outputs }

// Run computes all outputs from all inputs, both by name. It errors, naming
// every input that is missing, unknown or of the wrong type or shape, before
// the library sees any; the library's own errors carry its message.
// The outputs share no memory with the library.
func (s *Session) Run(inputs map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
	if s.backend == nil {
		return nil, fmt.Errorf("%s: run after close", s.runtime)
	}
	var errs []error
	ordered := make([]*tensor.Tensor, len(s.inputs))
	for i, p := range s.inputs {
		t := inputs[p.Name]
		if t == nil {
			errs = append(errs, fmt.Errorf("input %q: got none, want %v", p.Name, p))
		} else if err := p.accepts(t); err != nil {
			errs = append(errs, fmt.Errorf("input %q: %w", p.Name, err))
		}
		ordered[i] = t
	}
	for _, name := range slices.Sorted(maps.Keys(inputs)) {
		if !slices.ContainsFunc(s.inputs, func(p Port) bool { return p.Name == name }) {
			errs = append(errs, fmt.Errorf("input %q: the model has only %s", name, names(s.inputs)))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("%s: %w", s.runtime, err)
	}
	results, err := s.backend.Run(ordered)
	if err != nil {
		return nil, fmt.Errorf("%s: run: %w", s.runtime, err)
	}
	out := make(map[string]*tensor.Tensor, len(results))
	for i, t := range results {
		out[s.outputs[i].Name] = t
	}
	return out, nil
}

// Layers returns what was executed, in order of execution, when the session
// was opened with Profiling and has run at least once. ONNX Runtime ends its
// profile with this call: what runs later is not recorded, and another call
// returns the same layers.
func (s *Session) Layers() ([]Layer, error) {
	if s.backend == nil {
		return nil, fmt.Errorf("%s: layers after close", s.runtime)
	}
	layers, err := s.backend.Layers()
	if err != nil {
		return nil, fmt.Errorf("%s: layers: %w", s.runtime, err)
	}
	return layers, nil
}

// Close gives the library's memory back. Closing twice does nothing.
func (s *Session) Close() error {
	if s.backend == nil {
		return nil
	}
	b := s.backend
	s.backend = nil
	return b.Close()
}

func names(ports []Port) string {
	out := make([]string, len(ports))
	for i, p := range ports {
		out[i] = fmt.Sprintf("%q", p.Name)
	}
	return strings.Join(out, ", ")
}

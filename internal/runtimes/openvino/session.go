//go:build runtimes && (linux || darwin)

package openvino

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"time"
	"unsafe"

	"github.com/go-nncf/nncf/internal/runtimes"
	"github.com/go-nncf/nncf/tensor"
)

// session is the backend of a runtimes.Session. The one inference request is
// reused, because the profile belongs to it.
type session struct {
	api                     *api
	types                   *elementTypes
	core, compiled, request handle
	outputs                 []runtimes.Port
	profiling               bool
}

// libraryVersion loads the library and asks it.
func libraryVersion(file string) (string, error) {
	a, err := loadAPI(file)
	if err != nil {
		return "", err
	}
	return a.version, nil
}

func open(path string, model []byte, opt runtimes.Options) (*runtimes.Session, error) {
	a, err := loadAPI(opt.Library)
	if err != nil {
		return nil, err
	}
	s := &session{api: a, profiling: opt.Profiling}
	var inputs []runtimes.Port
	keepSignalStack(func() { inputs, err = s.load(path, model, opt) })
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return runtimes.NewSession("openvino", a.version, inputs, s.outputs, s), nil
}

func (s *session) load(path string, model []byte, opt runtimes.Options) (inputs []runtimes.Port, err error) {
	a := s.api
	if err := a.check(a.coreCreate(&s.core)); err != nil {
		return nil, err
	}
	if s.types, err = a.probeTypes(s.core); err != nil {
		return nil, err
	}
	var m handle
	if model != nil {
		err = a.check(a.readMemory(s.core, &model[0], uintptr(len(model)), 0, &m))
	} else {
		err = a.check(a.readFile(s.core, path, nil, &m))
	}
	if err != nil {
		return nil, err
	}
	defer a.modelFree(m)
	if err := a.fixShapes(m, opt.Shapes); err != nil {
		return nil, err
	}
	config := properties(opt)
	if err := a.check(a.compile(s.core, m, cmp.Or(opt.Device, "CPU"), uintptr(len(config)), &s.compiled, config...)); err != nil {
		return nil, err
	}
	if err := a.check(a.requestNew(s.compiled, &s.request)); err != nil {
		return nil, err
	}
	if inputs, err = s.ports(a.compiledInputs, a.compiledInput); err != nil {
		return nil, fmt.Errorf("inputs: %w", err)
	}
	if s.outputs, err = s.ports(a.compiledOutputs, a.compiledOutput); err != nil {
		return nil, fmt.Errorf("outputs: %w", err)
	}
	return inputs, nil
}

// properties are the keys and values that a model is compiled with.
func properties(opt runtimes.Options) []any {
	p := []any{"INFERENCE_NUM_THREADS", strconv.Itoa(max(opt.Threads, 1)), "NUM_STREAMS", "1"}
	if opt.PrecisionF32 {
		p = append(p, "INFERENCE_PRECISION_HINT", "f32")
	}
	if opt.Profiling {
		p = append(p, "PERF_COUNT", "YES")
	}
	return p
}

// fixShapes sets the shapes of the named inputs.
func (a *api) fixShapes(model handle, shapes map[string][]int) error {
	if len(shapes) == 0 {
		return nil
	}
	var names []*byte
	var partial []partialShape
	for _, name := range slices.Sorted(maps.Keys(shapes)) {
		dims := make([]bounds, len(shapes[name])+1)
		for i, d := range shapes[name] {
			dims[i] = bounds{int64(d), int64(d)}
		}
		rank := int64(len(shapes[name]))
		partial = append(partial, partialShape{bounds{rank, rank}, &dims[0]})
		names = append(names, &append([]byte(name), 0)[0])
	}
	err := a.check(a.reshape(model, &names[0], &partial[0], uintptr(len(names))))
	if err != nil {
		return fmt.Errorf("reshape inputs to %v: %w", shapes, err)
	}
	return nil
}

// ports reads the names, types and shapes on one side of the compiled model.
func (s *session) ports(count func(handle, *uintptr) int32, port func(handle, uintptr, *handle) int32) ([]runtimes.Port, error) {
	var n uintptr
	if err := s.api.check(count(s.compiled, &n)); err != nil {
		return nil, err
	}
	var out []runtimes.Port
	for i := range n {
		var p handle
		if err := s.api.check(port(s.compiled, i, &p)); err != nil {
			return nil, err
		}
		desc, err := s.describe(p)
		s.api.portFree(p)
		if err != nil {
			return nil, fmt.Errorf("port %d: %w", i, err)
		}
		out = append(out, desc)
	}
	return out, nil
}

func (s *session) describe(port handle) (p runtimes.Port, err error) {
	a := s.api
	var name *byte
	var typ int32
	var ps partialShape
	if err := a.check(a.portName(port, &name)); err != nil {
		return p, err
	}
	p.Name = runtimes.String(name)
	a.textFree(name)
	if err := a.check(a.portType(port, &typ)); err != nil {
		return p, err
	}
	p.DType = s.types.dtype[typ]
	if err := a.check(a.portShape(port, &ps)); err != nil {
		return p, err
	}
	defer a.partialFree(&ps)
	if p.Ranked = ps.rank.low == ps.rank.high; p.Ranked {
		p.Dims = make([]int, ps.rank.low)
		for i, b := range unsafe.Slice(ps.dims, ps.rank.low) {
			if p.Dims[i] = int(b.low); b.low != b.high {
				p.Dims[i] = -1
			}
		}
	}
	return p, nil
}

// Run copies the inputs into tensors of the library, so that no Go memory is
// referenced from C, and the outputs out of them.
func (s *session) Run(inputs []*tensor.Tensor) ([]*tensor.Tensor, error) {
	a := s.api
	for i, t := range inputs {
		v, err := s.newTensor(t)
		if err != nil {
			return nil, fmt.Errorf("input %d: %w", i, err)
		}
		err = a.check(a.setInput(s.request, uintptr(i), v))
		a.tensorFree(v) // the request holds a reference of its own
		if err != nil {
			return nil, fmt.Errorf("input %d: %w", i, err)
		}
	}
	if err := a.check(a.infer(s.request)); err != nil {
		return nil, err
	}
	out := make([]*tensor.Tensor, len(s.outputs))
	for i := range out {
		var v handle
		if err := a.check(a.getOutput(s.request, uintptr(i), &v)); err != nil {
			return nil, fmt.Errorf("output %q: %w", s.outputs[i].Name, err)
		}
		t, err := s.read(v)
		a.tensorFree(v)
		if err != nil {
			return nil, fmt.Errorf("output %q: %w", s.outputs[i].Name, err)
		}
		out[i] = t
	}
	return out, nil
}

func (s *session) newTensor(t *tensor.Tensor) (v handle, err error) {
	typ, ok := s.types.number[t.DType()]
	if !ok {
		return 0, fmt.Errorf("got %v elements, which this binding does not pass to the library", t.DType())
	}
	dims := make([]int64, t.Rank()+1) // one more, so that a scalar has an address too
	for i, d := range t.Shape() {
		dims[i] = int64(d)
	}
	err = s.api.check(s.api.tensorNew(typ, shape{int64(t.Rank()), &dims[0]}, &v))
	runtime.KeepAlive(dims) // a struct by value does not keep what it points to
	if err != nil {
		return 0, err
	}
	mem, err := s.memory(v)
	if err == nil {
		err = runtimes.CopyTo(mem, t)
	}
	if err != nil {
		s.api.tensorFree(v)
		return 0, err
	}
	return v, nil
}

// memory returns a tensor's elements, which stay the library's.
func (s *session) memory(v handle) ([]byte, error) {
	var n uintptr
	var p unsafe.Pointer
	if err := errors.Join(s.api.check(s.api.tensorBytes(v, &n)), s.api.check(s.api.tensorData(v, &p))); err != nil {
		return nil, err
	}
	return unsafe.Slice((*byte)(p), n), nil
}

func (s *session) read(v handle) (*tensor.Tensor, error) {
	a := s.api
	var typ int32
	var sh shape
	if err := errors.Join(a.check(a.tensorType(v, &typ)), a.check(a.tensorShape(v, &sh))); err != nil {
		return nil, err
	}
	dims := make([]int, sh.rank)
	for i, d := range unsafe.Slice(sh.dims, sh.rank) {
		dims[i] = int(d)
	}
	a.shapeFree(&sh)
	d, ok := s.types.dtype[typ]
	if !ok {
		return nil, errors.New("the element type is none that tensors have")
	}
	mem, err := s.memory(v)
	if err != nil {
		return nil, err
	}
	t := tensor.New(d, dims...)
	return t, runtimes.CopyFrom(t, mem)
}

// Layers reads the profile of the request: the nodes that were executed.
func (s *session) Layers() ([]runtimes.Layer, error) {
	const executed = 2
	if !s.profiling {
		return nil, errors.New("the session was opened without Profiling")
	}
	var list profiles
	if err := s.api.check(s.api.profiling(s.request, &list)); err != nil {
		return nil, err
	}
	defer s.api.profilesFree(&list)
	var out []runtimes.Layer
	for _, p := range unsafe.Slice(list.first, list.n) {
		if p.status != executed {
			continue
		}
		exec := runtimes.String(p.exec)
		out = append(out, runtimes.Layer{
			Node:      runtimes.String(p.node),
			Type:      runtimes.String(p.operationType),
			Exec:      exec,
			Precision: precision(exec),
			Time:      time.Duration(p.wall) * time.Microsecond,
		})
	}
	return out, nil
}

func (s *session) Close() error {
	if s.request != 0 {
		s.api.requestFree(s.request)
	}
	if s.compiled != 0 {
		s.api.compiledFree(s.compiled)
	}
	if s.core != 0 {
		keepSignalStack(func() { s.api.coreFree(s.core) })
	}
	return nil
}

//go:build runtimes && (linux || darwin)

package ort

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"unsafe"

	"github.com/go-nncf/nncf/internal/runtimes"
	"github.com/go-nncf/nncf/tensor"
)

const (
	severityFatal  = 4 // errors come back as statuses; nothing is written to stderr
	optimizeNone   = 0
	optimizeAll    = 99
	profileEnabled = "profile"
)

// session is the backend of a runtimes.Session.
type session struct {
	api           *api
	env, s, alloc handle
	inNames       []*byte // the library's memory
	outNames      []*byte
	outputs       []runtimes.Port
	profileDir    string // "" without profiling, or when it has ended
	layers        []runtimes.Layer
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
	s := &session{api: a}
	inputs, err := s.load(path, model, opt)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return runtimes.NewSession("onnxruntime", a.version, inputs, s.outputs, s), nil
}

func (s *session) load(path string, model []byte, opt runtimes.Options) (inputs []runtimes.Port, err error) {
	a := s.api
	if err := a.check(a.createEnv(severityFatal, "nncf", &s.env)); err != nil {
		return nil, err
	}
	if err := a.check(a.defaultAllocator(&s.alloc)); err != nil {
		return nil, err
	}
	options, err := s.options(opt)
	if err != nil {
		return nil, err
	}
	defer a.releaseOptions(options)
	if model != nil {
		err = a.check(a.createFromMemory(s.env, &model[0], uintptr(len(model)), options, &s.s))
	} else {
		err = a.check(a.createSession(s.env, path, options, &s.s))
	}
	if err != nil {
		return nil, err
	}
	inputs, s.inNames, err = s.ports(a.inputCount, a.inputName, a.inputType)
	if err != nil {
		return nil, fmt.Errorf("inputs: %w", err)
	}
	s.outputs, s.outNames, err = s.ports(a.outputCount, a.outputName, a.outputType)
	if err != nil {
		return nil, fmt.Errorf("outputs: %w", err)
	}
	return inputs, nil
}

func (s *session) options(opt runtimes.Options) (options handle, err error) {
	a := s.api
	if err := a.check(a.createOptions(&options)); err != nil {
		return 0, err
	}
	level := int32(optimizeAll)
	if opt.DisableOptimizations {
		level = optimizeNone
	}
	errs := []error{
		a.check(a.setOptimization(options, level)),
		a.check(a.setIntraThreads(options, int32(max(opt.Threads, 1)))),
		a.check(a.setInterThreads(options, 1)),
	}
	if opt.OptimizedModelPath != "" {
		errs = append(errs, a.check(a.setOptimizedPath(options, opt.OptimizedModelPath)))
	}
	if opt.Wide8Bit {
		errs = append(errs, a.check(a.addConfigEntry(options, "session.x64quantprecision", "1")))
	}
	if opt.Profiling {
		dir, err := os.MkdirTemp("", "nncf-ort")
		if err == nil {
			s.profileDir = dir
			err = a.check(a.enableProfiling(options, filepath.Join(dir, profileEnabled)))
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		a.releaseOptions(options)
		return 0, err
	}
	return options, nil
}

// ports reads the names and types on one side of the model.
func (s *session) ports(
	count func(handle, *uintptr) handle,
	name func(handle, uintptr, handle, **byte) handle,
	typ func(handle, uintptr, *handle) handle,
) (ports []runtimes.Port, names []*byte, err error) {
	a := s.api
	var n uintptr
	if err := a.check(count(s.s, &n)); err != nil {
		return nil, nil, err
	}
	for i := range n {
		var text *byte
		if err := a.check(name(s.s, i, s.alloc, &text)); err != nil {
			return nil, names, err
		}
		names = append(names, text)
		p := runtimes.Port{Name: runtimes.String(text)}
		var info, tensorInfo handle
		if err := a.check(typ(s.s, i, &info)); err != nil {
			return nil, names, err
		}
		err := a.check(a.castToTensorInfo(info, &tensorInfo))
		if err == nil && tensorInfo != 0 {
			p.DType, p.Dims, err = s.describe(tensorInfo)
			p.Ranked = true
		}
		a.releaseTypeInfo(info)
		if err != nil {
			return nil, names, fmt.Errorf("%s: %w", p.Name, err)
		}
		ports = append(ports, p)
	}
	return ports, names, nil
}

// describe reads an OrtTensorTypeAndShapeInfo. Open axes are -1 in it too.
func (s *session) describe(info handle) (d tensor.DType, dims []int, err error) {
	a := s.api
	var typ int32
	var rank uintptr
	if err := errors.Join(a.check(a.elementType(info, &typ)), a.check(a.dimCount(info, &rank))); err != nil {
		return tensor.Invalid, nil, err
	}
	if int(typ) < len(dtypes) {
		d = dtypes[typ]
	}
	wide := make([]int64, rank+1) // one more, so that a scalar has an address too
	if err := a.check(a.dims(info, &wide[0], rank)); err != nil {
		return tensor.Invalid, nil, err
	}
	dims = make([]int, rank)
	for i := range dims {
		dims[i] = int(wide[i])
	}
	return d, dims, nil
}

// dtypes follows ONNXTensorElementDataType, which numbers types as the ONNX
// file format does. Types that tensors do not have are Invalid.
var dtypes = [...]tensor.DType{
	1: tensor.Float32, 2: tensor.Uint8, 3: tensor.Int8, 4: tensor.Uint16, 5: tensor.Int16, 6: tensor.Int32, 7: tensor.Int64,
	9: tensor.Bool, 10: tensor.Float16, 11: tensor.Float64, 12: tensor.Uint32, 13: tensor.Uint64, 16: tensor.BFloat16,
	21: tensor.Uint4, 22: tensor.Int4,
}

// Run copies the inputs into tensors of the library, so that no Go memory is
// referenced from C, and the outputs out of them.
func (s *session) Run(inputs []*tensor.Tensor) ([]*tensor.Tensor, error) {
	a := s.api
	in := make([]handle, len(inputs)+1)
	out := make([]handle, len(s.outNames)+1) // 0: the library allocates
	defer func() {
		for _, v := range append(in, out...) {
			if v != 0 {
				a.releaseValue(v)
			}
		}
	}()
	for i, t := range inputs {
		var err error
		if in[i], err = s.newValue(t); err != nil {
			return nil, fmt.Errorf("input %d: %w", i, err)
		}
	}
	inNames, outNames := append(s.inNames, nil), append(s.outNames, nil)
	if err := a.check(a.run(s.s, 0, &inNames[0], &in[0], uintptr(len(inputs)), &outNames[0], uintptr(len(s.outNames)), &out[0])); err != nil {
		return nil, err
	}
	results := make([]*tensor.Tensor, len(s.outNames))
	for i := range results {
		var err error
		if results[i], err = s.read(out[i]); err != nil {
			return nil, fmt.Errorf("output %q: %w", s.outputs[i].Name, err)
		}
	}
	return results, nil
}

func (s *session) newValue(t *tensor.Tensor) (v handle, err error) {
	typ := int32(0)
	for i, d := range dtypes {
		if d == t.DType() {
			typ = int32(i)
		}
	}
	if typ == 0 {
		return 0, fmt.Errorf("got %v elements, want numbers", t.DType())
	}
	dims := make([]int64, t.Rank()+1)
	for i, d := range t.Shape() {
		dims[i] = int64(d)
	}
	if err := s.api.check(s.api.createTensor(s.alloc, &dims[0], uintptr(t.Rank()), typ, &v)); err != nil {
		return 0, err
	}
	mem, err := s.memory(v, t.DType(), t.Len())
	if err == nil {
		err = runtimes.CopyTo(mem, t)
	}
	if err != nil {
		s.api.releaseValue(v)
		return 0, err
	}
	return v, nil
}

// memory returns a value's elements, which stay the library's.
func (s *session) memory(v handle, d tensor.DType, n int) ([]byte, error) {
	var p unsafe.Pointer
	if err := s.api.check(s.api.tensorData(v, &p)); err != nil {
		return nil, err
	}
	return unsafe.Slice((*byte)(p), d.Bytes(n)), nil
}

func (s *session) read(v handle) (*tensor.Tensor, error) {
	var info handle
	if err := s.api.check(s.api.typeAndShape(v, &info)); err != nil {
		return nil, err
	}
	d, dims, err := s.describe(info)
	s.api.releaseTensorInfo(info)
	if err != nil {
		return nil, err
	}
	if d == tensor.Invalid {
		return nil, errors.New("the element type is none that tensors have")
	}
	t := tensor.New(d, dims...)
	mem, err := s.memory(v, d, t.Len())
	if err != nil {
		return nil, err
	}
	return t, runtimes.CopyFrom(t, mem)
}

// Layers ends the profile, which the library has written to a file by then, and
// reads it.
func (s *session) Layers() ([]runtimes.Layer, error) {
	if s.layers != nil {
		return s.layers, nil
	}
	if s.profileDir == "" {
		return nil, errors.New("the session was opened without Profiling")
	}
	var name *byte
	if err := s.api.check(s.api.endProfiling(s.s, s.alloc, &name)); err != nil {
		return nil, err
	}
	file := runtimes.String(name)
	if err := s.api.check(s.api.free(s.alloc, name)); err != nil {
		return nil, err
	}
	profile, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	s.layers, err = parseProfile(profile)
	return s.layers, err
}

func (s *session) Close() error {
	var errs []error
	for _, name := range append(s.inNames, s.outNames...) {
		errs = append(errs, s.api.check(s.api.free(s.alloc, name)))
	}
	if s.s != 0 {
		s.api.releaseSession(s.s)
	}
	if s.env != 0 {
		s.api.releaseEnv(s.env)
	}
	if s.profileDir != "" {
		errs = append(errs, os.RemoveAll(s.profileDir))
	}
	return errors.Join(errs...)
}

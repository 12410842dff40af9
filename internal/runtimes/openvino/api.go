//go:build runtimes && (linux || darwin)

package openvino

import (
	"fmt"
	"unsafe"

	"github.com/go-nncf/nncf/internal/runtimes"
)

// handle is a pointer to a C object.
type handle = uintptr

// shape is ov_shape_t.
type shape struct {
	rank int64
	dims *int64
}

// bounds is ov_dimension_t: equal for a fixed axis, {0, -1} for an open one.
type bounds struct{ low, high int64 }

// partialShape is ov_partial_shape_t. The rank is open if its bounds differ.
type partialShape struct {
	rank bounds
	dims *bounds
}

// profile is ov_profiling_info_t.
type profile struct {
	status        int32
	wall, _       int64 // µs
	node, exec    *byte
	operationType *byte
}

type profiles struct {
	first *profile
	n     uintptr
}

type version struct{ build, _ *byte }

// api holds functions of libopenvino_c. Those that return a status return 0 for
// success.
type api struct {
	version string

	lastError func() string
	errorInfo func(status int32) string

	getVersion  func(out *version) int32
	freeVersion func(*version)

	coreCreate func(out *handle) int32
	coreFree   func(handle)
	readFile   func(core handle, path string, weights *byte, out *handle) int32
	readMemory func(core handle, model *byte, n uintptr, weights handle, out *handle) int32
	compile    func(core, model handle, device string, n uintptr, out *handle, keysAndValues ...any) int32

	modelFree   func(handle)
	modelInputs func(model handle, out *uintptr) int32
	modelInput  func(model handle, i uintptr, out *handle) int32
	reshape     func(model handle, names **byte, shapes *partialShape, n uintptr) int32

	compiledFree    func(handle)
	compiledInputs  func(compiled handle, out *uintptr) int32
	compiledOutputs func(compiled handle, out *uintptr) int32
	compiledInput   func(compiled handle, i uintptr, out *handle) int32
	compiledOutput  func(compiled handle, i uintptr, out *handle) int32

	portName     func(port handle, out **byte) int32
	portType     func(port handle, out *int32) int32
	portShape    func(port handle, out *partialShape) int32
	portFree     func(handle)
	shapeFree    func(*shape) int32
	partialFree  func(*partialShape)
	textFree     func(*byte)
	requestNew   func(compiled handle, out *handle) int32
	requestFree  func(handle)
	setInput     func(request handle, i uintptr, tensor handle) int32
	getOutput    func(request handle, i uintptr, out *handle) int32
	infer        func(request handle) int32
	profiling    func(request handle, out *profiles) int32
	profilesFree func(*profiles)

	tensorNew   func(typ int32, s shape, out *handle) int32
	tensorFree  func(handle)
	tensorType  func(t handle, out *int32) int32
	tensorShape func(t handle, out *shape) int32
	tensorBytes func(t handle, out *uintptr) int32
	tensorData  func(t handle, out *unsafe.Pointer) int32
}

// loadAPI loads the library and binds the functions.
func loadAPI(file string) (*api, error) {
	lib, err := Library().Open(file)
	if err != nil {
		return nil, err
	}
	a := &api{}
	err = runtimes.Bind(lib, map[string]any{
		"ov_get_last_err_msg":     &a.lastError,
		"ov_get_error_info":       &a.errorInfo,
		"ov_get_openvino_version": &a.getVersion,
		"ov_version_free":         &a.freeVersion,

		"ov_core_create":                         &a.coreCreate,
		"ov_core_free":                           &a.coreFree,
		"ov_core_read_model":                     &a.readFile,
		"ov_core_read_model_from_memory_buffer":  &a.readMemory,
		"ov_core_compile_model":                  &a.compile,
		"ov_model_free":                          &a.modelFree,
		"ov_model_inputs_size":                   &a.modelInputs,
		"ov_model_const_input_by_index":          &a.modelInput,
		"ov_model_reshape":                       &a.reshape,
		"ov_compiled_model_free":                 &a.compiledFree,
		"ov_compiled_model_inputs_size":          &a.compiledInputs,
		"ov_compiled_model_outputs_size":         &a.compiledOutputs,
		"ov_compiled_model_input_by_index":       &a.compiledInput,
		"ov_compiled_model_output_by_index":      &a.compiledOutput,
		"ov_compiled_model_create_infer_request": &a.requestNew,

		"ov_port_get_any_name":      &a.portName,
		"ov_port_get_element_type":  &a.portType,
		"ov_port_get_partial_shape": &a.portShape,
		"ov_output_const_port_free": &a.portFree,
		"ov_shape_free":             &a.shapeFree,
		"ov_partial_shape_free":     &a.partialFree,
		"ov_free":                   &a.textFree,

		"ov_infer_request_free":                       &a.requestFree,
		"ov_infer_request_set_input_tensor_by_index":  &a.setInput,
		"ov_infer_request_get_output_tensor_by_index": &a.getOutput,
		"ov_infer_request_infer":                      &a.infer,
		"ov_infer_request_get_profiling_info":         &a.profiling,
		"ov_profiling_info_list_free":                 &a.profilesFree,

		"ov_tensor_create":           &a.tensorNew,
		"ov_tensor_free":             &a.tensorFree,
		"ov_tensor_get_element_type": &a.tensorType,
		"ov_tensor_get_shape":        &a.tensorShape,
		"ov_tensor_get_byte_size":    &a.tensorBytes,
		"ov_tensor_data":             &a.tensorData,
	})
	if err != nil {
		return nil, err
	}
	var v version
	if err := a.check(a.getVersion(&v)); err != nil {
		return nil, err
	}
	a.version = runtimes.String(v.build)
	a.freeVersion(&v)
	return a, nil
}

// check turns a status into an error with the library's messages: the meaning
// of the status, and what was last said in detail.
func (a *api) check(status int32) error {
	if status == 0 {
		return nil
	}
	return fmt.Errorf("%s: %s", a.errorInfo(status), a.lastError())
}

//go:build runtimes && (linux || darwin)

package ort

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/ebitengine/purego"

	"github.com/go-nncf/nncf/internal/runtimes"
)

// handle is a pointer to a C object.
type handle = uintptr

// oldestAPI is the version of the function table that is asked for. Tables only
// grow at their end, so every release from 1.17 on serves it.
const oldestAPI = 17

// tableLength is one more than the last slot that is used.
const tableLength = 131

// api holds functions of struct OrtApi (onnxruntime_c_api.h). Those that return
// a status return 0 for success.
type api struct {
	version string

	errorMessage  func(status handle) string
	releaseStatus func(status handle)

	createEnv  func(severity int32, id string, out *handle) handle
	releaseEnv func(handle)

	createOptions    func(out *handle) handle
	releaseOptions   func(handle)
	setOptimizedPath func(options handle, path string) handle
	enableProfiling  func(options handle, prefix string) handle
	setOptimization  func(options handle, level int32) handle
	setIntraThreads  func(options handle, n int32) handle
	setInterThreads  func(options handle, n int32) handle
	addConfigEntry   func(options handle, key, value string) handle

	createSession     func(env handle, path string, options handle, out *handle) handle
	createFromMemory  func(env handle, model *byte, n uintptr, options handle, out *handle) handle
	releaseSession    func(handle)
	endProfiling      func(session, allocator handle, out **byte) handle
	inputCount        func(session handle, out *uintptr) handle
	outputCount       func(session handle, out *uintptr) handle
	inputType         func(session handle, i uintptr, out *handle) handle
	outputType        func(session handle, i uintptr, out *handle) handle
	inputName         func(session handle, i uintptr, allocator handle, out **byte) handle
	outputName        func(session handle, i uintptr, allocator handle, out **byte) handle
	run               func(session, options handle, inNames **byte, in *handle, nIn uintptr, outNames **byte, nOut uintptr, out *handle) handle
	defaultAllocator  func(out *handle) handle
	free              func(allocator handle, p *byte) handle
	createTensor      func(allocator handle, dims *int64, rank uintptr, typ int32, out *handle) handle
	tensorData        func(value handle, out *unsafe.Pointer) handle
	releaseValue      func(handle)
	castToTensorInfo  func(typeInfo handle, out *handle) handle // borrowed, 0 for what is no tensor
	releaseTypeInfo   func(handle)
	typeAndShape      func(value handle, out *handle) handle
	elementType       func(info handle, out *int32) handle
	dimCount          func(info handle, out *uintptr) handle
	dims              func(info handle, out *int64, n uintptr) handle
	releaseTensorInfo func(handle)
}

// slots gives the position of each function in struct OrtApi.
func (a *api) slots() map[int]any {
	return map[int]any{
		2: &a.errorMessage, 93: &a.releaseStatus,
		3: &a.createEnv, 92: &a.releaseEnv,
		10: &a.createOptions, 100: &a.releaseOptions, 11: &a.setOptimizedPath, 14: &a.enableProfiling,
		23: &a.setOptimization, 24: &a.setIntraThreads, 25: &a.setInterThreads, 130: &a.addConfigEntry,
		7: &a.createSession, 8: &a.createFromMemory, 95: &a.releaseSession, 110: &a.endProfiling,
		30: &a.inputCount, 31: &a.outputCount, 33: &a.inputType, 34: &a.outputType, 36: &a.inputName, 37: &a.outputName,
		9: &a.run, 78: &a.defaultAllocator, 76: &a.free,
		48: &a.createTensor, 51: &a.tensorData, 96: &a.releaseValue,
		55: &a.castToTensorInfo, 98: &a.releaseTypeInfo, 65: &a.typeAndShape, 60: &a.elementType,
		61: &a.dimCount, 62: &a.dims, 99: &a.releaseTensorInfo,
	}
}

// loadAPI loads the library and binds the functions.
func loadAPI(file string) (*api, error) {
	lib, err := Library().Open(file)
	if err != nil {
		return nil, err
	}
	var base func() *[2]uintptr // struct OrtApiBase: GetApi, GetVersionString
	if err := runtimes.Bind(lib, map[string]any{"OrtGetApiBase": &base}); err != nil {
		return nil, err
	}
	var getAPI func(version uint32) *[tableLength]uintptr
	var getVersion func() string
	purego.RegisterFunc(&getAPI, base()[0])
	purego.RegisterFunc(&getVersion, base()[1])
	a := &api{version: getVersion()}
	table := getAPI(oldestAPI)
	if table == nil {
		return nil, fmt.Errorf("version %s has no API version %d: install 1.%d or newer", a.version, oldestAPI, oldestAPI)
	}
	for i, f := range a.slots() {
		purego.RegisterFunc(f, table[i])
	}
	return a, nil
}

// check turns a status into an error with the library's message.
func (a *api) check(status handle) error {
	if status == 0 {
		return nil
	}
	err := errors.New(a.errorMessage(status))
	a.releaseStatus(status)
	return err
}

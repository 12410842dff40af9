package ort

import (
	"fmt"

	"github.com/go-nncf/nncf/internal/runtimes"
)

// Open loads an ONNX file.
func Open(path string, opt runtimes.Options) (*runtimes.Session, error) {
	if err := opt.Validate(); err != nil {
		return nil, fmt.Errorf("onnxruntime: %w", err)
	}
	s, err := open(path, nil, opt)
	if err != nil {
		return nil, fmt.Errorf("onnxruntime: open %s: %w", path, err)
	}
	return s, nil
}

// OpenBytes loads an ONNX file that is in memory. Weights in external files
// cannot be found from there.
func OpenBytes(model []byte, opt runtimes.Options) (*runtimes.Session, error) {
	if err := opt.Validate(); err != nil {
		return nil, fmt.Errorf("onnxruntime: %w", err)
	}
	if len(model) == 0 {
		return nil, fmt.Errorf("onnxruntime: open a model in memory: got 0 bytes")
	}
	s, err := open("", model, opt)
	if err != nil {
		return nil, fmt.Errorf("onnxruntime: open a model in memory: %w", err)
	}
	return s, nil
}

// Version loads the library, the one that is found if no file is named, and
// returns what it says its version is.
func Version(library string) (string, error) { return libraryVersion(library) }

// Library says where ONNX Runtime is found.
func Library() runtimes.Library {
	return runtimes.Library{
		Name:  "libonnxruntime",
		Env:   "NNCF_ORT_LIB",
		Wheel: "onnxruntime/capi",
		Folders: []string{
			"/usr/local/lib",
			"/usr/lib",
			"/usr/lib/*-linux-gnu",
			"/opt/onnxruntime*/lib",
			"/opt/homebrew/lib",
		},
	}
}

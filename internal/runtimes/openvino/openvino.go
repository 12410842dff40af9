package openvino

import (
	"fmt"

	"github.com/go-nncf/nncf/internal/runtimes"
)

// Open loads a model file: .onnx, or an .xml with its .bin beside it.
func Open(path string, opt runtimes.Options) (*runtimes.Session, error) {
	if err := opt.Validate(); err != nil {
		return nil, fmt.Errorf("openvino: %w", err)
	}
	s, err := open(path, nil, opt)
	if err != nil {
		return nil, fmt.Errorf("openvino: open %s: %w", path, err)
	}
	return s, nil
}

// OpenBytes loads an ONNX file that is in memory. Weights in external files
// cannot be found from there.
func OpenBytes(model []byte, opt runtimes.Options) (*runtimes.Session, error) {
	if err := opt.Validate(); err != nil {
		return nil, fmt.Errorf("openvino: %w", err)
	}
	if len(model) == 0 {
		return nil, fmt.Errorf("openvino: open a model in memory: got 0 bytes")
	}
	s, err := open("", model, opt)
	if err != nil {
		return nil, fmt.Errorf("openvino: open a model in memory: %w", err)
	}
	return s, nil
}

// Version loads the library, the one that is found if no file is named, and
// returns what it says its version is.
func Version(library string) (string, error) { return libraryVersion(library) }

// Library says where OpenVINO is found.
func Library() runtimes.Library {
	return runtimes.Library{
		Name:  "libopenvino_c",
		Env:   "NNCF_OPENVINO_LIB",
		Wheel: "openvino/libs",
		Folders: []string{
			"/opt/intel/openvino*/runtime/lib/*",
			"/usr/local/lib",
			"/usr/lib",
			"/usr/lib/*-linux-gnu",
			"/opt/homebrew/lib",
		},
	}
}

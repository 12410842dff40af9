package cli

import (
	"fmt"
	"runtime"
	"slices"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/internal/runtimes"
	"github.com/go-nncf/nncf/internal/runtimes/openvino"
	"github.com/go-nncf/nncf/internal/runtimes/ort"
	"github.com/go-nncf/nncf/tensor"
)

// Names of --runtime.
const (
	nativeRuntime = "native"
	ortRuntime    = "onnxruntime"
	ovRuntime     = "openvino"
)

// runtimeFlags choose what executes a file.
type runtimeFlags struct {
	Runtime      string `help:"What executes the file: native (this program), onnxruntime or openvino. The libraries are loaded at run time, by builds with -tags runtimes; see nncf doctor." enum:"native,onnxruntime,openvino" default:"native" placeholder:"NAME"`
	NoSaturation bool   `help:"Keep ONNX Runtime from adding pairs of 8-bit products in 16 bits, which saturates on x86 processors without VNNI."`
}

func (f runtimeFlags) foreign() bool { return f.Runtime != nativeRuntime }

// open loads a file into the chosen library.
func (f runtimeFlags) open(path string, threads int, o runtimes.Options) (*runtimes.Session, error) {
	o.Threads = workers(threads)
	o.Wide8Bit = f.NoSaturation
	o.PrecisionF32 = true // what float layers of the file say
	if f.Runtime == ovRuntime {
		return openvino.Open(path, o)
	}
	return ort.Open(path, o)
}

// workers are the threads that --threads stands for.
func workers(threads int) int {
	if threads == 0 {
		return runtime.NumCPU()
	}
	return threads
}

// layerCount is how many executed layers are of one type and precision.
type layerCount struct {
	Type      string `json:"type"`
	Precision string `json:"precision"`
	Count     int    `json:"count"`
}

// countLayers sums up what a profiled session has executed, in order of first
// appearance.
func countLayers(s *runtimes.Session) ([]layerCount, error) {
	layers, err := s.Layers()
	if err != nil {
		return nil, err
	}
	var out []layerCount
	for _, l := range layers {
		i := slices.IndexFunc(out, func(c layerCount) bool { return c.Type == l.Type && c.Precision == l.Precision })
		if i < 0 {
			out = append(out, layerCount{l.Type, l.Precision, 1})
			continue
		}
		out[i].Count++
	}
	return out, nil
}

// portShape is the shape of a session's only input for a batch.
func portShape(s *runtimes.Session, batch *int) (name string, shape []int, err error) {
	ports := s.Inputs()
	if len(ports) != 1 {
		return "", nil, fmt.Errorf("the model has %d inputs, bench feeds one", len(ports))
	}
	p := ports[0]
	if p.DType != tensor.Float32 || !p.Ranked {
		return "", nil, fmt.Errorf("input %v: bench feeds float32 with known axes", p)
	}
	shape = slices.Clone(p.Dims)
	for i, d := range shape {
		switch {
		case i == 0 && d < 0:
			shape[i] = compress.ValueOr(batch, 1)
		case d < 0:
			return "", nil, fmt.Errorf("input %v: only the batch axis may be open", p)
		}
	}
	return p.Name, shape, nil
}

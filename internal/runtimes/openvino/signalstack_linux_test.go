//go:build runtimes

package openvino_test

import (
	"bytes"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"github.com/go-nncf/nncf/internal/onnxpb"
	"github.com/go-nncf/nncf/internal/runtimes"
	"github.com/go-nncf/nncf/internal/runtimes/runtimestest"
)

// The CPU plugin left its own signal stack on the thread that opened a session;
// closed on another thread, the first one had a stack that was unmapped.
func TestSignalStackKept(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := signalStack(t)
	s := runtimestest.OpenVINO(t, relu(t), runtimes.Options{})
	if after := signalStack(t); after != before {
		t.Errorf("after open: got %+v, want %+v", after, before)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if after := signalStack(t); after != before {
		t.Errorf("after close: got %+v, want %+v", after, before)
	}
}

type stack struct {
	start uintptr
	flags int32
	size  uintptr
}

func signalStack(t *testing.T) (s stack) {
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SIGALTSTACK, 0, uintptr(unsafe.Pointer(&s)), 0); errno != 0 {
		t.Fatal(errno)
	}
	return s
}

func relu(t *testing.T) []byte {
	port := func(name string) *onnxpb.ValueInfo {
		dims := []onnxpb.Dim{{Value: 1, HasValue: true}}
		return &onnxpb.ValueInfo{Name: name, Type: &onnxpb.Type{Tensor: &onnxpb.TensorType{ElemType: onnxpb.DataFloat, Shape: &onnxpb.Shape{Dims: dims}}}}
	}
	m := &onnxpb.Model{
		IRVersion:   8,
		OpsetImport: []onnxpb.OperatorSet{{Version: 17}},
		Graph: &onnxpb.Graph{
			Name:    "relu",
			Inputs:  []*onnxpb.ValueInfo{port("x")},
			Outputs: []*onnxpb.ValueInfo{port("y")},
			Nodes:   []*onnxpb.Node{{OpType: "Relu", Inputs: []string{"x"}, Outputs: []string{"y"}}},
		},
	}
	var b bytes.Buffer
	if err := m.Encode(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

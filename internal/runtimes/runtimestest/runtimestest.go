// Package runtimestest opens models in the foreign runtimes for tests. Where a
// runtime is absent the test is skipped, with the reason and the remedy; with
// NNCF_REQUIRE_RUNTIMES=1 it fails instead, so that a test run that means to
// cover them cannot pass without.
package runtimestest

import (
	"errors"
	"os"
	"testing"

	"github.com/go-nncf/nncf/internal/runtimes"
	"github.com/go-nncf/nncf/internal/runtimes/openvino"
	"github.com/go-nncf/nncf/internal/runtimes/ort"
)

// ORT opens an ONNX file, given by path or as bytes, in ONNX Runtime.
func ORT[M string | []byte](t testing.TB, model M, opt runtimes.Options) *runtimes.Session {
	t.Helper()
	return opened(t, ort.Open, ort.OpenBytes, model, opt)
}

// OpenVINO opens an ONNX file, given by path or as bytes, in OpenVINO. Float
// layers are computed in float32 on every machine.
func OpenVINO[M string | []byte](t testing.TB, model M, opt runtimes.Options) *runtimes.Session {
	t.Helper()
	opt.PrecisionF32 = true
	return opened(t, openvino.Open, openvino.OpenBytes, model, opt)
}

func opened[M string | []byte](
	t testing.TB,
	file func(string, runtimes.Options) (*runtimes.Session, error),
	memory func([]byte, runtimes.Options) (*runtimes.Session, error),
	model M, opt runtimes.Options,
) (s *runtimes.Session) {
	t.Helper()
	var err error
	switch m := any(model).(type) {
	case string:
		s, err = file(m, opt)
	case []byte:
		s, err = memory(m, opt)
	}
	SkipIfAbsent(t, err)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// SkipIfAbsent skips the test if err says that there is no runtime, whether
// because of the build or because of the machine.
func SkipIfAbsent(t testing.TB, err error) {
	t.Helper()
	switch {
	case !errors.Is(err, runtimes.ErrNotBuilt) && !errors.Is(err, runtimes.ErrNoLibrary):
	case os.Getenv("NNCF_REQUIRE_RUNTIMES") == "1":
		t.Fatal(err)
	default:
		t.Skip(err)
	}
}

package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/go-nncf/nncf/internal/cpu"
)

type versionCmd struct{}

func (versionCmd) Run(s *session) error {
	version := "devel"
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" {
		version = b.Main.Version
	}
	_, err := fmt.Fprintf(s.Out, "nncf %s %s %s/%s, kernels %s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH, cpu.Best())
	return err
}

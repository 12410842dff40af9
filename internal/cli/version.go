package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/go-nncf/nncf/internal/cpu"
)

type versionCmd struct{}

func (versionCmd) Help() string {
	return `Examples:
  nncf version
  nncf version --json`
}

func (versionCmd) Run(s *session) error {
	version := "devel"
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" {
		version = b.Main.Version
	}
	if s.JSON {
		return s.printJSON(map[string]string{"version": version, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH, "kernels": cpu.Best().String()})
	}
	_, err := fmt.Fprintf(s.Out, "nncf %s %s %s/%s, kernels %s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH, cpu.Best())
	return err
}

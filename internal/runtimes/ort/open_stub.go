//go:build !runtimes || !(linux || darwin)

package ort

import "github.com/go-nncf/nncf/internal/runtimes"

func libraryVersion(string) (string, error) { return "", runtimes.ErrNotBuilt }

func open(string, []byte, runtimes.Options) (*runtimes.Session, error) {
	return nil, runtimes.ErrNotBuilt
}

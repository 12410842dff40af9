package native_test

import (
	"testing"

	"github.com/go-nncf/nncf/engine/enginetest"
	"github.com/go-nncf/nncf/engine/native"
)

func TestConformance(t *testing.T) { enginetest.Run(t, native.Backend{}) }

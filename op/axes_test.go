package op_test

import (
	"testing"

	"github.com/go-nncf/nncf/engine/enginetest"
)

// TestAxes: operators without some entries compute what they computed before,
// without those entries.
func TestAxes(t *testing.T) { enginetest.RunAxes(t) }

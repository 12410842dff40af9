package job

import (
	"slices"
	"testing"

	"github.com/go-nncf/nncf/compress/sensitivity"
)

// A layer that has left integers with its reader costs nothing any more: b, which
// would come last by its own multiplications, follows a at once.
func TestByGain(t *testing.T) {
	unit := func(scope string, e sensitivity.Ratio, layers ...sensitivity.LayerMACs) sensitivity.Unit {
		u := sensitivity.Unit{Scope: scope, Layers: layers}
		u.Worst.Bound = e
		for _, l := range layers {
			u.MACs += l.MACs
		}
		return u
	}
	a, b, c := sensitivity.LayerMACs{Result: "a", MACs: 10}, sensitivity.LayerMACs{Result: "b", MACs: 1000}, sensitivity.LayerMACs{Result: "c", MACs: 100}
	order := byGain([]sensitivity.Unit{unit("c", 0.01, c), unit("b", 0.02, b), unit("a", 0.1, a, b)})
	var got []string
	for _, u := range order {
		got = append(got, u.Scope)
	}
	if want := []string{"a", "b", "c"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

package zoo

import (
	"testing"

	"github.com/go-nncf/nncf/ir"
)

// Published parameter counts and multiply-accumulates: He et al. for the CIFAR
// networks (0.27 M, 0.85 M), torchvision's documentation for the others.
func TestBuild_Sizes(t *testing.T) {
	for _, c := range []struct {
		name         string
		params, macs int64
	}{
		{"resnet20", 269722, 40551040},
		{"resnet56", 853018, 125485696},
		{"resnet18_cifar", 11173962, 555422720}, // 0.56 G
		{"resnet18", 11689512, 1814073344},
		{"resnet50", 25557032, 4089184256},
		{"mobilenet_v2", 3504872, 300774272},
	} {
		g, err := Build(c.name, Options{})
		if err != nil {
			t.Fatal(err)
		}
		var params, macs int64
		for v := range g.Parameters() {
			params += int64(v.Data.Len())
		}
		in := g.Inputs[0]
		shape := []int{1, in.Type.Dims[1].N, in.Type.Dims[2].N, in.Type.Dims[3].N}
		s, err := g.Specialize(map[string][]int{in.Name: shape})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range s.Nodes() {
			if k, ok := n.Op.(ir.Costed); ok {
				macs += k.Cost(n).MACs
			}
		}
		if params != c.params || macs != c.macs {
			t.Errorf("%s: got %d parameters and %d MACs, want %d and %d", c.name, params, macs, c.params, c.macs)
		}
	}
}

package quantization_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/compress/quantization"
	"github.com/go-nncf/nncf/op"
)

// The device files name known operators and widths; names and aliases find them.
func TestDevices(t *testing.T) {
	list, err := quantization.Devices()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range list {
		names = append(names, d.Name)
		for _, w := range []quantization.Widths{d.Weights, d.Activations} {
			if len(w.Bits) == 0 || w.Bits[0] != 8 || slices.Min(w.Bits) < 2 || slices.Max(w.Bits) > 16 {
				t.Errorf("%s: got widths %v, want 8 first, of 2 to 16", d.Name, w.Bits)
			}
		}
		known := map[string]bool{}
		for _, def := range op.All() {
			known[def.Kind()] = true
		}
		kinds := slices.Concat(d.Unified, d.Float)
		for k := range d.Operators {
			kinds = append(kinds, k)
		}
		for _, k := range kinds {
			if !known[k] {
				t.Errorf("%s: there is no operator %s", d.Name, k)
			}
		}
	}
	if want := []string{"ANY", "CPU", "GPU", "NPU", "TRIAL"}; !slices.Equal(names, want) {
		t.Errorf("got devices %q, want %q", names, want)
	}
	d, err := quantization.DeviceFor("vpu")
	if err != nil || d.Name != "NPU" {
		t.Fatalf("vpu: got %v, %v", d, err)
	}
	if got := d.WeightBits("Conv"); !slices.Equal(got, []int{8, 4, 2}) {
		t.Errorf("weights of convolutions: got %v", got)
	}
	if got := d.ActivationBits("Softmax"); !slices.Equal(got, []int{8}) {
		t.Errorf("activations of others: got %v", got)
	}
	o := quantization.Options{TargetDevice: "npu", Weights: quantization.Group{Bits: 6},
		ScopeOverrides: quantization.Overrides{Activations: []quantization.Override{{Scope: "a", Bits: 2}}}}
	for _, want := range []string{"weights.bits: got 6, want one of [2 4 8] for target_device NPU", "scope_overrides.activations.a.bits: got 2, want one of [4 8]"} {
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

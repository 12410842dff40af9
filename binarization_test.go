package nncf_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/binarization"
	"github.com/go-nncf/nncf/compress/pruning"
	"github.com/go-nncf/nncf/compress/quantization"
	"github.com/go-nncf/nncf/compress/sparsity"
	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/op"
)

// A binarized network, exported and loaded as any file is, runs on bits and
// computes what it did, whether what it leaves is float or INT8.
func TestExport_Binarized(t *testing.T) {
	l := noise(t, 24, 8)
	zero := 0
	o := binarization.Options{Scopes: compress.Scopes{Ignored: compress.Entries{"ResNet/Conv2d[conv1]"}}}
	o.Params.Activations, o.Params.Weights = &zero, &zero
	for name, algorithms := range map[string][]compress.Algorithm{
		"float": {binarization.New(o)}, "int8": {quantization.New(quantization.Options{OverflowFix: "disable"}), binarization.New(o)},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := nncf.Compress(t.Context(), tiny(t), algorithms, nncf.CompressOptions{Calibration: nncf.Calibration(t.Context(), l)})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.RoundBiases(); err != nil {
				t.Fatal(err)
			}
			for _, n := range c.Graph.Nodes() { // what runs on bits is not quantized
				if conv, ok := n.Op.(op.Conv); ok && n.In[0].Def != nil {
					if _, ok := n.In[0].Def.Op.(op.BinarizeActivation); !ok && strings.HasPrefix(n.Name, "/layer") {
						t.Errorf("%s %+v reads %s", n.Name, conv, n.In[0].Def.Op.Kind())
					}
				}
			}
			want := outputs(t, c.Graph, l)
			path := filepath.Join(t.TempDir(), "model.onnx")
			if err := c.Export(path, nncf.ExportOptions{}); err != nil {
				t.Fatal(err)
			}
			m, err := nncf.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			got := outputs(t, m.Graph, l)
			for i := range want {
				if d := got[i] - want[i]; !(d < 1e-4 && d > -1e-4) { // folding the first normalization rounds
					t.Fatalf("element %d: got %v, want %v", i, got[i], want[i])
				}
			}
			g, err := m.Graph.Specialize(map[string][]int{m.Graph.Inputs[0].Name: {2, 1, 8, 8}})
			if err != nil {
				t.Fatal(err)
			}
			p, err := nncf.Backend().Compile(t.Context(), g, engine.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			n := 0
			for _, s := range p.Info().Steps {
				if strings.HasPrefix(s.Kernel, "bits") {
					n++
				}
			}
			if layers := c.Setups()[slices.IndexFunc(c.Setups(), func(s compress.Setup) bool { return s.Algorithm() == binarization.Name })].(*binarization.Setup).Layers; n != len(layers) {
				t.Errorf("got %d layers on bits, want %d", n, len(layers))
			}
		})
	}
}

// Filters of binarized layers cannot be cut out, since that changes the factors of
// those that are left; as zeros they stay, and the file is written.
func TestCompress_PrunedAndBinarized(t *testing.T) {
	l := noise(t, 24, 8)
	zero, half := 0, 0.5
	b := binarization.Options{Scopes: compress.Scopes{Ignored: compress.Entries{"ResNet/Conv2d[conv1]"}}}
	b.Params.Activations, b.Params.Weights = &zero, &zero
	p := pruning.Options{}
	p.Params.Schedule, p.Params.Target, p.Params.PruneFirst, p.Params.Multiple = "baseline", &half, new(true), 2
	build := func() (*nncf.Compressed, error) {
		return nncf.Compress(t.Context(), tiny(t), []compress.Algorithm{pruning.New(p), binarization.New(b)}, nncf.CompressOptions{Calibration: nncf.Calibration(t.Context(), l)})
	}
	if _, err := build(); err == nil || !strings.Contains(err.Error(), `set "removal" to "never"`) {
		t.Fatalf("got error %v, want one that says what to set", err)
	}
	p.Params.Removal = pruning.Never
	c, err := build()
	if err != nil {
		t.Fatal(err)
	}
	c.EpochStep()
	if r, err := c.Removal(); r != nil || err != nil {
		t.Errorf("got removal %+v, %v, want none", r, err)
	}
	want := outputs(t, c.Graph, l)
	path := filepath.Join(t.TempDir(), "model.onnx")
	if err := c.Export(path, nncf.ExportOptions{}); err != nil {
		t.Fatal(err)
	}
	m, err := nncf.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range outputs(t, m.Graph, l) {
		if d := v - want[i]; !(d < 1e-4 && d > -1e-4) { // folding the first normalization rounds
			t.Fatalf("element %d: got %v, want %v", i, v, want[i])
		}
	}
}

// Blocks of movement sparsity lie across channels, which is said at the start.
func TestCompress_PrunedInTrainingUnderBlocks(t *testing.T) {
	p := pruning.Options{Params: pruning.Params{Removal: pruning.AtTraining}}
	_, err := nncf.Compress(t.Context(), tiny(t), []compress.Algorithm{pruning.New(p), sparsity.NewMovement(sparsity.MovementOptions{})}, nncf.CompressOptions{})
	if err == nil || !strings.Contains(err.Error(), `set "removal" to "export"`) {
		t.Errorf("got error %v, want one that says what to set", err)
	}
}

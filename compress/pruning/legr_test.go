package pruning_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/pruning"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// searched is a network with a residual addition, and a batch for it.
func searched(t testing.TB) (*nncf.Model, []*tensor.Tensor) {
	t.Helper()
	b, x := newNet(8, 3, 6, 6)
	y := b.relu(b.bn(b.conv(x, 12, 3, 1)))
	y = b.relu(b.add(y, b.bn(b.conv(b.relu(b.bn(b.conv(y, 8, 3, 1))), 12, 3, 1))))
	b.G.Outputs = []*ir.Value{b.head(b.relu(b.conv(y, 10, 3, 1)))}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	return &nncf.Model{Graph: b.G}, inputs(b.G, 0)
}

// TestLeGR: the search gives the same coefficients again, they are loaded as they
// were saved, and what they prune is no worse than what equal coefficients do.
func TestLeGR(t *testing.T) {
	m, in := searched(t)
	cal := compress.Calibration{Batches: func(int) compress.Batches {
		return func(yield func([]*tensor.Tensor, error) bool) { yield(in, nil) }
	}}
	level := 0.4
	path := filepath.Join(t.TempDir(), "ranking.json")
	options := func(generations int) pruning.Options {
		return pruning.Options{Params: pruning.Params{Schedule: "baseline", FLOPsTarget: &level, Multiple: 1, Ranking: "learned_ranking",
			LeGR: pruning.LeGR{Generations: generations, Samples: 8}}}
	}
	run := func(o pruning.Options) (*pruning.Controller, float64) {
		c, err := nncf.Compress(t.Context(), m, []compress.Algorithm{pruning.New(o)}, nncf.CompressOptions{Calibration: cal, Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		want, got := outputs(t, m.Graph, in)[0], outputs(t, c.Graph, in)[0]
		d := 0.0
		for i, w := range want.F32() {
			d += float64(w-got.F32()[i]) * float64(w-got.F32()[i])
		}
		return c.Controller.(*pruning.Controller), d
	}
	saving := options(80)
	saving.Params.SaveCoeffs = path
	first, learned := run(saving)
	second, _ := run(options(80))
	_, equal := run(options(1)) // the only candidate is the identity
	if d := cmp.Diff(first.Report(), second.Report()); d != "" {
		t.Errorf("the same search twice: %s", d)
	}
	if !(learned <= equal) {
		t.Errorf("learned coefficients leave a difference of %g, equal ones of %g", learned, equal)
	}
	if r := first.Report(); float64(r.Now.FLOPs) > 0.6*float64(r.Full.FLOPs) {
		t.Errorf("got %d of %d FLOPs, want at most 60 %%", r.Now.FLOPs, r.Full.FLOPs)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var k []pruning.Coefficient
	if err := json.Unmarshal(raw, &k); err != nil || len(k) != len(first.Setup().Clusters) {
		t.Fatalf("got %s, error %v", raw, err)
	}
	loading := options(1)
	loading.Params.LoadCoeffs = path
	third, _ := run(loading)
	if d := cmp.Diff(first.Report(), third.Report()); d != "" {
		t.Errorf("-saved +loaded: %s", d)
	}
}

package job_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/go-nncf/nncf/job"
	"github.com/go-nncf/nncf/onnx"
	"github.com/go-nncf/nncf/tensor"
)

// pruneHalf prunes half of the filters at once.
func pruneHalf(removal string) string {
	return `{"algorithm": "filter_pruning", ` + bn64 + `, "params": {"schedule": "baseline", "prune_first_conv": true,
		"prune_downsample_convs": true, "multiple": 2, "removal": "` + removal + `"}}`
}

// Pruned filters are not in the file, whose outputs are those of the model with
// zeros, whether they are cut out before or after training.
func TestTrain_PrunedFileIsSmaller(t *testing.T) {
	for _, when := range []string{"export", "training"} {
		r := mustTrain(t, parse(t, t.TempDir(), with(pruneHalf(when))), job.Options{})
		e := r.Export
		if e.Bytes > e.FloatBytes*6/10 {
			t.Errorf("%s: got %d bytes, the float model has %d", when, e.Bytes, e.FloatBytes)
		}
		if e.MaxRelativeDifference > 1e-4 || e.Disagreements > 0 {
			t.Errorf("%s: the file differs by %g from what was trained, on %d samples", when, e.MaxRelativeDifference, e.Disagreements)
		}
		if when == "training" {
			continue
		}
		x := e.Removal
		if x == nil || x.Compared == 0 || x.MaxRelativeDifference > 1e-5 || x.After.MACs > x.Before.MACs/2 || x.After.Parameters >= x.Before.Parameters || x.After.Milliseconds == 0 {
			t.Errorf("got removal %+v, want half of the multiplications gone", x)
		}
	}
}

// elements counts the stored elements of a type in a file.
func elements(t testing.TB, path string, d tensor.DType) int {
	t.Helper()
	g, err := onnx.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, v := range g.Stored() {
		if v.Data.DType() == d {
			n += v.Data.Len()
		}
	}
	return n
}

// Pruned, sparse and INT8 in one run give one small file, in any order of the
// configuration.
func TestTrain_PrunedSparseQuantizedInAnyOrder(t *testing.T) {
	magnitude := `{"algorithm": "magnitude_sparsity", ` + bn64 + `, "params": {"schedule": "multistep", "multistep_steps": [], "multistep_sparsity_levels": [0.5]}}`
	for _, when := range []string{"export", "training"} {
		prune := pruneHalf(when)
		var want outcome
		for i, text := range []string{with(prune, magnitude, int8Section), with(int8Section, magnitude, prune)} {
			c := parse(t, t.TempDir(), text)
			r := mustTrain(t, c, job.Options{})
			if a := r.Export.Removal; when == "export" && (a == nil || a.After.Parameters*10 > a.Before.Parameters*6) {
				t.Errorf("got removal %+v, want most parameters gone", a)
			}
			if got := elements(t, r.Output, tensor.Int8); got == 0 || got > 2500 {
				t.Errorf("%s: got %d elements of INT8 weights in the file, want less than half of 4900", when, got)
			}
			if r.Export.Disagreements > 2 {
				t.Errorf("%s: the file disagrees on %d of %d", when, r.Export.Disagreements, r.Export.Compared)
			}
			got := outcomeOf(t, c, r)
			if i == 0 {
				want = got
			} else if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%s: -one order +the other:\n%s", when, d)
			}
		}
	}
}

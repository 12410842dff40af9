package pruning_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/pruning"
	"github.com/go-nncf/nncf/tensor"
)

// TestLeGR_Resumes: a search that is cancelled goes on from what it has found, and
// ends with the coefficients of one that was not, whatever the threads; it tells
// how far it has come.
func TestLeGR_Resumes(t *testing.T) {
	m, in := searched(t)
	level := 0.4
	const generations = 60
	o := pruning.Options{Params: pruning.Params{Schedule: "baseline", FLOPsTarget: &level, Multiple: 1, Ranking: "learned_ranking",
		LeGR: pruning.LeGR{Generations: generations, Samples: 8}}}
	search := func(ctx context.Context, cache string, threads int, progress func(compress.InitProgress)) (*pruning.Controller, error) {
		cal := compress.Calibration{Cache: cache, Progress: progress, Batches: func(int) compress.Batches {
			return func(yield func([]*tensor.Tensor, error) bool) { yield(in, nil) }
		}}
		c, err := nncf.Compress(ctx, m, []compress.Algorithm{pruning.New(o)}, nncf.CompressOptions{Calibration: cal, Threads: threads})
		if err != nil {
			return nil, err
		}
		return c.Controller.(*pruning.Controller), nil
	}
	must := func(c *pruning.Controller, err error) *pruning.Controller {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	var tried, last string
	step := 0
	whole := must(search(t.Context(), "", 1, func(p compress.InitProgress) {
		if p.Step != step+1 || p.Steps != generations || p.Phase != "ranking" || p.Status == "" || p.Remaining < 0 {
			t.Errorf("progress after step %d: got %+v", step, p)
		}
		step, tried = p.Step, p.Status
	}))
	if step != generations {
		t.Errorf("got progress up to step %d, want %d", step, generations)
	}

	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := search(ctx, dir, 1, func(p compress.InitProgress) {
		if p.Step == 40 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got error %v, want that of the context", err)
	}
	again := must(search(t.Context(), dir, 3, func(p compress.InitProgress) { last = p.Status }))
	if last == tried {
		t.Errorf("the resumed search ran as many models as the whole one: %s", last)
	}
	if d := cmp.Diff(whole.Setup().Coefficients, again.Setup().Coefficients); d != "" {
		t.Errorf("-whole +resumed: %s", d)
	}
}

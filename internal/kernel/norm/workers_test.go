package norm

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/go-nncf/nncf/internal/kernel/period"
	"github.com/go-nncf/nncf/internal/par"
	"github.com/go-nncf/nncf/internal/testkit"
)

// The whole batch normalization, its blocks run by 1 to 5 workers: the same bits.
func TestBatch_SameBitsForAnyNumberOfWorkers(t *testing.T) {
	const rows, c = 3001, 24
	b := newBatch(rand.New(rand.NewPCG(6, 9)), rows, c, 0.4)
	p := period.Len(c)
	shift := make([]float32, p)
	period.Expand(shift, b.x[:c])
	block := BlockRows(c, p) * c
	blocks := (len(b.x) + block - 1) / block
	span := func(x []float32, i int) []float32 { return x[i*block : min((i+1)*block, len(x))] }
	var first []float32
	for workers := 1; workers <= 5; workers++ {
		pool := par.New(workers)
		part := make([]float32, blocks*StatsLen(p))
		pool.Run(blocks, func(i, _ int) { Stats(part[i*StatsLen(p):(i+1)*StatsLen(p)], span(b.x, i), shift) })
		mean, variance, inv := make([]float32, c), make([]float32, c), make([]float32, c)
		Moments(mean, variance, part, shift, rows)
		InvStd(inv, variance, 1e-5)
		scale, sh, y := make([]float32, p), make([]float32, p), make([]float32, len(b.x))
		Affine(scale, sh, b.gamma, b.beta, mean, inv)
		pool.Run(blocks, func(i, _ int) { Apply(span(y, i), span(b.x, i), scale, sh, Tail{Act: Relu()}) })
		means := make([]float32, p)
		period.Expand(means, mean)
		gs := GradStatsLen(p, false)
		gpart := make([]float32, blocks*gs)
		pool.Run(blocks, func(i, _ int) {
			GradStats(gpart[i*gs:(i+1)*gs], span(b.g, i), span(b.x, i), means, scale, sh, Relu(), nil)
		})
		k := Affine3{A: make([]float32, p), B: make([]float32, p), C: make([]float32, p), Scale: scale, Shift: sh}
		dgamma, dbeta := make([]float32, c), make([]float32, c)
		GradCoef(k.A, k.B, k.C, dgamma, dbeta, gpart, b.gamma, mean, inv, rows, false)
		dx := make([]float32, len(b.x))
		pool.Run(blocks, func(i, _ int) { GradApply(span(dx, i), span(b.g, i), span(b.x, i), k, Relu(), nil) })
		pool.Close()
		all := append(append(append(append(append([]float32{}, y...), dx...), mean...), variance...), dgamma...)
		if first == nil {
			first = all
			continue
		}
		testkit.SameBits(t, fmt.Sprintf("%d workers", workers), all, first)
	}
}

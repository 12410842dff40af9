package job

import (
	"bytes"
	"fmt"
	"os"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/pruning"
	"github.com/go-nncf/nncf/compress/sparsity"
	"github.com/go-nncf/nncf/internal/atomicfile"
	"github.com/go-nncf/nncf/report"
)

// Names of the pictures of a run.
const (
	levelsName   = "levels.svg"   // levels over epochs, asked for and reached
	sparsityName = "sparsity.svg" // zeros of every layer
	filtersName  = "filters.svg"  // filters kept of every cluster
)

// draw writes the pictures that the algorithms of the run have, and lists them
// in the result.
func (r *run) draw() error {
	if r.state.compressed == nil {
		return nil
	}
	all := map[string][]byte{}
	order := []string{levelsName, sparsityName, filtersName}
	if b := levelLines(r.result.Epochs); b != nil {
		all[levelsName] = b
	}
	for _, c := range compress.All(r.state.compressed.Controller) {
		switch c := c.(type) {
		case sparsity.Reporter:
			var bars []report.Bar
			for _, l := range c.Report() {
				bars = append(bars, report.Bar{Name: l.Weight, Value: 100 * l.Level, Note: fmt.Sprintf("of %d", l.Elements)})
			}
			all[sparsityName] = report.Bars("Zeros of each layer", "%", 100, bars)
		case *pruning.Controller:
			var bars []report.Bar
			most := 0
			for _, k := range c.Report().Clusters {
				most = max(most, k.Channels)
				bars = append(bars, report.Bar{Name: k.Members[0].Node, Value: float64(k.Left), Note: fmt.Sprintf("of %d", k.Channels)})
			}
			all[filtersName] = report.Bars("Filters kept in each cluster", "", float64(most), bars)
		}
	}
	r.result.Pictures = nil
	for _, name := range order {
		b, ok := all[name]
		if !ok {
			continue
		}
		r.result.Pictures = append(r.result.Pictures, name)
		if old, err := os.ReadFile(r.path(name)); err == nil && bytes.Equal(old, b) {
			continue
		}
		if err := atomicfile.WriteBytes(r.path(name), b); err != nil {
			return fmt.Errorf("pictures: %w", err)
		}
	}
	return nil
}

// levelLines draws levels and accuracy over epochs, nil without levels.
func levelLines(epochs []EpochResult) []byte {
	if len(epochs) == 0 || len(epochs[0].Compression) == 0 {
		return nil
	}
	accuracy := report.Series{Name: "top-1"}
	var series []report.Series
	for i, p := range epochs[0].Compression {
		asked, reached := report.Series{Name: p.Algorithm + " asked", Dashed: true}, report.Series{Name: p.Algorithm + " reached"}
		for _, e := range epochs {
			if i < len(e.Compression) {
				asked.Values = append(asked.Values, 100*e.Compression[i].Level)
				reached.Values = append(reached.Values, 100*e.Compression[i].Reached)
			}
		}
		series = append(series, asked, reached)
	}
	for _, e := range epochs {
		accuracy.Values = append(accuracy.Values, e.Eval.Top1)
	}
	return report.Lines("Level and accuracy over epochs", "epoch", "%", append(series, accuracy))
}

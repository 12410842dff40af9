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

// pictures lists them in the order of the report.
var pictures = []string{levelsName, sparsityName, filtersName}

// draw writes the pictures that the algorithms of the run have, and lists them
// in the result.
func (r *run) draw() error {
	if r.state.compressed == nil {
		return nil
	}
	all := map[string][]byte{}
	if b := levelLines(r.result.Epochs); b != nil {
		all[levelsName] = b
	}
	for _, c := range compress.All(r.state.compressed.Controller) {
		switch c := c.(type) {
		case sparsity.Reporter:
			all[sparsityName] = zeroBars(c.Report())
		case *pruning.Controller:
			all[filtersName] = filterBars(c.Report().Clusters)
		}
	}
	r.result.Pictures = nil
	for _, name := range pictures {
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

// zeroBars draws the zeros of layers.
func zeroBars(layers []sparsity.LayerReport) []byte {
	var bars []report.Bar
	zeros, all := 0, 0
	for _, l := range layers {
		zeros, all = zeros+l.Zeros, all+l.Elements
		bars = append(bars, report.Bar{Name: l.Weight, Value: 100 * l.Level, Full: 100, Label: fmt.Sprintf("%.1f %% of %s", 100*l.Level, thousands(int64(l.Elements)))})
	}
	title := fmt.Sprintf("Zeros of each layer, %.1f %% of all %s weights", 100*float64(zeros)/float64(max(1, all)), thousands(int64(all)))
	return report.Bars(title, "share of the layer's weights that are zero", "%", bars)
}

// filterBars draws the filters that clusters keep.
func filterBars(clusters []pruning.ClusterReport) []byte {
	var bars []report.Bar
	left, all := 0, 0
	for _, k := range clusters {
		left, all = left+k.Left, all+k.Channels
		name := k.Members[0].Node
		if n := len(k.Members) - 1; n > 0 {
			name = fmt.Sprintf("%s and %d more", name, n)
		}
		bars = append(bars, report.Bar{Name: name, Value: float64(k.Left), Full: float64(k.Channels), Label: fmt.Sprintf("%d of %d", k.Left, k.Channels)})
	}
	title := fmt.Sprintf("Filters kept in each cluster of layers, %d of %d", left, all)
	return report.Bars(title, "filters kept (gray: pruned)", "", bars)
}

// levelLines draws levels and accuracy over epochs, nil without levels.
func levelLines(epochs []EpochResult) []byte {
	if len(epochs) == 0 || len(epochs[0].Compression) == 0 {
		return nil
	}
	accuracy := report.Series{Name: "top-1"}
	var series []report.Series
	for i, p := range epochs[0].Compression {
		asked, reached := report.Series{Name: p.Algorithm + ", asked for", Dashed: true}, report.Series{Name: p.Algorithm + ", reached"}
		for _, e := range epochs {
			if i < len(e.Compression) {
				asked.Values = append(asked.Values, 100*e.Compression[i].Level)
				reached.Values = append(reached.Values, 100*e.Compression[i].Reached)
			}
		}
		series = append(series, asked, reached)
	}
	if epochs[0].Eval.Outputs != nil {
		return report.Lines("Level over epochs", "epoch", "level", "%", series)
	}
	for _, e := range epochs {
		accuracy.Values = append(accuracy.Values, e.Eval.Top1)
	}
	return report.Lines("Level and accuracy over epochs", "epoch", "level, accuracy", "%", append(series, accuracy))
}

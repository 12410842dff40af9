package pruning

import (
	"fmt"
	"strings"

	"github.com/go-nncf/nncf/compress"
)

// Report is what pruning does to a model.
type Report struct {
	Clusters []ClusterReport `json:"clusters"`
	Kept     []Kept          `json:"kept"` // filters that are not pruned, and why
	// Level is the share of filters, FLOPs or parameters that the schedule asks
	// for now, Target the last one.
	Level  float64 `json:"level"`
	Target float64 `json:"target"`
	Full   Cost    `json:"full"`
	Now    Cost    `json:"now"`
	// FLOPsKnown is false if the model takes inputs of any size.
	FLOPsKnown bool `json:"flops_known"`
}

// ClusterReport is one cluster.
type ClusterReport struct {
	*Cluster
	Importance []float64 `json:"importance"`
	Pruned     []int     `json:"pruned"`
	Left       int       `json:"left"`
}

// Report describes the masks as they are.
func (c *Controller) Report() Report {
	if c.state.Shrunk {
		return c.report(make([][]float64, len(c.clusters)))
	}
	return c.report(c.importances())
}

func (c *Controller) report(scores [][]float64) Report {
	r := Report{Kept: c.setup.Kept, Level: c.state.Level, Target: c.setup.Options.target(), FLOPsKnown: c.costs.known}
	if r.Kept == nil {
		r.Kept = []Kept{}
	}
	left := make([]int, len(c.clusters))
	for i, k := range c.clusters {
		left[i] = len(k.channels(false))
		r.Clusters = append(r.Clusters, ClusterReport{k.Cluster, scores[i], k.channels(true), left[i]})
	}
	r.Full, r.Now = c.costs.of(nil), c.costs.of(left)
	return r
}

// Plan describes the masks at the target, without pruning.
func (c *Controller) Plan() (Report, error) {
	if c.state.Shrunk {
		return c.Report(), nil
	}
	scores := c.importances()
	r := c.report(scores)
	list := c.rank(scores, false)
	kept, err := c.setup.Options.choose(list, c.setup.Options.target(), c.costs)
	if err != nil {
		return r, err
	}
	r.Level = r.Target
	for i := range r.Clusters {
		k := &r.Clusters[i]
		gone := make([]bool, k.Channels)
		for _, ch := range list[i].order[:k.Channels-kept[i]] {
			gone[ch] = true
		}
		k.Pruned = (&pruned{gone: gone}).channels(true)
		k.Left = kept[i]
	}
	r.Now = c.costs.of(kept)
	return r, nil
}

// Statistics implements [compress.Controller].
func (c *Controller) Statistics() compress.Statistics {
	r := c.Report()
	number := func(name string, full, now int64) compress.Number {
		v := 0.0
		if full > 0 {
			v = 100 * (1 - float64(now)/float64(full))
		}
		return compress.Number{Name: name, Value: v, Unit: "%"}
	}
	s := compress.Statistics{Numbers: []compress.Number{
		{Name: "pruning level", Value: 100 * r.Level, Unit: "%"},
		{Name: "pruning target", Value: 100 * r.Target, Unit: "%"},
		number("filters pruned", r.Full.Filters, r.Now.Filters),
		number("weights pruned", r.Full.Params, r.Now.Params),
	}}
	if r.FLOPsKnown {
		s.Numbers = append(s.Numbers, number("FLOPs pruned", r.Full.FLOPs, r.Now.FLOPs))
	}
	t := compress.Table{Title: "filter pruning", Columns: []string{"cluster", "filters of", "channels", "left", "pruned %"}}
	for _, k := range r.Clusters {
		var names []string
		for _, m := range k.Members {
			names = append(names, m.Weight)
		}
		t.Rows = append(t.Rows, []string{fmt.Sprint(k.ID), strings.Join(names, " "), fmt.Sprint(k.Channels), fmt.Sprint(k.Left),
			fmt.Sprintf("%.1f", 100*float64(k.Channels-k.Left)/float64(k.Channels))})
	}
	kept := compress.Table{Title: "filters that are not pruned", Columns: []string{"filters of", "filters", "why"}}
	for _, k := range r.Kept {
		kept.Rows = append(kept.Rows, []string{strings.Join(k.Weights, " "), fmt.Sprint(k.Filters), k.Why})
	}
	s.Tables = append(s.Tables, t)
	if len(kept.Rows) > 0 {
		s.Tables = append(s.Tables, kept)
	}
	return s
}

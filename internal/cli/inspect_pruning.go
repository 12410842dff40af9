package cli

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/go-nncf/nncf/compress/pruning"
)

// pruningFlags are the flags of inspect --pruning.
type pruningFlags struct {
	Pruning bool `help:"List the clusters of filters that go together, their importances, what the configuration's filter pruning would remove at its target, what stays and why, FLOPs and parameters before and after." xor:"form" group:"sparsity and pruning"`
}

// pruningReport is what inspect --pruning reports.
type pruningReport struct {
	Model string `json:"model"`
	pruning.Report
}

// pruning plans the target of the configuration's filter pruning.
func (c *inspectCmd) pruning(s *session) error {
	k, err := c.compressed(s)
	if err != nil {
		return err
	}
	p, ok := controllerOf[*pruning.Controller](k)
	if !ok {
		return errors.New("the configuration does not prune: its compression section has no algorithm filter_pruning")
	}
	plan, err := p.Plan()
	if err != nil {
		return err
	}
	r := pruningReport{c.Model, plan}
	if s.JSON {
		return s.printJSON(r)
	}
	w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "cluster\tchannels\tleft\tleast important\tmost important\tfilters of\n")
	for _, c := range r.Clusters {
		low, high := 0.0, 0.0
		for i, x := range c.Importance {
			if i == 0 || x < low {
				low = x
			}
			high = max(high, x)
		}
		fmt.Fprintf(w, "%d\t%d\t%d\t%.4g\t%.4g\t%s\n", c.ID, c.Channels, c.Left, low, high, members(c.Cluster))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	w = tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	if len(r.Kept) > 0 {
		fmt.Fprintf(w, "\nnot pruned\tfilters\twhy\n")
	}
	for _, x := range r.Kept {
		fmt.Fprintf(w, "%s\t%d\t%s\n", strings.Join(x.Weights, " "), x.Filters, x.Why)
	}
	fmt.Fprintf(w, "\n\tfull\tpruned\tless\n")
	row := func(name string, full, now int64) {
		share := 0.0
		if full > 0 {
			share = 100 * (1 - float64(now)/float64(full))
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%.1f %%\n", name, full, now, share)
	}
	if r.FLOPsKnown {
		row("FLOPs", r.Full.FLOPs, r.Now.FLOPs)
	}
	row("weights", r.Full.Params, r.Now.Params)
	row("filters", r.Full.Filters, r.Now.Filters)
	return w.Flush()
}

func members(c *pruning.Cluster) string {
	var names []string
	for _, m := range c.Members {
		name := m.Weight
		if m.Width > 1 {
			name += fmt.Sprintf(" (%d each)", m.Width)
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

package cli

import (
	"fmt"
	"text/tabwriter"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/sparsity"
)

type sparsityFlags struct {
	Sparsity bool     `help:"List the zeros of every layer's weight; with --config those that its sparsity algorithms make, with their thresholds." xor:"form" group:"sparsity and pruning"`
	Level    *float64 `help:"Level for --sparsity instead of the schedule's: its first one, or its last if that is 0." placeholder:"SHARE" group:"sparsity and pruning"`
}

func (f *sparsityFlags) check() error {
	if f.Level != nil && !f.Sparsity {
		return usagef("--level: it is the level of --sparsity")
	}
	return nil
}

// sparsityView is what --sparsity reports, for one algorithm or for the zeros
// that the model has.
type sparsityView struct {
	Algorithm string                 `json:"algorithm,omitempty"`
	Level     float64                `json:"level"` // asked for
	Target    float64                `json:"target"`
	Reached   float64                `json:"reached"`
	Zeros     int                    `json:"zeros"`
	Elements  int                    `json:"elements"`
	Layers    []sparsity.LayerReport `json:"layers"`
}

func (c *inspectCmd) sparsity(s *session) error {
	m, k, err := c.subject(s)
	if err != nil {
		return err
	}
	var views []sparsityView
	if k == nil {
		v := sparsityView{Layers: sparsity.Zeros(m.Graph)}
		v.count()
		v.Level, v.Target = v.Reached, v.Reached
		views = append(views, v)
	} else {
		for _, x := range compress.All(k.Controller) {
			r, ok := x.(sparsity.Reporter)
			if !ok {
				continue
			}
			v := sparsityView{Algorithm: x.Algorithm()}
			if l, ok := x.(compress.Leveled); ok {
				level := l.Level()
				if level == 0 {
					level = l.Target()
				}
				if c.Level != nil {
					level = *c.Level
				}
				if err := l.SetLevel(level); err != nil {
					return usagef("--level: %v", err)
				}
				v.Level, v.Target = level, l.Target()
			}
			v.Layers = r.Report()
			v.count()
			views = append(views, v)
		}
		if len(views) == 0 {
			return usagef("--sparsity: the configuration has no sparsity algorithm")
		}
	}
	if s.JSON {
		return s.printJSON(map[string]any{"model": c.Model, "sparsity": views})
	}
	w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	for i, v := range views {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if v.Algorithm != "" {
			fmt.Fprintf(w, "algorithm\t%s at level %.4g, target %.4g\n", v.Algorithm, v.Level, v.Target)
		}
		fmt.Fprintf(w, "zeros\t%d of %d weights (%.2f %%)\n\n", v.Zeros, v.Elements, 100*v.Reached)
		fmt.Fprintln(w, "weight\tshape\tzeros\tlevel\tthreshold\tpattern")
		for _, l := range v.Layers {
			threshold := ""
			if l.Threshold != nil {
				threshold = fmt.Sprintf("%.6g", *l.Threshold)
			}
			fmt.Fprintf(w, "%s\t%v\t%d\t%.2f %%\t%s\t%s\n", l.Weight, l.Shape, l.Zeros, 100*l.Level, threshold, l.Pattern)
		}
	}
	return w.Flush()
}

func (v *sparsityView) count() {
	for _, l := range v.Layers {
		v.Zeros, v.Elements = v.Zeros+l.Zeros, v.Elements+l.Elements
	}
	v.Reached = float64(v.Zeros) / float64(max(1, v.Elements))
}

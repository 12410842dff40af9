package cli

import (
	"fmt"

	"github.com/go-nncf/nncf/job"
	"github.com/go-nncf/nncf/train"
)

// printResult writes a result as JSON or as a table; confusion matrices only if
// they are asked for, because they are longer than everything else.
func (s *session) printResult(r *job.Result, confusion bool) error {
	if !confusion {
		for _, m := range []*train.Metrics{&r.Metrics, r.Float, r.Initialized, r.Compressed} {
			if m != nil {
				m.Confusion = nil
			}
		}
	}
	if s.JSON {
		return s.printJSON(r)
	}
	if err := r.WriteTable(s.Out); err != nil || !confusion {
		return err
	}
	if r.Metrics.Confusion == nil {
		_, err := fmt.Fprintln(s.Out, "\nno confusion matrix: too many classes")
		return err
	}
	fmt.Fprintln(s.Out, "\nconfusion (rows are labels, columns predictions)")
	for _, row := range r.Metrics.Confusion {
		for _, n := range row {
			fmt.Fprintf(s.Out, " %5d", n)
		}
		if _, err := fmt.Fprintln(s.Out); err != nil {
			return err
		}
	}
	return nil
}

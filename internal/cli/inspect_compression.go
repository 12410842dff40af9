package cli

import (
	"fmt"
	"text/tabwriter"

	"github.com/go-nncf/nncf"
)

type compressionFlags struct {
	Compression bool `help:"Show how an exported file was compressed, as its metadata say." xor:"form" group:"files"`
}

// compression reports the state in a file's metadata.
func (c *inspectCmd) compression(s *session) error {
	m, err := loadModel(c.Model)
	if err != nil {
		return err
	}
	f, err := nncf.StateOf(m)
	if err != nil {
		return err
	}
	if f == nil {
		return fmt.Errorf("%s says nothing about its compression; files that nncf exports do", c.Model)
	}
	if s.JSON {
		return s.printJSON(f)
	}
	w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "stage\t%v\n", f.Stage)
	for _, x := range f.Setups {
		fmt.Fprintf(w, "algorithm\t%s\n", x.Algorithm)
	}
	for _, p := range f.Progress {
		fmt.Fprintf(w, "%s\tlevel %.4g, reached %.4g, target %.4g\n", p.Algorithm, p.Level, p.Reached, p.Target)
	}
	return w.Flush()
}

package cli

import (
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress/binarization"
)

type binarizationFlags struct {
	Binarization bool `help:"List the layers that the configuration binarizes and those it leaves, with the reason, and how much of the work is binary." xor:"form" group:"low bits"`
}

// binaryReport is what inspect --binarization reports.
type binaryReport struct {
	Model  string               `json:"model"`
	Mode   binarization.Mode    `json:"mode"`
	Layers []binarization.Layer `json:"layers"` // binarized
	Float  []binarization.Layer `json:"float"`
	// MACs of one sample, and those of them that binarized layers do; 0 if shapes
	// are not known.
	MACs       int64   `json:"macs"`
	BinaryMACs int64   `json:"binary_macs"`
	Share      float64 `json:"binary_share"` // percent
}

// binaryLayers describes the binarized layers of a compressed model.
func binaryLayers(k *nncf.Compressed) (r binaryReport, err error) {
	for _, s := range k.Setups() {
		b, ok := s.(*binarization.Setup)
		if !ok {
			continue
		}
		r.Mode, r.Layers, r.Float = b.Mode, b.Layers, b.Float
		r.BinaryMACs, r.MACs = b.Share()
		if r.MACs > 0 {
			r.Share = 100 * float64(r.BinaryMACs) / float64(r.MACs)
		}
		if r.Float == nil {
			r.Float = []binarization.Layer{}
		}
		return r, nil
	}
	return r, errors.New("the configuration does not binarize: its compression section has no algorithm binarization")
}

func (c *inspectCmd) binarization(s *session) error {
	k, err := c.compressed(s)
	if err != nil {
		return err
	}
	r, err := binaryLayers(k)
	if err != nil {
		return err
	}
	r.Model = c.Model
	if s.JSON {
		return s.printJSON(r)
	}
	w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "layer\tkind\tbinary\tMACs\tshare\twhy")
	row := func(l binarization.Layer, binary string) {
		share := "-"
		if r.MACs > 0 {
			share = fmt.Sprintf("%.1f %%", 100*float64(l.MACs)/float64(r.MACs))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\n", l.Node, l.Kind, binary, l.MACs, share, l.Why)
	}
	for _, l := range r.Layers {
		row(l, "yes")
	}
	for _, l := range r.Float {
		row(l, "no")
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Out, "\n%s: %.1f %% of %d multiply-accumulates are binary\n", r.Mode, r.Share, r.MACs)
	return err
}

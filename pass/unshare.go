package pass

import (
	"slices"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/rewrite"
)

// unshare gives layers tensors of their own where an exporter stored equal
// tensors once, as those of torch do with the zero means and unit variances of
// fresh networks.
//
// Tensors that a network shares on purpose stay shared. Two uses count as that
// if both are of a kernel or matrix as weight whose elements are not all equal
// (a convolution applied at several places, an embedding that is also the
// output layer), or if the two nodes have all trained tensors in common, not
// all of them filled with one number (the batch normalization of such a
// convolution). Every other node beyond the first gets a copy of a
// floating-point constant that it would train ([MarkTrainable]) or keep
// statistics in.
func unshare(g *ir.Graph, t *rewrite.Trace) error {
	p := rewrite.New(g, "unshare", t)
	after, before := reach(g)
	for _, v := range append([]*ir.Value(nil), g.Stored()...) {
		if v.Kind != ir.Constant || !v.Type.DType.IsFloat() || v.Data.Len() < 2 || len(v.Uses()) < 2 {
			continue
		}
		owners := []ir.Use{}
		copies := []*ir.Value{}
		for _, u := range append([]ir.Use(nil), v.Uses()...) {
			if !isTrainedUse(u) && !scalesChannels(v, u, after, before) {
				continue
			}
			k := 0
			for k < len(owners) && !tied(v, owners[k], u) {
				k++
			}
			if k == len(owners) {
				w := v
				if k > 0 {
					w = p.B.Const(v.Name, v.Data.Clone())
					p.Note("%s of %s is %s", v.Name, u.Node.Label(), w.Name)
				}
				owners, copies = append(owners, u), append(copies, w)
			}
			if copies[k] != v {
				p.SetInput(u.Node, u.Port, copies[k])
			}
		}
	}
	return p.Commit()
}

// isTrainedUse reports whether the consumer would train the value, or keep
// statistics in it.
func isTrainedUse(u ir.Use) bool {
	return slices.Contains(trainedPorts(u.Node), u.Port)
}

// tied reports whether two uses of v mean one tensor.
func tied(v *ir.Value, a, b ir.Use) bool {
	if a.Node == b.Node {
		return false
	}
	if v.Type.Rank() >= 2 && isWeightUse(a) && isWeightUse(b) && !filled(v) {
		return true
	}
	pa, pb := trainedPorts(a.Node), trainedPorts(b.Node)
	if len(pa) != len(pb) || a.Node.Op.Kind() != b.Node.Op.Kind() {
		return false
	}
	varied := false
	for i := range pa {
		x, y := a.Node.Input(pa[i]), b.Node.Input(pb[i])
		if x != y {
			return false
		}
		varied = varied || x != nil && x.IsStored() && !filled(x)
	}
	return varied
}

// filled reports whether all elements are equal.
func filled(v *ir.Value) bool {
	f, err := v.Data.Float64s()
	if err != nil {
		return false
	}
	for _, x := range f {
		if x != f[0] {
			return false
		}
	}
	return true
}

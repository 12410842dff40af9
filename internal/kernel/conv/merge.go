package conv

// Groups with fewer output channels than a vector has lanes are computed
// several at a time, as one group whose weights between the channels of
// different groups are zero:
//
//	groups of 2, 8 lanes       o0 o1 o2 o3 o4 o5 o6 o7
//	                       i0   w  w  .  .  .  .  .  .
//	                       i1   w  w  .  .  .  .  .  .
//	                       i2   .  .  w  w  .  .  .  .
//	                       …
//
// The lanes that a lone group would leave unused multiply by these zeros. That
// costs no time, but fewer and longer runs of input, whole vectors to load and
// store, and more rows of weights for each pixel of a gradient save much. An
// infinite or NaN input makes the results of the groups beside it NaN, too.

// merging returns how many of the groups, with ocg output channels each, make
// one: the most that fit into a vector and divide the number of groups.
func merging(lanes, groups, ocg int) int {
	for m := min(groups, lanes/ocg); m > 1; m-- {
		if groups%m == 0 {
			return m
		}
	}
	return 1
}

// packMerged writes the packed weights of one block of merged groups.
func (p *pass) packMerged(dst, w []float32, b block, at locator, taps int) {
	nr := b.nv * p.set.Lanes
	ocg, icg := p.oc/p.groups/p.merged, p.icg/p.merged // of the groups before
	for i := range p.phases {
		ph := &p.phases[i]
		d := dst[ph.at+ph.k*b.pad:][:ph.k*nr]
		clear(d)
		for v := range b.width {
			group, o := (b.c0+v)/ocg, (b.c0+v)%ocg
			first := group % p.merged * icg // row of the group's first input channel
			src := w[group*at.group+o*at.out:]
			for c := range icg {
				for t, tap := range ph.taps {
					d[p.packedRow(t, first+c)*nr+v] = src[c*at.in+tap]
				}
			}
		}
	}
}

// unmerge takes the gradients of tap and input channel i of merged groups, a row
// of lanes, to the weights of the groups before.
func (p *Plan) unmerge(b block, dw, row []float32, i, tap int) {
	u := &p.wgt.p
	ocg, icg := u.oc/u.groups/u.merged, u.icg/u.merged
	for v := range b.width {
		if c := b.c0 + v; c/ocg%u.merged == i/icg {
			dw[(c*icg+i%icg)*p.g.taps()+tap] = row[v]
		}
	}
}

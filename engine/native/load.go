package native

import "github.com/go-nncf/nncf/internal/kernel/conv"

// loaded is the input of a convolution or of a weight gradient. Those copy
// windows of it to scratch memory before they compute; instead of copying they
// may run the links of a chain, so that a normalized, rectified, quantized
// activation need not exist in memory.
type loaded struct {
	slot    *slot
	repeats int          // how often a task reads what another one read too
	work    int          // multiplications for each element that a task reads; 0: few
	prepare func() error // replans the step for loading
	links   []*link      // what computes the input, in place; nil: it is read
}

// mem returns the input's memory, nil if it is computed.
func (l *loaded) mem() []float32 {
	if l.links != nil {
		return nil
	}
	return l.slot.f32()
}

// loader returns a function that computes part of the input, nil if it is read.
// Each worker needs its own.
func (l *loaded) loader() conv.Loader {
	if l.links == nil {
		return nil
	}
	type bound struct {
		run  tileFunc
		mem  [][]float32 // nil: what the link before left in the destination
		tile [][]float32
	}
	links := make([]bound, len(l.links))
	for i, m := range l.links {
		b := &links[i]
		b.run, b.tile = m.bind(), make([][]float32, len(m.in))
		for _, x := range m.in {
			if i > 0 && x == l.links[i-1].out {
				b.mem = append(b.mem, nil)
			} else {
				b.mem = append(b.mem, x.f32())
			}
		}
	}
	step := roundUnit(tileLen, chainUnit(l.slot))
	return func(all []float32, at int) {
		for len(all) > 0 { // tiles that the first-level cache holds for all links
			dst := all[:min(step, len(all))]
			for i := range links {
				b := &links[i]
				for k, m := range b.mem {
					if m == nil {
						b.tile[k] = dst
					} else {
						b.tile[k] = m[at:][:len(dst)]
					}
				}
				b.run(tile{lo: at}, dst, b.tile)
			}
			all = all[len(dst):]
			at += len(dst)
		}
	}
}

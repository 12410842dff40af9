package conv

// A locator says where a weight of a pass is in the OIHW weights: input channel
// i and tap t of output channel c of group g, both counted in the group, at
// g·group + c·out + i·in + t.
type locator struct {
	group, out, in int
	contiguous     bool // of one output channel: input channels follow each other
}

// pack writes the packed weights of one block.
func (p *pass) pack(dst, w []float32, b block, at locator, taps int) {
	if p.merged > 1 {
		p.packMerged(dst, w, b, at, taps)
		return
	}
	w = w[b.g*at.group+(b.c0-b.g*(p.oc/p.groups))*at.out:]
	if at.contiguous {
		p.packForward(dst, w, b, at, taps)
	} else {
		p.packBackward(dst, w, b, at, taps)
	}
}

// packRows is how many rows of packed weights are transposed at a time.
const packRows = 32

// packForward packs weights whose input channels and taps are contiguous:
// each output channel is a row to transpose.
func (p *pass) packForward(dst, w []float32, b block, at locator, taps int) {
	var buf [packRows * 64]float32
	nr := b.nv * p.set.Lanes
	ph := &p.phases[0]
	d := dst[ph.at+ph.k*b.pad:][:ph.k*nr]
	i, t := 0, 0
	for k := 0; k < ph.k; k += packRows {
		n := min(packRows, ph.k-k)
		p.set.Transpose(buf[:], nr, w[k:], at.out, b.width, n)
		for r := range n {
			put(d[p.packedRow(t, i)*nr:][:nr], buf[r*nr:], b.width)
			if t++; t == taps {
				i, t = i+1, 0
			}
		}
	}
}

// packBackward packs weights whose output channels and taps are contiguous:
// for each input channel, each output channel is a row of taps to transpose.
func (p *pass) packBackward(dst, w []float32, b block, at locator, taps int) {
	var buf [packRows * 64]float32
	nr := b.nv * p.set.Lanes
	for i := range p.icg {
		src := w[i*at.in:][:b.width*taps]
		for t0 := 0; t0 < taps; t0 += packRows {
			rows := buf[:]
			if taps == 1 {
				rows = src
			} else {
				p.set.Transpose(rows, nr, src[t0:], taps, b.width, min(packRows, taps-t0))
			}
			for j := range p.phases {
				ph := &p.phases[j]
				d := dst[ph.at+ph.k*b.pad:]
				for t, tap := range ph.taps {
					if tap -= t0; tap < 0 || tap >= packRows {
						continue
					}
					put(d[p.packedRow(t, i)*nr:][:nr], rows[tap*nr:], b.width)
				}
			}
		}
	}
}

// put copies width floats to row and clears the rest of it.
func put(row, src []float32, width int) {
	if width == len(row) {
		copy(row, src)
		return
	}
	copy(row[:width], src)
	clear(row[width:])
}

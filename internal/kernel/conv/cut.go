package conv

const (
	// windowFloats bounds the input a task works on: with the weights of a
	// block it should stay in a second-level cache of 512 KB.
	windowFloats = 48 << 10
	// weightFloats bounds the weights that are used again for each tile of a
	// task, if there are segments enough to take turns: a part of that cache.
	weightFloats = 32 << 10
	// manyFloats bounds the windows of images that share large weights, of
	// which only a part must stay beside them.
	manyFloats = 96 << 10
	// windowMACs is how many multiplications must use each element copied to a
	// window, which costs as much as twenty: once there are fewTasks, more of
	// them must not copy much more for fewer.
	windowMACs = 256
	fewTasks   = 16
	// wantTasks is how many tasks a pass is cut into if it is large enough:
	// an even load for 32 threads.
	wantTasks = 64
	// minTaskMACs keeps a task above the cost of handing it out, some 10 µs.
	minTaskMACs = 1 << 20
	// largeWeights floats do not fit into a second-level cache of 1 MB. They
	// come from further away for each image that a task does not share them
	// with, so tasks take some of the blocks rather than fewer images.
	largeWeights = 256 << 10
)

// divide chooses the tasks of a pass of macs multiplications.
func (p *pass) divide(macs int) {
	c := &p.cut
	c.img, c.row, c.col, c.blk = 1, p.nh, p.nw, len(p.blocks)
	floats := func(rows, cols int) int {
		h, w := p.window(rows, cols)
		return p.planes() * h * w * p.ic
	}
	// with a stride in depth the planes of a task must be whole
	rowCut := p.ostepD == 1
	// fit the window
	for rowCut && c.row > 1 && floats(c.row, c.col) > windowFloats {
		_, c.row = pieces(c.row, c.row/2)
	}
	if rowCut && p.nh == 1 { // long rows; a cut in two axes would leave regions with holes
		for c.col > 64 && floats(1, c.col) > windowFloats {
			c.col = halfOf(c.col)
		}
	}
	if c.row == p.nh && c.col == p.nw {
		limit := windowFloats
		if p.wlen > largeWeights {
			limit = manyFloats
		}
		c.img = max(1, min(p.n, limit/max(1, floats(c.row, c.col))))
	}
	// enough tasks
	most := max(minTaskMACs, macs/wantTasks)
	size := func() int {
		if p.n == 0 {
			return 0
		}
		return macs / p.n * c.img / p.nh * c.row / p.nw * c.col / len(p.blocks) * c.blk
	}
	// repeats reports whether tasks of fewer rows or blocks copy too much again
	repeats := func(row, blk int) bool {
		copied := func(row, blk int) int { // floats per image
			return ceilDiv(p.nh, row) * ceilDiv(len(p.blocks), blk) * floats(row, c.col)
		}
		then := copied(row, blk)
		return !p.direct && size() <= macs/fewTasks && 4*then > 5*copied(c.row, c.blk) && macs/p.n < windowMACs*then
	}
	for size() > most {
		weights := p.wlen / len(p.blocks) * c.blk
		fewerBlocks, fewerRows := ceilDiv(c.blk, 2), ceilDiv(c.row, 2)
		switch {
		case c.img > 1 && !(c.blk > 1 && weights > max(largeWeights, c.img*floats(c.row, c.col))):
			c.img /= 2
		case c.blk > 1 && !repeats(c.row, fewerBlocks) && (weights > floats(c.row, c.col) || (c.row == 1 || !rowCut) && (p.nh > 1 || c.col <= 64)):
			c.blk = fewerBlocks
		case rowCut && c.row > 1 && !repeats(fewerRows, c.blk):
			c.row = fewerRows
		case rowCut && p.nh == 1 && c.col > 64:
			c.col = halfOf(c.col)
		default:
			goto done
		}
	}
done:
	p.align()
	c.nimg, c.img = pieces(p.n, c.img)
	c.nrow, c.row = pieces(p.nh, c.row)
	c.ncol = ceilDiv(p.nw, c.col)
	c.nblk, c.blk = pieces(len(p.blocks), c.blk)
}

// halfOf halves a number of columns, to a multiple of 48 if there are many:
// whole tiles of 6, 12 and 8 rows.
func halfOf(n int) int {
	n = ceilDiv(n, 2)
	if n > 96 {
		n = ceilDiv(n, 48) * 48
	}
	return n
}

// align moves the cuts of a row that is the pixels of several images to where
// images begin, or to even parts of one: what works image by image before and
// behind may then take turns with the pass.
func (p *pass) align() {
	if p.images < 2 || p.n != 1 || p.nh != 1 || p.nw%p.images != 0 {
		return
	}
	image := p.nw / p.images
	switch {
	case p.col >= p.nw:
	case p.col >= image:
		p.col -= p.col % image
	default:
		for n := ceilDiv(image, p.col); 2*image/n > p.col && image/n >= 64; n++ { // parts of an image
			if image%n == 0 {
				p.col = image / n
				return
			}
		}
	}
}

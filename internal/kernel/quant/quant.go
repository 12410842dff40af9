package quant

import "fmt"

// Forward sets dst[i] to x[i] rounded to grid entry i mod g.Len(). dst may be x.
// One entry is the fast form of a quantizer per tensor.
func Forward(dst, x []float32, g Grid) {
	g.check()
	_ = x[:len(dst)]
	if g.Len() == 1 {
		active.forwardRow(dst, x, g.Low[0], g.High[0], g.Scale[0], g.Zero[0])
		return
	}
	active.forward(dst, x, g.Low, g.High, g.Scale, g.Zero)
}

// BlockLen is the largest number of elements one call of Backward should cover
// for a grid of the given length, so that a float32 lane adds up at most 1024
// terms (64 for one entry). Cut a tensor into blocks of this length, whatever the number of workers.
func BlockLen(gridLen int) int { return max(gridLen, 65536/gridLen*gridLen) }

// SumsLen is the length of the partial sums of one block.
func SumsLen(gridLen int) int { return 3 * gridLen }

// Backward sets dx[i] = g[i] where x[i] is inside its grid and 0 elsewhere, and
// writes the sums of this block to sums, of length [SumsLen]: Inside, Above and
// Below, one after the other. dx may be dy.
func Backward(dx, dy, x []float32, g Grid, sums []float32) {
	g.check()
	_, _ = dy[:len(dx)], x[:len(dx)]
	if len(sums) != SumsLen(g.Len()) {
		panic(fmt.Sprintf("quant: sums of length %d, want %d", len(sums), SumsLen(g.Len())))
	}
	p := g.Len()
	if p == 1 {
		s := backwardOne(dx, dy, x, g.Low[0], g.High[0], g.Scale[0], g.Zero[0])
		sums[0], sums[1], sums[2] = float32(s.Inside), float32(s.Above), float32(s.Below)
		return
	}
	clear(sums)
	inside, above, below := sums[:p], sums[p:2*p], sums[2*p:]
	for at := 0; at < len(dx); {
		n, w := step(p, len(dx)-at)
		end := at + n
		active.backward(dx[at:end], dy[at:end], x[at:end], g.Low[:w], g.High[:w], g.Scale[:w], g.Zero[:w], inside[:w], above[:w], below[:w])
		at = end
	}
}

// step returns how many of the elements left a kernel that sums per channel
// should take at once, and the width of its rows. The kernel walks a few
// columns down all rows of a call, then the next few: so the rows are whole
// periods that fit the first-level cache, or eight long ones, which are read as
// parallel streams. The order of summation is the same for any step.
func step(p, left int) (n, width int) {
	if left < p {
		return left, left
	}
	return min(left/p, max(8, 2048/p)) * p, p
}

// Fold adds up the sums of blocks, given one after the other, into one Sums per
// channel, in the order of the blocks. The grid length is a multiple of the
// number of channels.
func Fold(dst []Sums, sums []float32, gridLen int) {
	c := len(dst)
	if c == 0 || gridLen%c != 0 || len(sums)%SumsLen(gridLen) != 0 {
		panic(fmt.Sprintf("quant: cannot fold sums of length %d, grid %d, into %d channels", len(sums), gridLen, c))
	}
	clear(dst)
	for ; len(sums) > 0; sums = sums[3*gridLen:] {
		in, above, below := sums[:gridLen], sums[gridLen:2*gridLen], sums[2*gridLen:3*gridLen]
		for i, ch := 0, 0; i < gridLen; i++ {
			d := &dst[ch]
			d.Inside += float64(in[i])
			d.Above += float64(above[i])
			d.Below += float64(below[i])
			if ch++; ch == c {
				ch = 0
			}
		}
	}
}

// ForwardRows rounds rows of the given length: row r uses grid entry
// (first+r) mod g.Len(). dst may be x.
func ForwardRows(dst, x []float32, row int, g Grid, first int) {
	g.check()
	_ = x[:len(dst)]
	checkRows(len(dst), row)
	for c := first % g.Len(); len(dst) > 0; dst, x = dst[row:], x[row:] {
		active.forwardRow(dst[:row], x[:row], g.Low[c], g.High[c], g.Scale[c], g.Zero[c])
		if c++; c == g.Len() {
			c = 0
		}
	}
}

// BackwardRows is the gradient of [ForwardRows]. sums has one entry per row;
// each is replaced by the sums of its row. dx may be dy.
func BackwardRows(dx, dy, x []float32, row int, g Grid, first int, sums []Sums) {
	g.check()
	_, _ = dy[:len(dx)], x[:len(dx)]
	checkRows(len(dx), row)
	if row == 0 {
		clear(sums)
		return
	}
	_ = sums[:len(dx)/row]
	c := first % g.Len()
	for r := range len(dx) / row {
		lo, hi := r*row, (r+1)*row
		sums[r] = backwardOne(dx[lo:hi], dy[lo:hi], x[lo:hi], g.Low[c], g.High[c], g.Scale[c], g.Zero[c])
		if c++; c == g.Len() {
			c = 0
		}
	}
}

// backwardOne is the gradient for a slice that has one grid.
func backwardOne(dx, dy, x []float32, low, high, scale, zero float32) (s Sums) {
	var inside, above, below [rowLanes]float32
	for lo := 0; lo < len(dx); lo += rowBlock {
		hi := min(lo+rowBlock, len(dx))
		active.backwardRow(dx[lo:hi], dy[lo:hi], x[lo:hi], low, high, scale, zero, noescape(&inside), noescape(&above), noescape(&below))
		for l := range min(rowLanes, hi-lo) {
			s.Inside += float64(inside[l])
			s.Above += float64(above[l])
			s.Below += float64(below[l])
		}
	}
	return s
}

func checkRows(n, row int) {
	if row < 0 || row == 0 && n > 0 || row > 0 && n%row != 0 {
		panic(fmt.Sprintf("quant: %d elements are not rows of %d", n, row))
	}
}

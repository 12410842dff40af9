package binary

import (
	"encoding/binary"
	"math/bits"
)

func aboveGeneric(dst, x, at []float32) {
	for i, c := 0, 0; i < len(dst); i++ {
		v := float32(0)
		if x[i] > at[c] {
			v = 1
		}
		dst[i] = v
		if c++; c == len(at) {
			c = 0
		}
	}
}

func signsGeneric(dst, x []float32) {
	for i := range dst {
		v := float32(-1)
		if x[i] > 0 {
			v = 1
		}
		dst[i] = v
	}
}

func backwardGeneric(dx, du, x, at []float32, scale, inverse float32, scaleSums, thresholdSums []float32) {
	for i, c := 0, 0; i < len(dx); i++ {
		v, d, u := x[i], du[i], float32(0)
		if v > at[c] {
			u = 1
		}
		switch {
		case v > scale:
			scaleSums[c] += d
		case v <= scale: // not NaN
			scaleSums[c] += float32(d * (u - float32(v*inverse)))
		}
		if v > 0 && v < scale {
			thresholdSums[c] += d
		}
		r := float32(0)
		if v >= 0 && v <= scale {
			r = d * inverse
		}
		dx[i] = r
		if c++; c == len(at) {
			c = 0
		}
	}
}

// packGeneric packs whole pixels of len(at) channels, pitch bytes each.
func packGeneric(dst []byte, x, at []float32, pitch int) {
	clear(dst)
	c := len(at)
	for p := 0; p < len(x)/c; p++ {
		out, in := dst[p*pitch:][:pitch], x[p*c:][:c]
		for i, v := range in {
			if v > at[i] {
				out[i/8] |= 1 << (i % 8)
			}
		}
	}
}

// expandGeneric writes the low and the high nibble of each byte of src, times 16.
func expandGeneric(dst, src []byte) {
	for i, b := range src {
		dst[2*i], dst[2*i+1] = b<<4, b&0xf0
	}
}

// block is one call of a counting kernel: pixels windows, of which the next one
// begins step bytes after the one before, and one block of output channels. A
// window is runs of runLen bytes, pitch bytes apart. The sums are added to acc,
// accPitch apart from pixel to pixel.
type block struct {
	acc      *int16
	x        *byte
	w        *byte
	step     int
	runs     int
	runLen   int
	pitch    int
	accPitch int // in bytes
	last     uint64
}

// countWords is the plain form for words, over slices: last masks the last word
// of a run.
func countWords(acc []int16, x []byte, w []uint64, b *block) {
	words := (b.runLen + 7) / 8
	for p := range pixels {
		out := acc[p*b.accPitch/2:][:genericLanes]
		var sums [genericLanes]int
		total, at := 0, 0
		for r := range b.runs {
			run := x[p*b.step+r*b.pitch:]
			for k := range words {
				u := binary.LittleEndian.Uint64(run[8*k:])
				if k == words-1 {
					u &= b.last
				}
				total += bits.OnesCount64(u)
				row := w[at:][:genericLanes]
				for i, v := range row {
					sums[i] += bits.OnesCount64(u & v)
				}
				at += genericLanes
			}
		}
		for i, s := range sums {
			out[i] = int16(2*s - total)
		}
	}
}

// finishGeneric sets y = acc·f for pixels of len(f) channels, whose sums are
// pitch apart.
func finishGeneric(y []float32, acc []int16, f []float32, pitch int) {
	for p := 0; p < len(y)/len(f); p++ {
		out, in := y[p*len(f):][:len(f)], acc[p*pitch:]
		for i := range out {
			out[i] = float32(in[i]) * f[i]
		}
	}
}

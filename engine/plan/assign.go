package plan

import (
	"cmp"
	"slices"
)

// Align is the alignment of every buffer in bytes: a cache line, and the widest
// vector register.
const Align = 64

// Slack is the number of bytes behind every buffer that kernels may read, not
// write: a whole vector that starts at the last element.
const Slack = 64

// Buffer is a span of the arena with a life: steps First to Last touch it. The
// zero First and Last of a fresh buffer are set by [Buffer.Touch].
type Buffer struct {
	Size        int // bytes
	First, Last int // steps, inclusive
	Offset      int // set by Assign

	touched bool
}

// Touch extends the buffer's life to the given step.
func (b *Buffer) Touch(step int) {
	if !b.touched {
		b.First, b.Last, b.touched = step, step, true
		return
	}
	b.First, b.Last = min(b.First, step), max(b.Last, step)
}

// Touched reports whether any step uses the buffer.
func (b *Buffer) Touched() bool { return b.touched }

func (b *Buffer) span() int { return (b.Size + Slack + Align - 1) / Align * Align }

// Assign sets the offset of every buffer such that buffers with overlapping
// lives do not overlap in memory, and returns the size of the arena. Larger
// buffers are placed first, each in the tightest gap that fits (best fit by
// decreasing size); equal sizes keep their order, so the result depends on
// nothing but the list.
func Assign(buffers []*Buffer) (size int) {
	order := slices.Clone(buffers)
	slices.SortStableFunc(order, func(a, b *Buffer) int { return cmp.Compare(b.Size, a.Size) })
	var placed []*Buffer // by offset
	for _, b := range order {
		need := b.span()
		best, bestGap := -1, 0
		end := 0
		for _, p := range placed {
			if p.Last < b.First || b.Last < p.First {
				continue
			}
			if gap := p.Offset - end; gap >= need && (best < 0 || gap < bestGap) {
				best, bestGap = end, gap
			}
			end = max(end, p.Offset+p.span())
		}
		if best < 0 {
			best = end
		}
		b.Offset = best
		size = max(size, best+need)
		i, _ := slices.BinarySearchFunc(placed, b, func(p, b *Buffer) int { return cmp.Compare(p.Offset, b.Offset) })
		placed = slices.Insert(placed, i, b)
	}
	return size
}

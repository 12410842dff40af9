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

// orders are in what order buffers are placed; which leaves the fewest gaps
// depends on the program.
var orders = []func(a, b *Buffer) int{
	func(a, b *Buffer) int { return cmp.Or(cmp.Compare(b.Size, a.Size), cmp.Compare(b.life(), a.life())) },
	func(a, b *Buffer) int { return cmp.Compare(b.Size*b.life(), a.Size*a.life()) },
	func(a, b *Buffer) int { return cmp.Or(cmp.Compare(b.life(), a.life()), cmp.Compare(b.Size, a.Size)) },
}

// life is the number of steps.
func (b *Buffer) life() int { return b.Last - b.First + 1 }

// Assign sets the offset of every buffer such that buffers with overlapping
// lives do not overlap in memory, and returns the size of the arena. Of several
// orders, in each of which every buffer gets the first gap that fits, it takes
// the one with the smallest arena. Equals keep their order, so the result
// depends on nothing but the list.
func Assign(buffers []*Buffer) (size int) {
	best := -1
	for i, by := range orders {
		if n := assign(buffers, by); best < 0 || n < size {
			best, size = i, n
		}
	}
	if best != len(orders)-1 {
		assign(buffers, orders[best])
	}
	return size
}

func assign(buffers []*Buffer, by func(a, b *Buffer) int) (size int) {
	order := slices.Clone(buffers)
	slices.SortStableFunc(order, by)
	var placed []*Buffer // by offset
	for _, b := range order {
		need, end := b.span(), 0
		for _, p := range placed {
			if p.Last < b.First || b.Last < p.First {
				continue
			}
			if p.Offset-end >= need {
				break
			}
			end = max(end, p.Offset+p.span())
		}
		b.Offset = end
		size = max(size, end+need)
		i, _ := slices.BinarySearchFunc(placed, b, func(p, b *Buffer) int { return cmp.Compare(p.Offset, b.Offset) })
		placed = slices.Insert(placed, i, b)
	}
	return size
}

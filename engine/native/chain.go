package native

import (
	"slices"

	"github.com/go-nncf/nncf/internal/par"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// A chain computes elementwise operators, and sums over their operands, by
// streaming short tiles through the caches: each link reads tiles of memory or
// of earlier links and writes a tile, which goes to memory only if somebody
// outside the chain reads it. A lowering emits a chain of one link; fuse.go
// joins neighbours.
//
//	elements   [ task 0          | task 1          | …        ]   fixed by the shape
//	task       [ tile | tile | … ]                                 run by one worker
//	tile       link 0 ─▶ link 1 ─▶ link 2                          in the first-level cache
//
// Tiles are float32. Operands of other element types are converted as tiles are
// read and stored; truth values are 0 and 1, so conditions that only their own
// chain reads never become bytes.
//
// All operands have the same number of elements in the same order. Tiles start
// at multiples of the number of channels of channels-last values (of the last
// axis of row-major ones), so a link may apply per-channel parameters by
// position.
type chain struct {
	n, unit int // elements, and what tile borders are multiples of
	links   []*link
	cut     *finished // the convolution like which it is cut; nil: by shape
	stored  map[*slot]bool
}

// link is one operator of a chain.
type link struct {
	node  *ir.Node
	name  string
	in    []*slot
	out   *slot   // nil for a sum
	also  []*slot // small operands that bind reads itself
	sums  *sums   // partial sums that the link leaves, which may be cut in another way
	temps []*temp
	fills *temp // the one of temps that the link writes for another step; nil: none
	// cheap says that computing the link again costs less than reading its
	// result from memory.
	cheap bool
	// light says so of a link that a convolution may compute as it loads its
	// input; cheap links are light.
	light bool
	// placed says whether the result may lie where operand k lay; nil means
	// that it may, whatever k.
	placed func(k int) bool
	// bind runs once memory is placed and returns the function that computes
	// one tile.
	bind func() tileFunc
}

// tileFunc computes a tile. dst is nil for a sum; src has one tile per operand.
// dst never overlaps src unless it is the same slice.
type tileFunc func(t tile, dst []float32, src [][]float32)

// tile says where a tile lies.
type tile struct {
	task  int  // for partial sums: one slot per task
	lo    int  // first element
	first bool // the task's first tile
}

// tileLen is the length aimed at: five tiles of 8 KiB and a first-level cache
// of 32 KiB or more get along. taskLen is small enough that float32 lanes may
// accumulate one task (see reduce.BlockLen) and large enough to be worth
// claiming, a few microseconds of memory traffic.
const (
	tileLen = 2048
	taskLen = 16 << 10
)

// newChain returns the chain of one link over n elements in units.
func newChain(n, unit int, l *link) *chain { return &chain{n: n, unit: unit, links: []*link{l}} }

// roundUnit returns the largest multiple of unit up to n, at least unit.
func roundUnit(n, unit int) int { return max(unit, n/unit*unit) }

// tasks returns how a chain over n elements in the given units is cut: the
// length of a task and their number. It depends on the shape alone, so
// lowerings use it to size partial sums.
func chainTasks(n, unit int) (length, count int) {
	length = roundUnit(taskLen, unit)
	return length, (n + length - 1) / length
}

// chainUnit returns the unit of a value's elements.
func chainUnit(s *slot) int {
	if s.order == channelsLast {
		return max(1, s.channels())
	}
	if len(s.shape) == 0 {
		return 1
	}
	u := s.shape[len(s.shape)-1]
	if u > tileLen { // too long for a tile: no per-position parameters
		return 1
	}
	return max(1, u)
}

// emitChain appends a one-link chain over the elements of like.
func (c *compiler) emitChain(like *slot, l *link) {
	c.emitChainUnit(like.shape.Numel(), chainUnit(like), l)
}

func (c *compiler) emitChainUnit(n, unit int, l *link) {
	var writes []*slot
	if l.out != nil {
		writes = []*slot{l.out}
	}
	s := c.emit(l.node, l.name, slices.Concat(l.in, l.also), writes, nil, l.temps...)
	s.chain = newChain(n, unit, l)
}

// bindChain returns the run function of a chain. Links whose out is not in
// stored write to a tile of their own.
func (c *compiler) bindChain(ch *chain, stored map[*slot]bool, images *imagewise) func() error {
	if ch.cut != nil {
		f := *ch.cut
		f.chain, f.stored = ch, stored
		return runTasks(c.pool, f.tasks(), f.after(c))
	}
	length, tasks := chainTasks(ch.n, ch.unit)
	part := c.chainPart(ch, stored)
	n := ch.n
	task := func(t, worker int) { part(t, worker, t*length, min(n, (t+1)*length)) }
	if images != nil {
		images.do = task
		if size := n / images.images; !ch.sums() {
			images.do = func(t, worker int) { part(t, worker, t*size, (t+1)*size) }
		}
	}
	return runTasks(c.pool, tasks, task)
}

// sums reports whether the chain adds up over its tasks.
func (ch *chain) sums() bool {
	return slices.ContainsFunc(ch.links, func(l *link) bool { return l.sums != nil || l.out == nil })
}

// chainPart returns the function that runs a chain over elements lo ≤ i < end,
// which are those of one task.
func (c *compiler) chainPart(ch *chain, stored map[*slot]bool) func(task, worker, lo, end int) {
	step := roundUnit(tileLen, ch.unit)
	type operand struct {
		mem  []float32                   // nil: the tile of link from, or load
		load func(dst []float32, lo int) // nil unless memory holds another element type
		from int
	}
	type bound struct {
		run   tileFunc
		in    []operand
		out   []float32 // nil: own tile, or a sum
		store func(src []float32, lo int)
		sum   bool
	}
	made := map[*slot]int{}
	links := make([]bound, len(ch.links))
	for i, l := range ch.links {
		b := &links[i]
		for _, s := range l.in {
			switch from, ok := made[s]; {
			case ok:
				b.in = append(b.in, operand{from: from})
			case s.dtype == tensor.Float32:
				b.in = append(b.in, operand{mem: s.f32()})
			default:
				b.in = append(b.in, operand{load: loader(s.data)})
			}
		}
		b.sum = l.out == nil
		if l.out != nil {
			made[l.out] = i
			if stored[l.out] {
				if l.out.dtype == tensor.Float32 {
					b.out = l.out.f32()
				} else {
					b.store = storer(l.out.data)
				}
			}
		}
		b.run = l.bind()
	}
	// Tiles and operand lists of each worker, made once.
	type workspace struct {
		tiles [][]float32 // by link: where its result is now
		own   [][]float32
		src   [][]float32
		read  [][][]float32 // by link and operand: where load puts a tile
	}
	ws := make([]workspace, c.workers)
	for w := range ws {
		ws[w].tiles = make([][]float32, len(links))
		ws[w].own = make([][]float32, len(links))
		ws[w].read = make([][][]float32, len(links))
		most := 0
		for i, b := range links {
			if b.out == nil && !b.sum {
				ws[w].own[i] = make([]float32, step)
			}
			most = max(most, len(b.in))
			ws[w].read[i] = make([][]float32, len(b.in))
			for k, o := range b.in {
				if o.load != nil {
					ws[w].read[i][k] = make([]float32, step)
				}
			}
		}
		ws[w].src = make([][]float32, most)
	}
	return func(task, worker, lo, end int) {
		w := &ws[worker]
		for start := lo; lo < end; lo += step {
			hi := min(end, lo+step)
			for i := range links {
				b := &links[i]
				src := w.src[:len(b.in)]
				for k, o := range b.in {
					switch {
					case o.mem != nil:
						src[k] = o.mem[lo:hi]
					case o.load != nil:
						src[k] = w.read[i][k][:hi-lo]
						o.load(src[k], lo)
					default:
						src[k] = w.tiles[o.from]
					}
				}
				var dst []float32
				switch {
				case b.out != nil:
					dst = b.out[lo:hi]
				case !b.sum:
					dst = w.own[i][:hi-lo]
				}
				w.tiles[i] = dst
				b.run(tile{task: task, lo: lo, first: lo == start}, dst, src)
				if b.store != nil {
					b.store(dst, lo)
				}
			}
		}
	}
}

// runTasks returns a run function that hands out the tasks.
func runTasks(pool *par.Pool, tasks int, task func(task, worker int)) func() error {
	if tasks == 1 { // waking workers would cost more
		return func() error { task(0, 0); return nil }
	}
	return func() error { pool.Run(tasks, task); return nil }
}

// inlineWork is the number of elements below which tasks run one after the
// other on the calling worker: handing them out would take longer, above all
// while other programs use the cores.
const inlineWork = 8 << 10

// runSized is runTasks for light work on the given number of elements.
func runSized(pool *par.Pool, tasks, elements int, task func(task, worker int)) func() error {
	if elements > inlineWork {
		return runTasks(pool, tasks, task)
	}
	return func() error {
		for t := range tasks {
			task(t, 0)
		}
		return nil
	}
}

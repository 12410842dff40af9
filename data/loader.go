package data

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync"

	"github.com/go-nncf/nncf/tensor"
)

// Batch is what one step of a network gets. It is valid until the loop body
// that received it ends: the loader writes later batches to the same memory.
type Batch struct {
	// Index is the position in the epoch, from 0.
	Index int
	// Images is float32 [N, C, H, W], or [N, H, W, C] with ChannelsLast, or
	// [N, C] for vectors, or [N, H, W] with Sequences.
	Images *tensor.Tensor
	// Arrays are there instead if examples are arrays, one for each of [Fields].
	Arrays []*tensor.Tensor
	// Labels is int64 [N], -1 without labels.
	Labels *tensor.Tensor
	// Indices are the positions in the data set.
	Indices []int
}

// Len returns the number of examples.
func (b *Batch) Len() int { return len(b.Indices) }

// Inputs returns what the inputs of a model get: the arrays, or the images.
func (b *Batch) Inputs() []*tensor.Tensor {
	if len(b.Arrays) > 0 {
		return b.Arrays
	}
	return []*tensor.Tensor{b.Images}
}

// Loader makes batches of a data set. Dataset is required; the zero values of
// the other fields are usable. A Loader serves one loop at a time or several;
// its fields must not change while one runs.
//
// What a batch holds is a function of the fields, the epoch and its index
// only: the order of an epoch comes from (Seed, epoch), the random numbers of
// a transform from (Seed, epoch, position in the data set). Workers and
// Prefetch change the speed, not the bits.
type Loader struct {
	Dataset    Dataset    `json:"-"`
	Transforms Transforms `json:"transforms,omitempty"`
	Normalize  Normalize  `json:"normalize,omitzero"`
	// Batch is the number of examples in a batch; 0 means 128.
	Batch int `json:"batch,omitempty"`
	// Shuffle draws another order for each epoch.
	Shuffle bool `json:"shuffle,omitempty"`
	// DropLast leaves out a last batch that is not full.
	DropLast bool `json:"drop_last,omitempty"`
	// ChannelsLast gives [N, H, W, C].
	ChannelsLast bool `json:"channels_last,omitempty"`
	// Sequences gives [N, H, W] for images of one channel: sequences of H vectors.
	Sequences bool   `json:"sequences,omitempty"`
	Seed      uint64 `json:"seed,omitempty"`
	// Workers is the number of goroutines that make batches; 0 means 1, which
	// leaves the other cores to the network.
	Workers int `json:"workers,omitempty"`
	// Prefetch is the number of batches made ahead; 0 means 2.
	Prefetch int `json:"prefetch,omitempty"`

	mu   sync.Mutex
	idle *epochRun // memory of the last finished epoch
}

// Validate reports all invalid fields.
func (l *Loader) Validate() error {
	var errs []error
	if l.Dataset == nil {
		errs = append(errs, errors.New("dataset: got none"))
	}
	for _, f := range []struct {
		name string
		v    int
	}{{"batch", l.Batch}, {"workers", l.Workers}, {"prefetch", l.Prefetch}} {
		if f.v < 0 {
			errs = append(errs, fmt.Errorf("%s: got %d, want 1 or more, or 0 for the default", f.name, f.v))
		}
	}
	if err := l.Transforms.Validate(); err != nil {
		errs = append(errs, err)
	}
	if err := l.Normalize.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("normalize: %w", err))
	}
	return errors.Join(errs...)
}

func or(v, none int) int {
	if v == 0 {
		return none
	}
	return v
}

// BatchSize returns the number of examples in a full batch.
func (l *Loader) BatchSize() int { return or(l.Batch, 128) }

// Len returns the number of batches in an epoch.
func (l *Loader) Len() int {
	n, size := l.Dataset.Len(), l.BatchSize()
	if l.DropLast {
		return n / size
	}
	return (n + size - 1) / size
}

// Examples returns the number of examples in an epoch.
func (l *Loader) Examples() int {
	if l.DropLast {
		return l.Len() * l.BatchSize()
	}
	return l.Dataset.Len()
}

// Shape returns the shape of one example in Batch.Images, such as [3 32 32].
// It reads the first example. Examples that are arrays have no such shape, see
// [Fields].
func (l *Loader) Shape() (tensor.Shape, error) {
	if err := l.Validate(); err != nil {
		return nil, fmt.Errorf("loader: %w", err)
	}
	var m Image
	if err := l.first(&m); err != nil {
		return nil, err
	}
	return l.shapeOf(&m), nil
}

func (l *Loader) shapeOf(m *Image) tensor.Shape {
	switch {
	case m.Vector:
		return tensor.Shape{m.C}
	case l.Sequences && m.C == 1:
		return tensor.Shape{m.H, m.W}
	case l.ChannelsLast:
		return tensor.Shape{m.H, m.W, m.C}
	}
	return tensor.Shape{m.C, m.H, m.W}
}

// first makes the first example, which decides the shape.
func (l *Loader) first(m *Image) error {
	if l.Dataset.Len() == 0 {
		return errors.New("loader: the data set has no examples")
	}
	if err := l.example(0, 0, m, NewScratch(0)); err != nil {
		return err
	}
	if err := l.Normalize.channels(m.C); err != nil {
		return fmt.Errorf("loader: normalize: %w", err)
	}
	return nil
}

// example makes one image, up to normalisation.
func (l *Loader) example(epoch, i int, m *Image, s *Scratch) error {
	if err := l.Dataset.Image(i, m); err != nil {
		return err
	}
	seedExample(&s.pcg, l.Seed, epoch, i)
	if err := l.Transforms.Apply(m, s); err != nil {
		return fmt.Errorf("%s: %w", Name(l.Dataset, i), err)
	}
	return nil
}

// Batches yields the batches of an epoch in order. After an error, or when ctx
// ends (whose cause is then the error), it yields nothing more. When the loop
// ends, however it ends, the workers have stopped.
func (l *Loader) Batches(ctx context.Context, epoch int) iter.Seq2[*Batch, error] {
	return l.BatchesFrom(ctx, epoch, 0)
}

// BatchesFrom is [Loader.Batches] without the batches before the given one,
// which are not made: the way to go on in the middle of an epoch.
func (l *Loader) BatchesFrom(ctx context.Context, epoch, first int) iter.Seq2[*Batch, error] {
	return func(yield func(*Batch, error) bool) {
		if first < 0 {
			panic(fmt.Sprintf("data: batches from %d", first))
		}
		if err := ctx.Err(); err != nil {
			yield(nil, context.Cause(ctx))
			return
		}
		run, err := l.newRun(epoch)
		if err != nil {
			yield(nil, err)
			return
		}
		run.serve(ctx, first, yield)
		l.mu.Lock()
		l.idle = run
		l.mu.Unlock()
	}
}

// epochRun is the memory and the state of one loop over an epoch.
//
// Batch k goes to slot (k−first) mod len(slots). It is put on the list of tasks
// when that slot is free, taken from there by any worker, and announced by the
// slot's ready: no batch is overwritten while in use, and the consumer finds
// them in order.
type epochRun struct {
	l       *Loader
	epoch   int
	order   []int // empty: the order of the data set
	batches int
	arrays  *arraySet // nil for images
	place   func(i int) int
	example Image // the first one: all must have its size
	shape   tensor.Shape
	norm    normalizer
	slots   []slot
	workers []worker
	tasks   chan int // holds at most one batch for each slot
}

type slot struct {
	inputs  []*tensor.Tensor
	labels  []int64
	indices []int
	full    Batch
	part    Batch // the last of the epoch, when it is smaller
	batch   *Batch
	err     error
	ready   chan struct{}
}

type worker struct {
	image   Image
	scratch *Scratch
}

// newRun sets up an epoch, in the memory of a finished one if that fits.
func (l *Loader) newRun(epoch int) (*epochRun, error) {
	if err := l.Validate(); err != nil {
		return nil, fmt.Errorf("loader: %w", err)
	}
	if n := l.Dataset.Len(); n > 0 && l.Len() == 0 {
		return nil, fmt.Errorf("loader: got %d examples, fewer than one batch of %d: choose a smaller batch, or keep the last one", n, l.BatchSize())
	}
	l.mu.Lock()
	r := l.idle
	l.idle = nil
	l.mu.Unlock()
	if r == nil {
		r = &epochRun{l: l}
	}
	before := r.arrays
	if r.arrays, r.place = arraysOf(l.Dataset); r.arrays != before {
		r.slots = nil
	}
	if r.arrays == nil {
		if err := l.first(&r.example); err != nil {
			return nil, err
		}
	} else if err := l.checkArrays(); err != nil {
		return nil, err
	}
	r.epoch, r.batches = epoch, l.Len()
	r.norm = l.Normalize.prepare(r.example.C)
	r.order = r.order[:0]
	if l.Shuffle {
		source := rand.New(rand.NewPCG(epochSeed(l.Seed, epoch), streamOrder))
		r.order = permutation(r.order, l.Dataset.Len(), source)
	}
	workers := or(l.Workers, 1)
	for len(r.workers) < workers {
		r.workers = append(r.workers, worker{scratch: NewScratch(0)})
	}
	r.workers = r.workers[:workers]
	r.allocate(max(or(l.Prefetch, 2), workers)+1, l.BatchSize())
	return r, nil
}

// checkArrays reports settings that are for images.
func (l *Loader) checkArrays() error {
	var errs []error
	if l.Dataset.Len() == 0 {
		errs = append(errs, errors.New("loader: the data set has no examples"))
	}
	for _, f := range Fields(l.Dataset) {
		if !inBatches(f.DType) {
			errs = append(errs, fmt.Errorf("loader: array %q: got %v, batches have float32, int32, int64 or bool: see Select", f.Name, f.DType))
		}
	}
	if n := len(l.Transforms); n > 0 {
		errs = append(errs, fmt.Errorf("loader: got %d transforms for examples that are arrays, want none", n))
	}
	if len(l.Normalize.Mean)+len(l.Normalize.Std) > 0 || l.Normalize.BGR || l.Normalize.Raw {
		errs = append(errs, errors.New("loader: got a normalization for examples that are arrays, want none"))
	}
	return errors.Join(errs...)
}

// fields returns the element type and shape of what an example consists of.
func (r *epochRun) fields() []Field {
	if r.arrays != nil {
		return r.arrays.fields
	}
	return []Field{{DType: tensor.Float32, Shape: r.shape}}
}

func (r *epochRun) allocate(slots, size int) {
	var shape tensor.Shape
	if r.arrays == nil {
		shape = r.l.shapeOf(&r.example)
	}
	if len(r.slots) != slots || len(r.slots[0].indices) != size || !r.shape.Equal(shape) {
		r.shape = shape
		r.slots = make([]slot, slots)
		for i := range r.slots {
			s := &r.slots[i]
			for _, f := range r.fields() {
				s.inputs = append(s.inputs, tensor.New(f.DType, append(tensor.Shape{size}, f.Shape...)...))
			}
			s.labels = make([]int64, size)
			s.indices = make([]int, size)
			s.full = r.view(s, size)
		}
	}
	for i := range r.slots {
		r.slots[i].ready = make(chan struct{}, 1)
	}
	r.tasks = make(chan int, len(r.slots))
}

// view is the batch of the first n examples of a slot.
func (r *epochRun) view(s *slot, n int) Batch {
	b := Batch{Labels: tensor.From(s.labels[:n], n), Indices: s.indices[:n:n]}
	for _, t := range s.inputs {
		b.Arrays = append(b.Arrays, t.Rows(0, n))
	}
	if r.arrays == nil {
		b.Images, b.Arrays = b.Arrays[0], nil
	}
	return b
}

func (r *epochRun) serve(ctx context.Context, first int, yield func(*Batch, error) bool) {
	work, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for w := range r.workers {
		wg.Go(func() { r.work(work.Done(), &r.workers[w], first) })
	}
	for k := first; k < min(first+len(r.slots), r.batches); k++ {
		r.tasks <- k
	}
	for k := first; k < r.batches; k++ {
		s := &r.slots[(k-first)%len(r.slots)]
		if ctx.Err() == nil {
			select {
			case <-s.ready:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			yield(nil, context.Cause(ctx))
			return
		}
		if s.err != nil {
			yield(nil, fmt.Errorf("epoch %d batch %d: %w", r.epoch, k, s.err))
			return
		}
		if !yield(s.batch, nil) {
			return
		}
		if next := k + len(r.slots); next < r.batches {
			r.tasks <- next
		}
	}
}

func (r *epochRun) work(done <-chan struct{}, w *worker, first int) {
	for {
		select {
		case <-done:
			return
		case k := <-r.tasks:
			s := &r.slots[(k-first)%len(r.slots)]
			var stopped bool
			if stopped, s.err = r.fill(done, s, k, w); stopped {
				return
			}
			s.ready <- struct{}{}
		}
	}
}

// fill makes batch k in s. It stops early when done is closed.
func (r *epochRun) fill(done <-chan struct{}, s *slot, k int, w *worker) (stopped bool, err error) {
	size := len(s.indices)
	start := k * size
	n := min(size, r.l.Dataset.Len()-start)
	s.batch = &s.full
	if n < size {
		s.part = r.view(s, n)
		s.batch = &s.part
	}
	s.batch.Index = k
	each := r.shape.Numel()
	for j := range n {
		select {
		case <-done:
			return true, nil
		default:
		}
		i := start + j
		if len(r.order) > 0 {
			i = r.order[i]
		}
		s.indices[j] = i
		s.labels[j] = int64(r.l.Dataset.Label(i))
		if r.arrays != nil {
			for f, t := range s.inputs {
				at := r.place(i)
				t.Rows(j, j+1).CopyFrom(r.arrays.data[f].Rows(at, at+1))
			}
			continue
		}
		if err := r.l.example(r.epoch, i, &w.image, w.scratch); err != nil {
			return false, err
		}
		m, want := &w.image, &r.example
		if m.H != want.H || m.W != want.W || m.C != want.C || m.Vector != want.Vector {
			return false, fmt.Errorf("%s: got %s, want %s like the first example: add a resize or crop", Name(r.l.Dataset, i), m.dims(), want.dims())
		}
		r.norm.write(s.inputs[0].F32()[j*each:][:each], m, r.l.ChannelsLast)
	}
	return false, nil
}

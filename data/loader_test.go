package data

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-nncf/nncf/tensor"
)

// synthetic is a data set of n images whose bytes depend on the index.
func synthetic(t testing.TB, n, h, w, c int) Dataset {
	t.Helper()
	x := tensor.New(tensor.Uint8, n, h, w, c)
	pix := tensor.Data[uint8](x)
	for i := range pix {
		pix[i] = uint8(mix(uint64(i)))
	}
	y := tensor.New(tensor.Int32, n)
	for i := range n {
		tensor.Data[int32](y)[i] = int32(i % 10)
	}
	ds, err := FromTensors(x, y, NHWC, nil)
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

var augment = Transforms{RandomCrop{Height: 8, Padding: 2}, HorizontalFlip{}, ColorJitter{Brightness: 0.3, Hue: 0.1}}

// digests returns a hash of each batch.
func digests(t *testing.T, l *Loader, epoch, first int) []string {
	t.Helper()
	var out []string
	for b, err := range l.BatchesFrom(t.Context(), epoch, first) {
		if err != nil {
			t.Fatal(err)
		}
		h := sha256.New()
		binary.Write(h, binary.LittleEndian, b.Images.F32())
		binary.Write(h, binary.LittleEndian, b.Labels.I64())
		fmt.Fprint(h, b.Indices, b.Index, b.Images.Shape())
		out = append(out, fmt.Sprintf("%x", h.Sum(nil)[:8]))
	}
	return out
}

func TestLoader_SameBits(t *testing.T) {
	ds := synthetic(t, 103, 8, 8, 3)
	base := Loader{Dataset: ds, Transforms: augment, Batch: 10, Shuffle: true, Seed: 42}
	want := [][]string{digests(t, &base, 0, 0), digests(t, &base, 1, 0)}
	if len(want[0]) != 11 || slices.Equal(want[0], want[1]) {
		t.Fatalf("got %d batches, epochs equal %t", len(want[0]), slices.Equal(want[0], want[1]))
	}
	for _, c := range []struct{ workers, prefetch int }{{1, 1}, {2, 1}, {3, 7}, {8, 2}, {1, 30}} {
		l := Loader{Dataset: ds, Transforms: augment, Batch: 10, Shuffle: true, Seed: 42, Workers: c.workers, Prefetch: c.prefetch}
		for epoch := range 2 {
			for _, first := range []int{0, 4, 10, 11} {
				if got := digests(t, &l, epoch, first); !slices.Equal(got, want[epoch][first:]) {
					t.Errorf("%+v epoch %d from batch %d: got %v, want %v", c, epoch, first, got, want[epoch][first:])
				}
			}
		}
	}
	other := Loader{Dataset: ds, Transforms: augment, Batch: 10, Shuffle: true, Seed: 43}
	if slices.Equal(digests(t, &other, 0, 0), want[0]) {
		t.Error("another seed gives the same batches")
	}
}

// The sequence of a seed must not change from one version to the next: runs
// that are resumed depend on it.
func TestLoader_Golden(t *testing.T) {
	l := Loader{Dataset: synthetic(t, 12, 8, 8, 3), Transforms: augment, Batch: 6, Shuffle: true, Seed: 1}
	var order []int
	for b, err := range l.Batches(t.Context(), 3) {
		if err != nil {
			t.Fatal(err)
		}
		order = append(order, b.Indices...)
	}
	if want := goldenOrder; !slices.Equal(order, want) {
		t.Errorf("got order %v, want %v", order, want)
	}
	if got := digests(t, &l, 3, 0); !slices.Equal(got, goldenDigests) {
		t.Errorf("got %q, want %q", got, goldenDigests)
	}
}

func TestLoader_Order(t *testing.T) {
	ds := synthetic(t, 23, 4, 4, 1)
	for _, c := range []struct {
		name          string
		l             *Loader
		batches, last int
		examples      int
	}{
		{"in order", &Loader{Batch: 5}, 5, 3, 23},
		{"drop last", &Loader{Batch: 5, DropLast: true}, 4, 5, 20},
		{"shuffled", &Loader{Batch: 5, Shuffle: true}, 5, 3, 23},
		{"one batch", &Loader{}, 1, 23, 23},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := c.l
			l.Dataset = ds
			if l.Len() != c.batches || l.Examples() != c.examples {
				t.Errorf("got %d batches of %d examples, want %d of %d", l.Len(), l.Examples(), c.batches, c.examples)
			}
			var got []int
			n := 0
			for b, err := range l.Batches(t.Context(), 0) {
				if err != nil {
					t.Fatal(err)
				}
				if b.Index != n {
					t.Errorf("got batch %d, want %d", b.Index, n)
				}
				n++
				if n == c.batches && b.Len() != c.last {
					t.Errorf("the last batch has %d examples, want %d", b.Len(), c.last)
				}
				if want := (tensor.Shape{b.Len(), 1, 4, 4}); !b.Images.Shape().Equal(want) || b.Labels.Len() != b.Len() {
					t.Errorf("got %v and %v, want shape %v", b.Images, b.Labels, want)
				}
				for j, i := range b.Indices {
					if b.Labels.I64()[j] != int64(i%10) {
						t.Errorf("example %d: got label %d", i, b.Labels.I64()[j])
					}
				}
				got = append(got, b.Indices...)
			}
			sorted := slices.IsSorted(got)
			if sorted == l.Shuffle {
				t.Errorf("got order %v with shuffle %t", got, l.Shuffle)
			}
			slices.Sort(got)
			if len(got) != c.examples || len(slices.Compact(got)) != c.examples {
				t.Errorf("got %d examples, want %d different ones", len(got), c.examples)
			}
		})
	}
}

// failing fails at one example and waits at another.
type failing struct {
	Dataset
	bad   int
	block chan struct{}
}

func (f failing) Image(i int, m *Image) error {
	if i == f.bad {
		return errors.New("broken on purpose")
	}
	if i > 0 && f.block != nil {
		<-f.block
	}
	return f.Dataset.Image(i, m)
}

// stopped fails if more goroutines run than before.
func stopped(t *testing.T, before int) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if runtime.NumGoroutine() <= before {
			return
		}
	}
	t.Errorf("%d goroutines run, %d before", runtime.NumGoroutine(), before)
}

func TestLoader_Stops(t *testing.T) {
	before := runtime.NumGoroutine()
	ds := synthetic(t, 100, 8, 8, 3)
	newLoader := func() *Loader { return &Loader{Dataset: ds, Batch: 5, Workers: 3} }

	t.Run("break", func(t *testing.T) {
		for range newLoader().Batches(t.Context(), 0) {
			break
		}
		stopped(t, before+1) // this sub-test
	})
	t.Run("cancel", func(t *testing.T) {
		cause := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		n := 0
		var last error
		for b, err := range newLoader().Batches(ctx, 0) {
			if err != nil {
				last = err
				continue
			}
			if n++; b.Index == 2 {
				cancel(cause)
			}
		}
		if n != 3 || !errors.Is(last, cause) {
			t.Errorf("got %d batches, then %v; want 3, then the cause", n, last)
		}
		stopped(t, before+1)
	})
	t.Run("cancelled before", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for b, err := range newLoader().Batches(ctx, 0) {
			if b != nil || !errors.Is(err, context.Canceled) {
				t.Errorf("got batch %v, error %v", b, err)
			}
		}
	})
	t.Run("error", func(t *testing.T) {
		l := newLoader()
		l.Dataset = failing{Dataset: ds, bad: 37}
		n, errs := 0, 0
		for _, err := range l.Batches(t.Context(), 0) {
			if err == nil {
				n++
				continue
			}
			errs++
			if !strings.Contains(err.Error(), "batch 7") || !strings.Contains(err.Error(), "on purpose") {
				t.Errorf("got error %q", err)
			}
		}
		if n != 7 || errs != 1 {
			t.Errorf("got %d batches and %d errors, want 7 and 1", n, errs)
		}
		stopped(t, before+1)
	})
	t.Run("panic", func(t *testing.T) {
		defer func() {
			if recover() == nil {
				t.Error("the panic of the loop body is lost")
			}
			stopped(t, before+1)
		}()
		for range newLoader().Batches(t.Context(), 0) {
			panic("loop body")
		}
	})
	t.Run("cancel while reading", func(t *testing.T) {
		block := make(chan struct{})
		l := newLoader()
		l.Dataset = failing{Dataset: ds, bad: -1, block: block}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		time.AfterFunc(20*time.Millisecond, func() { close(block) })
		for _, err := range l.Batches(ctx, 0) {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		}
		stopped(t, before+1)
	})
}

func TestLoader_Errors(t *testing.T) {
	gray := synthetic(t, 3, 4, 4, 1)
	mixed := &mixedSizes{gray}
	for _, c := range []struct {
		name string
		l    *Loader
		want []string
	}{
		{"invalid", &Loader{Batch: -1, Workers: -2, Transforms: Transforms{Resize{}}, Normalize: Normalize{Std: []float64{0}}},
			[]string{"dataset", "batch", "workers", "transform 1", "std of channel 0"}},
		{"channels", &Loader{Dataset: gray, Normalize: Normalize{Mean: []float64{1, 2, 3}}}, []string{"mean", "3 entries", "1 channels"}},
		{"sizes", &Loader{Dataset: mixed}, []string{"example 2", "5×4×1", "4×4×1", "resize"}},
		{"no batch", &Loader{Dataset: gray, DropLast: true}, []string{"3 examples", "128"}},
		{"transform", &Loader{Dataset: gray, Transforms: Transforms{RandomCrop{Height: 9}}}, []string{"example 0", "random_crop", "4×4"}},
		{"no examples", &Loader{Dataset: First(gray, 0)}, []string{"no examples"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			errs := 0
			for _, err := range c.l.Batches(t.Context(), 0) {
				if err == nil {
					t.Fatal("got a batch")
				}
				errs++
				for _, w := range c.want {
					if !strings.Contains(err.Error(), w) {
						t.Errorf("got error %q, want %q in it", err, w)
					}
				}
			}
			if errs != 1 {
				t.Errorf("got %d errors, want 1", errs)
			}
		})
	}
}

type mixedSizes struct{ Dataset }

func (d *mixedSizes) Image(i int, m *Image) error {
	if i == 2 {
		m.SetBytes(5, 4, 1)
		return nil
	}
	return d.Dataset.Image(i, m)
}

// A batch of images in memory costs no allocation once the epoch runs.
func TestLoader_NoAllocation(t *testing.T) {
	l := &Loader{Dataset: synthetic(t, 6400, 16, 16, 3), Batch: 16, Shuffle: true,
		Transforms: Transforms{RandomCrop{Height: 14, Padding: 2}, Resize{Height: 9, Width: 20}, RandomResizedCrop{Height: 12},
			HorizontalFlip{}, ColorJitter{Brightness: 0.1, Contrast: 0.1, Saturation: 0.1, Hue: 0.1}, CentreCrop{Height: 8}}}
	var before, after runtime.MemStats
	n := 0
	for _, err := range l.Batches(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		// The first batches size the buffers of the transforms.
		if n++; n == 100 {
			runtime.ReadMemStats(&before)
		}
	}
	runtime.ReadMemStats(&after)
	if got := after.Mallocs - before.Mallocs; n != 400 || got > 30 {
		t.Errorf("got %d allocations in %d batches", got, n-100)
	}
}

func TestSubsets(t *testing.T) {
	ds := synthetic(t, 50, 2, 2, 1)
	indices := func(d Dataset) []int { return d.(*subset).indices }
	if got := indices(First(ds, 3)); !slices.Equal(got, []int{0, 1, 2}) {
		t.Errorf("First: got %v", got)
	}
	if First(ds, 60) != ds || Sample(ds, 60, 0) != ds {
		t.Error("more examples than there are: want the data set itself")
	}
	a, b, c := indices(Sample(ds, 20, 1)), indices(Sample(ds, 20, 1)), indices(Sample(ds, 20, 2))
	if !slices.Equal(a, b) || slices.Equal(a, c) || len(slices.Compact(slices.Clone(a))) != 20 || !slices.IsSorted(a) {
		t.Errorf("Sample: got %v, %v, %v", a, b, c)
	}
	rest, held := Holdout(ds, 0.25, 7)
	all := slices.Sorted(slices.Values(slices.Concat(indices(rest), indices(held))))
	if rest.Len() != 37 || held.Len() != 13 || len(slices.Compact(all)) != 50 {
		t.Errorf("Holdout: got %d and %d, together %v", rest.Len(), held.Len(), all)
	}
	s := Subset(ds, []int{40, 3})
	var x, y Image
	if err := errors.Join(s.Image(0, &x), ds.Image(40, &y)); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(x.Pix, y.Pix) || s.Label(1) != 3 || Name(s, 1) != "example 3" {
		t.Errorf("Subset: got label %d, name %q", s.Label(1), Name(s, 1))
	}
	defer func() {
		if r := recover(); r == nil || !strings.HasPrefix(fmt.Sprint(r), "data: ") {
			t.Errorf("index outside: got panic %v", r)
		}
	}()
	Subset(ds, []int{50})
}

func TestDescribe(t *testing.T) {
	x := tensor.From([]float32{1, -2, 3, 4, 5, 6, 7, 9}, 2, 2, 2, 1) // N H W C
	ds, err := FromTensors(x, tensor.From([]int64{1, 1}, 2), NHWC, []string{"a", "b"})
	if err != nil {
		t.Fatal(err)
	}
	st, err := Describe(t.Context(), ds)
	if err != nil {
		t.Fatal(err)
	}
	// (1−2+3+4+5+6+7+9)/8 = 33/8; squares sum to 221.
	if got := fmt.Sprintf("%v %.6f %v %v %v", st.Mean, st.Std[0], st.Min, st.Max, st.Counts); got != "[4.125] 3.257204 [-2] [9] [0 2]" {
		t.Errorf("got %s", got)
	}
	b := tensor.From([]uint8{0, 255, 255, 255}, 1, 1, 2, 2)
	if ds, err = FromTensors(b, nil, NHWC, nil); err != nil {
		t.Fatal(err)
	}
	if st, err = Describe(t.Context(), ds); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(st.Mean, st.Std, st.Min, st.Max); got != "[0.5 1] [0.5 0] [0 1] [1 1]" {
		t.Errorf("bytes: got %s", got)
	}
}

func BenchmarkLoader(b *testing.B) {
	ds := synthetic(b, 2048, 32, 32, 3)
	for _, c := range []struct {
		name string
		t    Transforms
	}{
		{"plain", nil},
		{"crop-flip", Transforms{RandomCrop{Height: 32, Padding: 4}, HorizontalFlip{}}},
		{"resize-64", Transforms{Resize{Height: 64}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			l := &Loader{Dataset: ds, Transforms: c.t, Shuffle: true}
			n := 0
			for b.Loop() {
				for _, err := range l.Batches(b.Context(), n) {
					if err != nil {
						b.Fatal(err)
					}
				}
				n++
			}
			b.ReportMetric(float64(n*ds.Len())/b.Elapsed().Seconds(), "images/s")
		})
	}
}

var (
	goldenOrder   = []int{2, 8, 0, 5, 4, 10, 6, 1, 3, 9, 11, 7}
	goldenDigests = []string{"c2bf2938c4a0e1b7", "d8c6d1fefe26d7f1"}
)

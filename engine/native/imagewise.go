package native

import "slices"

// imagewise is the work of a step that goes image by image: image i of its
// results needs image i of what it reads, and nothing of others. Such steps may
// take turns on a few images while the caches hold them, see rule_group.go.
type imagewise struct {
	images int
	// begins returns the first task for image n or later ones; ok is false if
	// that task works on earlier images, too. n may be the number of images.
	begins func(n int) (task int, ok bool)
	// owned reports whether images from n on may be another worker's: tasks
	// before and behind add to different sums. nil means wherever begins says ok.
	owned func(n int) bool
	// weights returns the bytes that every task reads besides.
	weights func() int
	do      func(task, worker int) // set by bind
}

// cuts reports whether the work may pause before image n.
func (w *imagewise) cuts(n int) bool {
	_, ok := w.begins(n)
	return ok
}

// parts reports whether the work may change hands before image n.
func (w *imagewise) parts(n int) bool {
	return w.cuts(n) && (w.owned == nil || w.owned(n))
}

// imagewiseTasks is the work of a step that runs a task for each image.
func imagewiseTasks(images int) *imagewise {
	return &imagewise{images: images, begins: func(n int) (int, bool) { return n, true }}
}

// byImage returns how a chain that is a step goes image by image; nil if it does
// not. Without sums it may be cut anywhere.
func (ch *chain) byImage() *imagewise {
	images := 0
	for _, l := range ch.links {
		if l.fills != nil {
			return nil
		}
		for _, x := range append(slices.Clip(l.in), l.out) {
			if x == nil {
				continue
			}
			if len(x.shape) == 0 || images > 0 && x.shape[0] != images {
				return nil
			}
			images = x.shape[0]
		}
	}
	if images == 0 || ch.cut != nil || ch.n%images != 0 || ch.n/images%ch.unit != 0 {
		return nil
	}
	if !ch.sums() {
		return imagewiseTasks(images)
	}
	size := ch.n / images
	length, tasks := chainTasks(ch.n, ch.unit)
	return &imagewise{images: images, begins: func(n int) (int, bool) {
		if n == images {
			return tasks, true
		}
		return n * size / length, n*size%length == 0
	}}
}

package sparsity

import (
	"fmt"

	"github.com/go-nncf/nncf/channel"
	"github.com/go-nncf/nncf/tensor"
)

// kept lists the entries of each axis that stay; nil for an axis that stays
// whole, and nil if all do.
func (b *base) kept(value string) [][]int {
	if b.removed == nil {
		return nil
	}
	var axes [][]int
	for a, gone := range b.removed(value) {
		if gone == nil {
			continue
		}
		for len(axes) <= a {
			axes = append(axes, nil)
		}
		axes[a] = []int{}
		for i, g := range gone {
			if !g {
				axes[a] = append(axes[a], i)
			}
		}
	}
	return axes
}

// elements lists the elements of a value that stay, in order; all says that every
// one does.
func (b *base) elements(value string, s tensor.Shape) (at []int, all bool) {
	kept := b.kept(value)
	if kept == nil {
		return nil, true
	}
	at = []int{0}
	for a, n := range s {
		var next []int
		for _, i := range at {
			if a < len(kept) && kept[a] != nil {
				for _, e := range kept[a] {
					next = append(next, i*n+e)
				}
				continue
			}
			for e := range n {
				next = append(next, i*n+e)
			}
		}
		at = next
	}
	return at, false
}

// count counts the elements that stay, and those of them that are zero.
func (b *base) count(m *masked, zero func(i int) bool) (zeros, all int) {
	s := m.node.Out[0].Type.MustShape()
	at, whole := b.elements(m.Weight, s)
	if whole {
		for i := range s.Numel() {
			if zero(i) {
				zeros++
			}
		}
		return zeros, s.Numel()
	}
	for _, i := range at {
		if zero(i) {
			zeros++
		}
	}
	return zeros, len(at)
}

// left is a masked weight without what is removed from it.
type left struct {
	*masked
	w    *tensor.Tensor
	mask []uint8 // of w
	at   []int   // where the elements of w are in the whole weight; nil for all
}

// left returns the layers, to be decided about.
func (b *base) left() []*left {
	list := make([]*left, len(b.layers))
	for i, m := range b.layers {
		w := m.weight()
		list[i] = &left{masked: m, w: w, mask: m.bits()}
		at, whole := b.elements(m.Weight, w.Shape())
		if whole {
			continue
		}
		for a, k := range b.kept(m.Weight) {
			if k == nil {
				continue
			}
			var err error
			if w, err = channel.Select(w, a, k); err != nil {
				panic(fmt.Sprintf("sparsity: %s: %v", m.Weight, err)) // weights are float32
			}
		}
		list[i].w, list[i].at, list[i].mask = w, at, make([]uint8, len(at))
	}
	return list
}

// write puts the mask into that of the whole weight, in which what is removed is
// zero.
func (l *left) write() {
	if l.at == nil {
		return
	}
	bits := l.bits()
	clear(bits)
	for k, i := range l.at {
		bits[i] = l.mask[k]
	}
}

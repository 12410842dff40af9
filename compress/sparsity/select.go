package sparsity

import "math"

// selection decides masks from the present weights.
type selection struct {
	importance Importance
	local      bool // a threshold for each layer, otherwise one for all
}

// unit is a layer for which a threshold is sought: its importances, by element or
// by block.
type unit struct {
	m     *left
	f     importance
	means []float32 // by block
	of    func(i int) int
}

func (s selection) unit(m *left) *unit {
	w := m.w
	u := &unit{m: m, f: s.importance.of(w)}
	if m.Pattern.Rows > 0 {
		var n int
		n, u.of = m.Pattern.blocks(w.Shape(), m.OutAxis, m.InAxis)
		sum, count := make([]float64, n), make([]int, n)
		for i := range w.Len() {
			b := u.of(i)
			sum[b] += float64(u.f.at(i))
			count[b]++
		}
		u.means = make([]float32, n)
		for b := range sum {
			u.means[b] = float32(sum[b] / float64(max(1, count[b])))
		}
	}
	return u
}

// len is the number of values that are ranked.
func (u *unit) len() int {
	if u.of != nil {
		return len(u.means)
	}
	return len(u.f.w)
}

func (u *unit) each(yield func(float32)) {
	if u.of != nil {
		for _, v := range u.means {
			yield(v)
		}
		return
	}
	for i := range u.f.w {
		yield(u.f.at(i))
	}
}

// write keeps what lies above the threshold.
func (u *unit) write(mask []uint8, threshold float32) {
	for i := range mask {
		v := float32(0)
		if u.of != nil {
			v = u.means[u.of(i)]
		} else {
			v = u.f.at(i)
		}
		mask[i] = 0
		if !(v <= threshold) {
			mask[i] = 1
		}
	}
}

// none is the threshold that keeps all.
var none = float32(math.Inf(-1))

// run writes the masks of all layers: level is that of layers without one of
// their own, own returns a layer's own. It returns the thresholds by
// weight, of layers where one decides.
//
// The threshold is the reference's: of n importances the one of rank
// ⌊(n-1)·level⌋, and what is not above it goes. Many equal importances at the
// threshold so go together. Level 0 keeps all, where the reference drops the least.
func (s selection) run(list []*left, level float64, own func(m *masked) (float64, bool)) map[string]float32 {
	thresholds := map[string]float32{}
	var global []*unit
	for _, m := range list {
		l, alone := own(m.masked)
		if !alone {
			l = level
		}
		switch {
		case m.Pattern.Of > 0:
			m.Pattern.nOfM(m.mask, s.importance.of(m.w), m.w.Shape(), m.InAxis, l)
		case alone || s.local:
			u := s.unit(m)
			t := at(l, u)
			u.write(m.mask, t)
			keepFinite(thresholds, m.masked, t)
		default:
			global = append(global, s.unit(m))
		}
	}
	t := at(level, global...)
	for _, u := range global {
		u.write(u.m.mask, t)
		keepFinite(thresholds, u.m.masked, t)
	}
	for _, m := range list {
		m.write()
	}
	return thresholds
}

func keepFinite(thresholds map[string]float32, m *masked, t float32) {
	if t != none {
		thresholds[m.Weight] = t
	}
}

// at returns the threshold of a level over units.
func at(level float64, units ...*unit) float32 {
	n := 0
	for _, u := range units {
		n += u.len()
	}
	if level <= 0 || n == 0 {
		return none
	}
	return threshold(rank(n, level), func(yield func(float32)) {
		for _, u := range units {
			u.each(yield)
		}
	})
}

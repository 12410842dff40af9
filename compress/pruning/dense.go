package pruning

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/go-nncf/nncf/channel"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/tensor"
)

// dense keeps what masks make zero, so that channels can come back as they were
// when they were pruned; the running statistics of normalization too, which learn
// nothing of a channel that is zero.
type dense struct {
	clusters []*pruned
	values   []denseValue
}

// touchedValue is a value of which channels of clusters are parts.
type touchedValue struct {
	value *ir.Value
	spans []touchedSpan
}

type touchedSpan struct {
	cluster int
	channel.Span
}

// touched lists the values that spans of clusters lie in, in their order.
func touched(clusters []*pruned, spans func(*pruned) []channel.Span) (list []touchedValue) {
	index := map[*ir.Value]int{}
	for i, k := range clusters {
		for _, s := range spans(k) {
			at, ok := index[s.Value]
			if !ok {
				at = len(list)
				index[s.Value] = at
				list = append(list, touchedValue{value: s.Value})
			}
			list[at].spans = append(list[at].spans, touchedSpan{i, s})
		}
	}
	return list
}

type denseValue struct {
	live  *tensor.Tensor // the model's
	kept  *tensor.Tensor // elements under masks; others are of no account
	spans []touchedSpan
}

func newDense(clusters []*pruned) *dense {
	d := &dense{clusters: clusters}
	for _, x := range touched(clusters, func(k *pruned) []channel.Span { return append(statistics(k.group), k.zero...) }) {
		d.values = append(d.values, denseValue{live: x.value.Data, kept: x.value.Data.Clone(), spans: x.spans})
	}
	return d
}

// statistics lists the running statistics of a group.
func statistics(grp *channel.Group) []channel.Span {
	var out []channel.Span
	for _, s := range grp.Spans {
		if s.Value.Kind == ir.State && s.Value.Type.DType == tensor.Float32 {
			out = append(out, s)
		}
	}
	return out
}

// under returns which elements of a value lie under masks.
func (d *dense) under(v denseValue) []bool {
	hidden := make([]bool, v.live.Len())
	for _, s := range v.spans {
		for ch, gone := range d.clusters[s.cluster].gone {
			if !gone {
				continue
			}
			eachSlice(v.live.Shape(), s.Axis, s.Of(ch), func(at, n int) {
				for i := range n {
					hidden[at+i] = true
				}
			})
		}
	}
	return hidden
}

// unmask remembers what training has made of the elements that masks leave, and
// puts back the others.
func (d *dense) unmask() {
	for _, v := range d.values {
		live, kept := v.live.F32(), v.kept.F32()
		for i, hidden := range d.under(v) {
			if hidden {
				live[i] = kept[i]
			} else {
				kept[i] = live[i]
			}
		}
	}
}

// save returns the elements under masks, little-endian.
func (d *dense) save() []byte {
	var out []byte
	for _, v := range d.values {
		for i, hidden := range d.under(v) {
			if hidden {
				out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v.kept.F32()[i]))
			}
		}
	}
	return out
}

// load puts back what save returned; masks are those of then.
func (d *dense) load(raw []byte) error {
	hidden := make([][]bool, len(d.values))
	want := 0
	for i, v := range d.values {
		hidden[i] = d.under(v)
		for _, h := range hidden[i] {
			if h {
				want += 4
			}
		}
	}
	if len(raw) != want {
		return fmt.Errorf("pruning state: got %d bytes of weights under masks, want %d", len(raw), want)
	}
	for i, v := range d.values {
		for j, h := range hidden[i] {
			if h {
				v.kept.F32()[j] = math.Float32frombits(binary.LittleEndian.Uint32(raw))
				raw = raw[4:]
			}
		}
	}
	return nil
}

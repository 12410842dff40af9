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

type denseValue struct {
	live  *tensor.Tensor // the model's
	kept  *tensor.Tensor // elements under masks; others are of no account
	spans []touchedSpan
}

func newDense(clusters []*pruned) *dense {
	d := &dense{clusters: clusters}
	index := map[*ir.Value]int{}
	for i, k := range clusters {
		for _, s := range append(statistics(k.group), k.zero...) {
			at, ok := index[s.Value]
			if !ok {
				at = len(d.values)
				index[s.Value] = at
				d.values = append(d.values, denseValue{live: s.Value.Data, kept: s.Value.Data.Clone()})
			}
			d.values[at].spans = append(d.values[at].spans, touchedSpan{i, s})
		}
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
	shape := v.live.Shape()
	for _, s := range v.spans {
		outer, inner := shape[:s.Axis].Numel(), shape[s.Axis+1:].Numel()
		for ch, gone := range d.clusters[s.cluster].gone {
			if !gone {
				continue
			}
			for o := range outer {
				for _, e := range s.Of(ch) {
					at := (o*shape[s.Axis] + e) * inner
					for i := range inner {
						hidden[at+i] = true
					}
				}
			}
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

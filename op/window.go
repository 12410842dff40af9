package op

import (
	"fmt"

	"github.com/go-nncf/nncf/ir"
)

// Window is how convolutions and pools slide over the spatial axes. Lists have
// one entry per spatial axis, Pads the begins and then the ends; nil means
// strides 1, dilations 1, pads 0. AutoPad is ONNX's auto_pad: "" (Pads count),
// "SAME_UPPER", "SAME_LOWER" or "VALID".
type Window struct {
	Strides, Dilations, Pads []int
	AutoPad                  string
}

// Resolved returns the window with every list filled in and the pads computed
// for the given input lengths, if AutoPad asks for it.
func (w Window) Resolved(spatial, kernel []int) Window {
	r := len(kernel)
	out := Window{Strides: filled(w.Strides, r, 1), Dilations: filled(w.Dilations, r, 1), Pads: filled(w.Pads, 2*r, 0)}
	switch w.AutoPad {
	case "SAME_UPPER", "SAME_LOWER":
		out.Pads = make([]int, 2*r)
		for i := range r {
			n := (spatial[i] + out.Strides[i] - 1) / out.Strides[i]
			total := max(0, (n-1)*out.Strides[i]+(kernel[i]-1)*out.Dilations[i]+1-spatial[i])
			small := total / 2
			if w.AutoPad == "SAME_UPPER" {
				out.Pads[i], out.Pads[i+r] = small, total-small
			} else {
				out.Pads[i], out.Pads[i+r] = total-small, small
			}
		}
	case "VALID":
		out.Pads = make([]int, 2*r)
	}
	return out
}

func filled(list []int, n, def int) []int {
	if list != nil {
		return list
	}
	out := make([]int, n)
	for i := range out {
		out[i] = def
	}
	return out
}

// check validates the lists for r spatial axes.
func (w Window) check(r int) error {
	for _, l := range []struct {
		name string
		v    []int
		n    int
		min  int
	}{{"strides", w.Strides, r, 1}, {"dilations", w.Dilations, r, 1}, {"pads", w.Pads, 2 * r, 0}} {
		if l.v == nil {
			continue
		}
		if len(l.v) != l.n {
			return fmt.Errorf("%s: got %d entries, want %d", l.name, len(l.v), l.n)
		}
		for _, x := range l.v {
			if x < l.min || x > 1<<20 {
				return fmt.Errorf("%s: got %v, want values from %d", l.name, l.v, l.min)
			}
		}
	}
	switch w.AutoPad {
	case "", "SAME_UPPER", "SAME_LOWER", "VALID":
		return nil
	}
	return fmt.Errorf("auto_pad: got %q, want NOTSET, SAME_UPPER, SAME_LOWER or VALID", w.AutoPad)
}

// outLen returns the output length of one spatial axis; ceil rounds up as
// pools may, but no window starts beyond the input and its left padding.
func (w Window) outLen(in ir.Dim, kernel, i int, ceil bool) (ir.Dim, error) {
	r := Window{Strides: w.Strides, Dilations: w.Dilations, Pads: w.Pads}
	stride, dil := 1, 1
	if r.Strides != nil {
		stride = r.Strides[i]
	}
	if r.Dilations != nil {
		dil = r.Dilations[i]
	}
	n, known := in.Known()
	if !known {
		if stride == 1 && (w.AutoPad == "SAME_UPPER" || w.AutoPad == "SAME_LOWER") {
			return in, nil
		}
		return ir.Unknown(), nil
	}
	begin, end := 0, 0
	switch w.AutoPad {
	case "SAME_UPPER", "SAME_LOWER":
		return ir.Len((n + stride - 1) / stride), nil
	case "":
		if w.Pads != nil {
			begin, end = w.Pads[i], w.Pads[i+len(w.Pads)/2]
		}
	}
	span := n + begin + end - ((kernel-1)*dil + 1)
	if span < 0 {
		return ir.Dim{}, fmt.Errorf("kernel of %d (dilation %d) does not fit the input of %d with pads %d and %d", kernel, dil, n, begin, end)
	}
	o := span/stride + 1
	if ceil && span%stride != 0 && o*stride < n+begin {
		o++
	}
	return ir.Len(o), nil
}

// decodeWindow reads the attributes that convolutions and pools share.
func decodeWindow(d *Decoder) Window {
	w := Window{Strides: d.Ints("strides"), Dilations: d.Ints("dilations"), Pads: d.Ints("pads")}
	if a := d.Str("auto_pad", "NOTSET"); a != "NOTSET" {
		w.AutoPad = a
	}
	return w
}

// encodeWindow writes them.
func encodeWindow(e *Encoder, w Window) {
	if w.AutoPad != "" {
		e.Set("auto_pad", w.AutoPad)
	} else {
		e.Set("pads", w.Pads)
	}
	e.Set("strides", w.Strides)
	e.Set("dilations", w.Dilations)
}

package native

import (
	"fmt"
	"math"
	"testing"

	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// TestForm_WeightsAreFormedWhilePacked puts a mask and a quantizer on the weights
// of convolutions: both run block by block as the weights are packed, and the
// result is that of the operators one after the other.
func TestForm_WeightsAreFormedWhilePacked(t *testing.T) {
	for _, groups := range []int{1, 2} {
		t.Run(fmt.Sprint("groups=", groups), func(t *testing.T) {
			const in, out = 6, 38
			b := newNet("formed")
			x := b.G.AddInput("x", ir.MakeType(tensor.Float32, 2, in, 5, 5))
			w := b.param("w", 0, 0.5, out, in/groups, 3, 3)
			mask := tensor.New(tensor.Uint8, out, in/groups, 3, 3)
			for i := range tensor.Data[uint8](mask) {
				tensor.Data[uint8](mask)[i] = uint8(i * 7 % 5 & 1)
			}
			scale := b.param("scale", 1, 0.2, out)
			m := b.Op(op.Mask{}, "mask", w, b.G.AddStored(ir.State, "kept", mask))
			q := b.Op(op.FakeQuantizeSymmetric{Low: -127, High: 127, Axis: 0}, "quantizer", m, scale)
			b.G.Outputs = []*ir.Value{b.Op(op.Conv{Group: groups, Window: op.Window{Pads: []int{1, 1, 1, 1}}}, "conv", x, q)}
			if err := b.Err(); err != nil {
				t.Fatal(err)
			}
			p, err := Backend{}.Compile(t.Context(), b.G, engine.Options{Threads: 2})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			formed := 0
			for _, s := range p.Info().Steps {
				for _, f := range s.Fusions {
					if f.Rule == "form" && f.Applied {
						formed++
					}
				}
			}
			if formed != 2 {
				t.Errorf("%d operators run as weights are packed, want 2: %+v", formed, p.Info().Steps)
			}
			for round := range 2 { // the second with other weights
				for i := range w.Data.F32() {
					w.Data.F32()[i] += float32(round) * 0.1
				}
				feed := fillAny(p, b.G)
				want, err := ir.Eval(t.Context(), b.G, feed)
				if err != nil {
					t.Fatal(err)
				}
				if err := p.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				for i, v := range p.Output(0).F32() {
					// sums of 9·in products of order 1, in float32
					if d := math.Abs(float64(v - want[0].F32()[i])); !(d < 9*in*0x1p-22) {
						t.Fatalf("round %d: element %d is %v, want %v", round, i, v, want[0].F32()[i])
					}
				}
			}
		})
	}
}

// TestForm_OperandsAreStillThere lets another step, between a quantizer and the
// packing of its result, be the last that reads the quantizer's operand: it may
// write over it, so the quantizer must not move behind it.
func TestForm_OperandsAreStillThere(t *testing.T) {
	const in, out = 6, 38
	b := newNet("formed")
	x := b.G.AddInput("x", ir.MakeType(tensor.Float32, 2, in, 5, 5))
	w := b.param("w", 0, 0.5, out, in, 3, 3)
	mask := tensor.New(tensor.Uint8, out, in, 3, 3)
	for i := range tensor.Data[uint8](mask) {
		tensor.Data[uint8](mask)[i] = uint8(i & 1)
	}
	m := b.Op(op.Mask{}, "mask", w, b.G.AddStored(ir.State, "kept", mask))
	q := b.Op(op.FakeQuantizeSymmetric{Low: -127, High: 127, Axis: 0}, "quantizer", m, b.param("scale", 1, 0.2, out))
	beside := b.Op(op.Neg{}, "beside", m)
	b.G.Outputs = []*ir.Value{b.Op(op.Conv{Group: 1}, "conv", x, q), beside}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	p, err := Backend{}.Compile(t.Context(), b.G, engine.Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	want, err := ir.Eval(t.Context(), b.G, fillAny(p, b.G))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for k := range want {
		for i, v := range p.Output(k).F32() {
			if d := math.Abs(float64(v - want[k].F32()[i])); !(d < 9*in*0x1p-22) {
				t.Fatalf("output %d: element %d is %v, want %v", k, i, v, want[k].F32()[i])
			}
		}
	}
}

package onnxpb

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// check decodes b and, if that works, demands that what is written reads back
// to the same bytes.
func check(t testing.TB, b []byte) {
	m, err := DecodeModel(b)
	if err != nil {
		return
	}
	first := encoded(t, m)
	again, err := DecodeModel(first)
	if err != nil {
		t.Fatalf("cannot read what was written: %v\ninput %x", err, b)
	}
	if second := encoded(t, again); !bytes.Equal(first, second) {
		t.Fatalf("not stable: %x then %x\ninput %x", first, second, b)
	}
}

func FuzzDecodeModel(f *testing.F) {
	f.Add(encoded(f, everything()))
	f.Fuzz(func(t *testing.T, b []byte) { check(t, b) })
}

func FuzzDecodeTensor(f *testing.F) {
	for _, x := range everything().Graph.Initializers {
		var b bytes.Buffer
		if err := x.Encode(&b); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if x, err := DecodeTensor(b); err == nil {
			var out bytes.Buffer
			if err := x.Encode(&out); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestDecodeModel_Mutations(t *testing.T) {
	orig := encoded(t, everything())
	for n := range orig {
		check(t, orig[:n])
	}
	rng := rand.New(rand.NewPCG(1, 0))
	for range 4000 {
		b := bytes.Clone(orig)
		switch rng.IntN(4) {
		case 0:
			for range 1 + rng.IntN(20) {
				b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
			}
		case 1:
			b[rng.IntN(len(b))] = []byte{0, 1, 127, 128, 255}[rng.IntN(5)]
		case 2:
			i, j := rng.IntN(len(b)), rng.IntN(len(b))
			b = append(b[:min(i, j)], b[max(i, j):]...)
		case 3:
			i, j, at := rng.IntN(len(b)), rng.IntN(len(b)), rng.IntN(len(b))
			b = append(bytes.Clone(b[:at]), append(bytes.Clone(b[min(i, j):max(i, j)]), b[at:]...)...)
		}
		check(t, b)
	}
}

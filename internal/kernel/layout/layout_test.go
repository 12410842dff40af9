package layout

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// forEach runs f once per variant this machine supports.
func forEach(t *testing.T, f func(t *testing.T)) {
	defer func(v *variant) { active = v }(active)
	for _, v := range variants() {
		if !v.supported() {
			continue
		}
		active = v
		t.Run(v.name, f)
	}
}

func sequence(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(i + 1)
	}
	return x
}

func bits(x []float32) []uint32 {
	b := make([]uint32, len(x))
	for i, v := range x {
		b[i] = math.Float32bits(v)
	}
	return b
}

func TestTranspose2D(t *testing.T) {
	forEach(t, func(t *testing.T) {
		for _, rows := range []int{0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 64, 65} {
			for _, cols := range []int{0, 1, 2, 3, 4, 7, 8, 9, 16, 17, 31, 33, 49, 64, 100} {
				for _, pad := range []int{0, 3} {
					ss, ds := cols+pad, rows+pad
					src := sequence(rows*ss + 7)
					dst := make([]float32, cols*ds+7)
					Transpose2D(dst, ds, src, ss, rows, cols)
					for i, v := range dst {
						c, r := 0, i
						if ds > 0 {
							c, r = i/ds, i%ds
						}
						want := float32(0)
						if c < cols && r < rows {
							want = src[r*ss+c]
						}
						if v != want {
							t.Fatalf("%d×%d, padding %d: dst[%d] = %v, want %v", rows, cols, pad, i, v, want)
						}
					}
				}
			}
		}
	})
}

func TestTranspose_NaNPayload(t *testing.T) {
	forEach(t, func(t *testing.T) {
		src := make([]float32, 16*16)
		for i := range src {
			src[i] = math.Float32frombits(0x7f800001 + uint32(i)) // signalling NaN
		}
		once, twice := make([]float32, 256), make([]float32, 256)
		Transpose(once, src, 1, 16, 16)
		Transpose(twice, once, 1, 16, 16)
		if !slices.Equal(bits(twice), bits(src)) {
			t.Error("transposing twice changed NaN bits")
		}
	})
}

func TestNCHW_RoundTrip(t *testing.T) {
	forEach(t, func(t *testing.T) {
		for _, d := range [][3]int{{2, 3, 35}, {3, 16, 49}, {1, 10, 64}, {2, 24, 9}} {
			n, c, hw := d[0], d[1], d[2]
			src := sequence(n * c * hw)
			nhwc, back := make([]float32, len(src)), make([]float32, len(src))
			NCHWToNHWC(nhwc, src, n, c, hw)
			if got, want := nhwc[(1*hw-1)*c+c-1], src[(c-1)*hw+hw-1]; got != want {
				t.Errorf("%v: last channel of the last pixel of image 0 is %v, want %v", d, got, want)
			}
			NHWCToNCHW(back, nhwc, n, c, hw)
			if !slices.Equal(back, src) {
				t.Errorf("%v: round trip differs", d)
			}
		}
	})
}

func TestRows(t *testing.T) {
	forEach(t, func(t *testing.T) {
		for _, cols := range []int{0, 1, 3, 8, 16, 17, 40} {
			for _, pad := range [][2]int{{0, 0}, {2, 0}, {0, 5}, {1, 1}} {
				const rows = 5
				ds, ss := cols+pad[0], cols+pad[1]
				src := sequence(rows*ss + 1)
				cp, add, fill := make([]float32, rows*ds+1), make([]float32, rows*ds+1), make([]float32, rows*ds+1)
				for i := range add {
					add[i] = 1000
				}
				CopyRows(cp, ds, src, ss, rows, cols)
				AddRows(add, ds, src, ss, rows, cols)
				FillRows(fill, ds, rows, cols, -2)
				for i := range cp {
					r, c := 0, i
					if ds > 0 {
						r, c = i/ds, i%ds
					}
					var wc, wf float32
					wa := float32(1000)
					if r < rows && c < cols {
						wc, wa, wf = src[r*ss+c], 1000+src[r*ss+c], -2
					}
					if cp[i] != wc || add[i] != wa || fill[i] != wf {
						t.Fatalf("cols %d, padding %v, element %d: copy %v add %v fill %v, want %v %v %v", cols, pad, i, cp[i], add[i], fill[i], wc, wa, wf)
					}
				}
			}
		}
	})
}

func TestStream(t *testing.T) {
	forEach(t, func(t *testing.T) {
		for _, n := range []int{0, 1, 15, 16, 63, 64, 65, 79, 80, 127, 128, 200, 1000, 5000} {
			for offset := range 17 {
				src := sequence(n + offset)[offset:]
				block := make([]float32, n+offset+20)
				Stream(block[offset:offset+n], src)
				for i, v := range block {
					want := float32(0)
					if i >= offset && i < offset+n {
						want = src[i-offset]
					}
					if v != want {
						t.Fatalf("n=%d offset %d: element %d is %v, want %v", n, offset, i-offset, v, want)
					}
				}
			}
		}
	})
}

func TestFill(t *testing.T) {
	for n := range 100 {
		x := make([]float32, n+1)
		for i := range x {
			x[i] = 5
		}
		negZero := float32(math.Copysign(0, -1))
		for _, v := range []float32{3, 0, negZero} {
			Fill(x[:n], v)
			for i := range n {
				if math.Float32bits(x[i]) != math.Float32bits(v) {
					t.Fatalf("n=%d: x[%d] = %v, want %v", n, i, x[i], v)
				}
			}
			if x[n] != 5 {
				t.Fatalf("n=%d: wrote past the end", n)
			}
		}
	}
	big := make([]float32, 20001)
	Fill(big, 7)
	if i := slices.IndexFunc(big, func(v float32) bool { return v != 7 }); i >= 0 {
		t.Errorf("big[%d] = %v", i, big[i])
	}
}

func TestPermute(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	forEach(t, func(t *testing.T) {
		for range 300 {
			rank := rng.IntN(6)
			dims, stride := make([]int, rank), make([]int, rank)
			n := 1
			for i := rank - 1; i >= 0; i-- {
				dims[i] = 1 + rng.IntN(6)
				stride[i] = n
				n *= dims[i]
			}
			perm := rng.Perm(rank)
			src := sequence(n)
			got, want := make([]float32, n), make([]float32, n)
			Permute(got, src, dims, perm)
			for i := range want {
				rest, off := i, 0
				for k := rank - 1; k >= 0; k-- {
					off += rest % dims[perm[k]] * stride[perm[k]]
					rest /= dims[perm[k]]
				}
				want[i] = src[off]
			}
			if !slices.Equal(got, want) {
				t.Fatalf("dims %v perm %v: got %v, want %v", dims, perm, got, want)
			}
		}
	})
}

// 64 MB each way: far beyond the caches.
func BenchmarkStream(b *testing.B) {
	defer func(v *variant) { active = v }(active)
	src, dst := sequence(16<<20), make([]float32, 16<<20)
	for _, v := range variants() {
		if !v.supported() {
			continue
		}
		b.Run("impl="+v.name, func(b *testing.B) {
			active = v
			b.SetBytes(int64(8 * len(src)))
			for b.Loop() {
				for i := 0; i < len(src); i += 2048 {
					Stream(dst[i:i+2048], src[i:i+2048])
				}
			}
			if dst[len(dst)-1] != src[len(src)-1] {
				b.Fatal("wrong result")
			}
		})
	}
}

func BenchmarkTranspose(b *testing.B) {
	defer func(v *variant) { active = v }(active)
	for _, d := range [][2]int{{3, 1024}, {16, 1024}, {64, 3136}, {256, 196}} {
		src, dst := sequence(d[0]*d[1]), make([]float32, d[0]*d[1])
		for _, v := range variants() {
			if !v.supported() {
				continue
			}
			b.Run(fmt.Sprintf("impl=%s/shape=%dx%d", v.name, d[0], d[1]), func(b *testing.B) {
				active = v
				b.SetBytes(int64(8 * len(src)))
				for b.Loop() {
					Transpose2D(dst, d[0], src, d[1], d[0], d[1])
				}
				if dst[len(dst)-1] != src[len(src)-1] {
					b.Fatal("wrong result")
				}
			})
		}
	}
}

func FuzzTranspose(f *testing.F) {
	f.Add(uint8(8), uint8(16), uint8(0))
	f.Add(uint8(33), uint8(7), uint8(5))
	f.Fuzz(func(t *testing.T, r, c, pad uint8) {
		rows, cols, ss, ds := int(r), int(c), int(c)+int(pad%7), int(r)+int(pad%5)
		src := sequence(rows*ss + 1)
		want := make([]float32, cols*ds+1)
		transposeGeneric(want, ds, src, ss, rows, cols)
		for _, v := range variants() {
			if v.supported() {
				got := make([]float32, len(want))
				v.transpose(got, ds, src, ss, rows, cols)
				if !slices.Equal(got, want) {
					t.Fatalf("%s: %d×%d, strides %d %d", v.name, rows, cols, ss, ds)
				}
			}
		}
	})
}

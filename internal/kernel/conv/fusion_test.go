package conv

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// Every partition of the tasks gives the same bits: tasks write disjoint
// regions and sum in an order that only the geometry fixes.
func TestPlan_taskOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, set := range sets() {
		for _, c := range geometries {
			t.Run(fmt.Sprintf("impl=%s/%s", set.Name, c.name), func(t *testing.T) {
				a := newWork(t, c.g, Options{Kernels: set, BiasGrad: true})
				b := newWork(t, c.g, Options{Kernels: set, BiasGrad: true})
				a.run(ascending, Fusion{})
				b.run(rng.Perm, Fusion{})
				for _, r := range []struct {
					name string
					a, b []float32
				}{{"y", a.y.s, b.y.s}, {"dx", a.dx.s, b.dx.s}, {"dw", a.dw.s, b.dw.s}, {"db", a.db.s, b.db.s}} {
					for i := range r.a {
						if math.Float32bits(r.a[i]) != math.Float32bits(r.b[i]) {
							t.Fatalf("%s[%d] = %v in order, %v permuted", r.name, i, r.a[i], r.b[i])
						}
					}
				}
			})
		}
	}
}

// Each task writes its region, all of it and nothing else.
func TestPlan_regions(t *testing.T) {
	for _, set := range sets() {
		for _, c := range geometries {
			t.Run(fmt.Sprintf("impl=%s/%s", set.Name, c.name), func(t *testing.T) {
				k := newWork(t, c.g, Options{Kernels: set})
				k.run(ascending, Fusion{}) // packs the weights
				nan := float32(math.NaN())
				check := func(what string, tasks, channels int, out []float32, run func(int), region func(int) Region) {
					for j := range out {
						out[j] = nan
					}
					covered := 0
					for i := range tasks {
						run(i)
						r := region(i)
						// the region is written, and becomes NaN again; nothing else is
						for p := r.P0; p < r.P1; p++ {
							for c := r.C0; c < r.C1; c++ {
								if v := &out[p*channels+c]; *v != *v {
									t.Fatalf("%s: task %d of %d, region %+v: [%d,%d] not written", what, i, tasks, r, p, c)
								} else {
									*v = nan
								}
							}
						}
						covered += (r.P1 - r.P0) * (r.C1 - r.C0)
						for j, v := range out {
							if v == v {
								t.Fatalf("%s: task %d of %d, region %+v: wrote [%d,%d]", what, i, tasks, r, j/channels, j%channels)
							}
						}
					}
					if covered != len(out) {
						t.Errorf("%s: regions of %d tasks cover %d of %d", what, tasks, covered, len(out))
					}
				}
				g := k.p.Geometry()
				check("forward", k.s.ForwardTasks, g.OC, k.y.s, func(i int) { k.p.Forward(i, k.scratchF.s, k.x.s, k.wp.s, Fusion{}, k.y.s) }, k.p.ForwardRegion)
				check("backward data", k.s.BackwardDataTasks, g.IC, k.dx.s, func(i int) { k.p.BackwardData(i, k.scratchD.s, k.dy.s, k.wpt.s, Fusion{}, k.dx.s) }, k.p.BackwardDataRegion)
			})
		}
	}
}

func TestFusion(t *testing.T) {
	for _, set := range sets() {
		for _, c := range geometries {
			t.Run(fmt.Sprintf("impl=%s/%s", set.Name, c.name), func(t *testing.T) {
				k := newWork(t, c.g, Options{Kernels: set, AlwaysLoad: true})
				k.run(ascending, Fusion{})
				g := k.p.Geometry()
				plain := slices.Clone(k.y.s)
				y, dx, _, _ := reference(g, k.x.s, k.w.s, k.dy.s)
				forward := func(x []float32, f Fusion) {
					for i := range k.s.ForwardTasks {
						k.p.Forward(i, k.scratchF.s, x, k.wp.s, f, k.y.s)
					}
				}

				forward(k.x.s, Fusion{Bias: k.bias.s})
				for i := range y {
					y[i].add(k.bias.s[i%g.OC], 1)
				}
				compare(t, "y + bias", k.y.s, y)
				biased := slices.Clone(k.y.s)

				forward(k.x.s, Fusion{Bias: k.bias.s, Clip: true, Lo: -0.5, Hi: 1.5})
				for i, v := range biased {
					if want := min(max(v, -0.5), 1.5); k.y.s[i] != want {
						t.Fatalf("clip: y[%d] = %v, want %v", i, k.y.s[i], want)
					}
				}
				forward(k.x.s, ReLU(k.bias.s))
				for i, v := range biased {
					if want := max(v, 0); k.y.s[i] != want {
						t.Fatalf("ReLU: y[%d] = %v, want %v", i, k.y.s[i], want)
					}
				}

				// a loader that halves and doubles back changes nothing
				half := make([]float32, len(k.x.s))
				for i, v := range k.x.s {
					half[i] = v / 2
				}
				load := func(dst []float32, at int) {
					for i := range dst {
						dst[i] = 2 * half[at+i]
					}
				}
				forward(nil, Fusion{Load: load})
				for i, v := range plain {
					if k.y.s[i] != v {
						t.Fatalf("loader: y[%d] = %v, want %v", i, k.y.s[i], v)
					}
				}
				want := slices.Clone(k.dw.s)
				for i := range k.s.BackwardWeightsTasks {
					k.p.BackwardWeightsLoad(i, k.scratchW.s, nil, load, k.dy.s, k.parts.s)
				}
				for i := range k.s.ReduceTasks {
					k.p.ReduceWeights(i, k.parts.s, k.dw.s, nil)
				}
				for i, v := range want {
					if k.dw.s[i] != v {
						t.Fatalf("loader: dw[%d] = %v, want %v", i, k.dw.s[i], v)
					}
				}

				before := slices.Clone(k.bias.s)
				for i := range k.dx.s {
					k.dx.s[i] = before[i%len(before)]
					dx[i].add(k.dx.s[i], 1)
				}
				for i := range k.s.BackwardDataTasks {
					k.p.BackwardData(i, k.scratchD.s, k.dy.s, k.wpt.s, Fusion{Accumulate: true}, k.dx.s)
				}
				compare(t, "dx accumulated", k.dx.s, dx)
				k.checkGuards(t)
			})
		}
	}
}

// A transposed convolution is the data gradient of the convolution that maps
// its output to its input. The expected values are computed by scattering,
// from ONNX's definition of ConvTranspose.
func TestPlan_transposed(t *testing.T) {
	for _, c := range []struct {
		name                       string
		n, h, w, ic, oc, k, s, pad int
		outPad, groups             int
	}{
		{"2x2 stride 2", 2, 4, 5, 6, 10, 2, 2, 0, 0, 1},
		{"4x4 stride 2 pad 1", 1, 5, 4, 8, 16, 4, 2, 1, 0, 1},
		{"3x3 stride 2 output padding", 1, 4, 4, 5, 7, 3, 2, 1, 1, 1},
		{"kernel below stride", 1, 3, 3, 4, 4, 1, 3, 0, 2, 1},
		{"groups", 1, 4, 3, 6, 9, 3, 2, 1, 0, 3},
	} {
		for _, set := range sets() {
			t.Run(fmt.Sprintf("impl=%s/%s", set.Name, c.name), func(t *testing.T) {
				oh, ow := (c.h-1)*c.s+c.k-2*c.pad+c.outPad, (c.w-1)*c.s+c.k-2*c.pad+c.outPad
				g := Geometry{N: c.n, H: oh, W: ow, IC: c.oc, OC: c.ic, KH: c.k, KW: c.k, StrideH: c.s, StrideW: c.s,
					PadT: c.pad, PadL: c.pad, PadB: c.pad, PadR: c.pad, Groups: c.groups}
				k := newWork(t, g, Options{Kernels: set})
				if g.OutH() != c.h || g.OutW() != c.w {
					t.Fatalf("the convolution maps to %dx%d, want %dx%d", g.OutH(), g.OutW(), c.h, c.w)
				}
				k.run(ascending, Fusion{})
				x, w := k.dy.s, k.w.s // the roles swap; w is [ic, oc/groups, k, k]
				want := make([]sum, c.n*oh*ow*c.oc)
				bias := random(rand.New(rand.NewPCG(3, 3)), c.oc).s
				for i := range want {
					want[i].add(bias[i%c.oc], 1)
				}
				icg, ocg := c.ic/c.groups, c.oc/c.groups
				for n := range c.n {
					for h := range c.h {
						for v := range c.w {
							for i := range c.ic {
								for kh := range c.k {
									for kw := range c.k {
										a, b := h*c.s+kh-c.pad, v*c.s+kw-c.pad
										if a < 0 || a >= oh || b < 0 || b >= ow {
											continue
										}
										for o := range ocg {
											want[((n*oh+a)*ow+b)*c.oc+i/icg*ocg+o].add(x[((n*c.h+h)*c.w+v)*c.ic+i], w[((i*ocg+o)*c.k+kh)*c.k+kw])
										}
									}
								}
							}
						}
					}
				}
				for i := range k.s.BackwardDataTasks {
					k.p.BackwardData(i, k.scratchD.s, x, k.wpt.s, Fusion{Bias: bias}, k.dx.s)
				}
				compare(t, "y", k.dx.s, want)
			})
		}
	}
}

func TestPlan_allocations(t *testing.T) {
	for _, set := range sets() {
		k := newWork(t, geometries[0].g, Options{Kernels: set, BiasGrad: true})
		bias := k.bias.s
		if n := testing.AllocsPerRun(3, func() {
			k.p.PackForward(0, k.wp.s, k.w.s)
			k.p.PackBackward(0, k.wpt.s, k.w.s)
			k.p.Forward(0, k.scratchF.s, k.x.s, k.wp.s, ReLU(bias), k.y.s)
			k.p.BackwardData(0, k.scratchD.s, k.dy.s, k.wpt.s, Fusion{}, k.dx.s)
			k.p.BackwardWeights(0, k.scratchW.s, k.x.s, k.dy.s, k.parts.s)
			k.p.ReduceWeights(0, k.parts.s, k.dw.s, k.db.s)
		}); n != 0 {
			t.Errorf("impl=%s: got %v allocations per run, want 0", set.Name, n)
		}
	}
}

func TestGeometry_Validate(t *testing.T) {
	ok := Geometry{N: 1, H: 4, W: 4, IC: 4, OC: 4, KH: 3, KW: 3}
	for _, c := range []struct {
		name string
		edit func(*Geometry)
		want string
	}{
		{"fits", func(g *Geometry) {}, ""},
		{"channels", func(g *Geometry) { g.IC = 0; g.OC = -1 }, "got IC 0, want 1 to 2³¹-1\ngot OC -1"},
		{"groups", func(g *Geometry) { g.Groups = 3 }, "multiples of 3 groups"},
		{"kernel", func(g *Geometry) { g.KH = 5 }, "does not fit into 4x4"},
		{"memory", func(g *Geometry) { g.N, g.IC, g.OC = 1<<31-1, 1<<30, 1<<30 }, "does not fit into memory"},
		{"stride", func(g *Geometry) { g.StrideH = -1 }, "got StrideH -1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := ok
			c.edit(&g)
			_, err := New(g, Options{})
			if got := fmt.Sprint(err); c.want == "" && err != nil || !strings.Contains(got, c.want) && c.want != "" {
				t.Errorf("New: got %v, want %q", got, c.want)
			}
		})
	}
}

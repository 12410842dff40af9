package quant

import (
	"archive/zip"
	"encoding/binary"
	"encoding/json"
	"io"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/internal/testkit"
)

type array struct {
	shape []int
	data  []float32
}

var npyShape = regexp.MustCompile(`'shape': \(([0-9, ]*)\)`)

// readNpz reads the float32 arrays of an npz file.
func readNpz(t *testing.T, path string) map[string]array {
	t.Helper()
	z, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	out := map[string]array{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		head := int(binary.LittleEndian.Uint16(b[8:])) + 10 // npy version 1
		if !strings.Contains(string(b[:head]), "'<f4'") || strings.Contains(string(b[:head]), "'fortran_order': True") {
			continue
		}
		a := array{data: make([]float32, (len(b)-head)/4)}
		for s := range strings.SplitSeq(npyShape.FindStringSubmatch(string(b[:head]))[1], ",") {
			if s = strings.TrimSpace(s); s != "" {
				n, _ := strconv.Atoi(s)
				a.shape = append(a.shape, n)
			}
		}
		for i := range a.data {
			a.data[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[head+4*i:]))
		}
		out[strings.TrimSuffix(f.Name, ".npy")] = a
	}
	return out
}

// The reference's fake quantize, forward bit by bit, gradients to 1e-5 of the
// largest: per tensor, per channel in dimension 0 (weights) and 1 (activations),
// through every kernel variant and both layouts.
func TestGolden_Operators(t *testing.T) {
	var index struct {
		Cases []struct {
			Key                           string
			Level_low, Level_high, Levels int
		}
	}
	js, err := os.ReadFile(testkit.Shared(t, "data", "nncf-goldens", "qgrad", "operators.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(js, &index); err != nil {
		t.Fatal(err)
	}
	arrays := readNpz(t, testkit.Shared(t, "data", "nncf-goldens", "qgrad", "operators.npz"))
	x, g := arrays["x"], arrays["g"]
	if len(index.Cases) == 0 || len(x.data) == 0 {
		t.Fatal("no cases")
	}
	defer func(v *variant) { active = v }(active)
	for _, v := range supported() {
		for _, c := range index.Cases {
			t.Run(v.name+"/"+c.Key, func(t *testing.T) {
				active = v
				get := func(name string) []float32 { return arrays[c.Key+"|"+name].data }
				q, dx := get("q"), get("dx")
				scale := get("scale")
				symmetric := scale != nil
				var params array
				if symmetric {
					params = arrays[c.Key+"|scale"]
				} else {
					params = arrays[c.Key+"|tuned_low"]
				}
				channels := len(params.data)
				// The flat layout [outer][channel][inner].
				inner := len(x.data)
				for d, n := range params.shape {
					if n == channels && n > 1 {
						inner = 1
						for _, m := range x.shape[d+1:] {
							inner *= m
						}
					}
				}
				grid := NewGrid(make([]float32, 4*channels), channels)
				if symmetric {
					grid.Symmetric(scale, c.Level_low, c.Level_high)
				} else {
					grid.Asymmetric(get("tuned_low"), get("tuned_range"), c.Levels)
				}
				gotQ, gotDX := make([]float32, len(q)), make([]float32, len(q))
				rows := make([]Sums, len(q)/inner)
				ForwardRows(gotQ, x.data, inner, grid, 0)
				BackwardRows(gotDX, g.data, x.data, inner, grid, 0, rows)
				equalBits(t, "q", gotQ, q)
				equalBits(t, "dx", gotDX, dx)
				sums := make([]Sums, channels)
				for r, s := range rows {
					sums[r%channels].Add(s)
				}
				checkParams := func(what string, sums []Sums) {
					if symmetric {
						want, got := get("dscale"), make([]float32, channels)
						for i := range got {
							got[i] = sums[i].ScaleGrad(scale[i], c.Level_low, c.Level_high, false)
						}
						closeTo(t, what+" dscale", got, want)
						return
					}
					low, raw := make([]float32, channels), make([]float32, channels)
					for i := range low {
						low[i], raw[i] = sums[i].RangeGrad(get("input_range")[i], get("tuned_range")[i])
					}
					closeTo(t, what+" dinput_low", low, get("dinput_low"))
					closeTo(t, what+" dinput_range", raw, get("dinput_range"))
				}
				checkParams("rows", sums)

				// The same through the channels-last kernels.
				last := func(src []float32) []float32 {
					out := make([]float32, len(src))
					for i := range src {
						o, ch, in := i/(inner*channels), i/inner%channels, i%inner
						out[(o*inner+in)*channels+ch] = src[i]
					}
					return out
				}
				xl, gl := last(x.data), last(g.data)
				part := make([]float32, SumsLen(channels))
				Forward(gotQ, xl, grid)
				Backward(gotDX, gl, xl, grid, part)
				equalBits(t, "channels-last q", gotQ, last(q))
				equalBits(t, "channels-last dx", gotDX, last(dx))
				Fold(sums, part, channels)
				checkParams("channels-last", sums)
			})
		}
	}
}

// Tune with the reference's rule gives the reference's ranges.
func TestGolden_Tune(t *testing.T) {
	arrays := readNpz(t, testkit.Shared(t, "data", "nncf-goldens", "qgrad", "operators.npz"))
	n := 0
	for key, a := range arrays {
		name, ok := strings.CutSuffix(key, "|tuned_low")
		if !ok {
			continue
		}
		bits, err := strconv.Atoi(name[strings.LastIndexByte(name, '|')+1:])
		if err != nil {
			t.Fatal(err)
		}
		low, width, want := arrays[name+"|input_low"].data, arrays[name+"|input_range"].data, arrays[name+"|tuned_range"].data
		for i := range low {
			l, w := Tune(low[i], width[i], 1<<bits, true)
			if math.Abs(float64(l-a.data[i])) > 1e-6*float64(want[i]) || math.Abs(float64(w-want[i])) > 1e-6*float64(want[i]) {
				t.Errorf("%s: Tune(%v, %v) = %v, %v, want %v, %v", name, low[i], width[i], l, w, a.data[i], want[i])
			}
			n++
		}
	}
	if n == 0 {
		t.Fatal("no asymmetric cases")
	}
}

func equalBits(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	bad := 0
	for i := range want {
		if got[i] != want[i] && !(got[i] != got[i] && want[i] != want[i]) {
			if bad++; bad <= 3 {
				t.Errorf("%s[%d] = %v, want %v", what, i, got[i], want[i])
			}
		}
	}
	if bad > 3 {
		t.Errorf("%s: %d of %d differ", what, bad, len(want))
	}
}

func closeTo(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	var largest float64
	for _, v := range want {
		largest = max(largest, math.Abs(float64(v)))
	}
	for i := range want {
		if d := math.Abs(float64(got[i] - want[i])); !(d <= 1e-5*largest) {
			t.Errorf("%s[%d] = %v, want %v (largest %v)", what, i, got[i], want[i], largest)
		}
	}
}

func supported() []*variant {
	var out []*variant
	for _, v := range variants() {
		if v.supported() {
			out = append(out, v)
		}
	}
	return out
}

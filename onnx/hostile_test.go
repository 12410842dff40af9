package onnx_test

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/go-nncf/nncf/internal/onnxpb"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/onnx"
	"github.com/go-nncf/nncf/tensor"
)

// What reading one broken file may take. The memory counts everything allocated,
// garbage included.
const (
	hostileTime       = 3 * time.Second
	hostileBase       = 256 << 20
	hostileMultiplier = 100
)

// readBroken reads a file that may be broken: it must be refused with an
// *onnx.Error or give a graph that can be written.
func readBroken(t testing.TB, b []byte) *ir.Graph {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	g, err := onnx.Read(b, "")
	if d := time.Since(start); d > hostileTime {
		t.Errorf("reading %d bytes took %v", len(b), d)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > uint64(hostileBase+hostileMultiplier*len(b)) {
		t.Errorf("reading %d bytes allocated %d", len(b), used)
	}
	var e *onnx.Error
	switch {
	case err == nil:
		if err := ir.Verify(g); err != nil {
			t.Errorf("read without error, but: %v", err)
		}
		var out bytes.Buffer
		if err := onnx.Write(&out, g, onnx.Options{}); err != nil && !errors.As(err, &e) {
			t.Errorf("write: %v", err)
		}
	case !errors.As(err, &e) || len(e.Problems) == 0 || e.Error() == "":
		t.Errorf("got %v, want an *onnx.Error", err)
	}
	return g
}

// mutate cuts, flips, overwrites or splices, mostly near the beginning, where
// the structure is.
func mutate(rng *rand.Rand, orig []byte) []byte {
	b := bytes.Clone(orig)
	at := func() int {
		if rng.IntN(2) == 0 {
			return rng.IntN(min(len(b), 4000))
		}
		return rng.IntN(len(b))
	}
	switch rng.IntN(5) {
	case 0:
		return b[:rng.IntN(len(b))]
	case 1:
		for range []int{1, 5, 50}[rng.IntN(3)] {
			b[at()] ^= 1 << rng.IntN(8)
		}
	case 2:
		for range 3 {
			b[at()] = []byte{0, 1, 127, 128, 255}[rng.IntN(5)]
		}
	case 3:
		noise := make([]byte, 1+rng.IntN(64))
		for i := range noise {
			noise[i] = byte(rng.Uint32())
		}
		return slices.Insert(b, at(), noise...)
	case 4:
		i, j := at(), at()
		piece := bytes.Clone(b[min(i, j):max(i, j)])
		return slices.Insert(b, at(), piece...)
	}
	return b
}

// TestRead_BrokenVectors breaks small models with every operator.
func TestRead_BrokenVectors(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	vectors := readVectors(t, vectorFile)
	for i := range rounds(6000) {
		v := vectors[i%len(vectors)]
		readOrPrint(t, v.name, mutate(rng, v.model))
	}
}

// TestRead_BrokenModels breaks real models.
func TestRead_BrokenModels(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 0))
	for _, file := range sharedModels(t) {
		orig, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if len(orig) > 1<<20 {
			continue
		}
		for range rounds(40) {
			readOrPrint(t, filepath.Base(file), mutate(rng, orig))
		}
	}
}

// distort changes what a model says while it stays a well-formed message: axes,
// element types, attributes, and which names go where.
func distort(rng *rand.Rand, m *onnxpb.Model) {
	g := m.Graph
	number := func() int64 {
		return []int64{-1, 0, 1, 2, 3, 7, -2, 1 << 31, 1 << 40, 1 << 62, -1 << 63, 1<<63 - 1}[rng.IntN(12)]
	}
	n := g.Nodes[rng.IntN(len(g.Nodes))]
	switch rng.IntN(9) {
	case 0: // an axis or the type of a border value
		list := append(slices.Clone(g.Inputs), g.Outputs...)
		t := list[rng.IntN(len(list))].Type.Tensor
		if t == nil {
			return
		}
		switch {
		case rng.IntN(4) == 0:
			t.ElemType = onnxpb.DataType(rng.IntN(24))
		case t.Shape == nil || rng.IntN(3) == 0:
			t.Shape = &onnxpb.Shape{Dims: make([]onnxpb.Dim, rng.IntN(6))}
		case len(t.Shape.Dims) > 0:
			d := &t.Shape.Dims[rng.IntN(len(t.Shape.Dims))]
			*d = onnxpb.Dim{Value: number(), HasValue: true}
			if rng.IntN(3) == 0 {
				*d = onnxpb.Dim{Param: "N"}
			}
		}
	case 1, 2, 3: // an attribute
		if len(n.Attributes) == 0 {
			return
		}
		a := n.Attributes[rng.IntN(len(n.Attributes))]
		switch rng.IntN(4) {
		case 0:
			a.I, a.F = number(), float32(math.NaN())
			if len(a.Ints) > 0 {
				a.Ints[rng.IntN(len(a.Ints))] = number()
			}
		case 1:
			a.Ints = append(a.Ints, number())
			a.S = append(a.S, 'x')
		case 2:
			a.Ints, a.S, a.T = nil, nil, nil
		case 3:
			a.Type = onnxpb.AttributeType(rng.IntN(15))
		}
	case 4: // another value as input, or none
		if len(n.Inputs) > 0 {
			n.Inputs[rng.IntN(len(n.Inputs))] = anyName(rng, g)
		}
	case 5:
		n.Inputs = append(n.Inputs, anyName(rng, g))
	case 6:
		if len(n.Inputs) > 0 {
			n.Inputs = n.Inputs[:rng.IntN(len(n.Inputs))]
		}
	case 7: // a constant instead of an input
		in := rng.IntN(len(n.Inputs) + 1)
		c := &onnxpb.Tensor{Name: "made", DataType: onnxpb.DataInt64, Dims: []int64{0}}
		for range rng.IntN(5) {
			c.Int64Data = append(c.Int64Data, number())
			c.Dims[0]++
		}
		if len(c.Int64Data) == 1 && rng.IntN(2) == 0 {
			c.Dims = nil
		}
		g.Initializers = append(g.Initializers, c)
		if in < len(n.Inputs) {
			n.Inputs[in] = c.Name
		} else {
			n.Inputs = append(n.Inputs, c.Name)
		}
	case 8:
		if rng.IntN(2) == 0 {
			n.Outputs = append(n.Outputs, "extra")
		} else {
			m.OpsetImport[0].Version = int64(rng.IntN(26))
		}
	}
}

func anyName(rng *rand.Rand, g *onnxpb.Graph) string {
	names := []string{"", "nowhere"}
	for _, v := range g.Inputs {
		names = append(names, v.Name)
	}
	for _, t := range g.Initializers {
		names = append(names, t.Name)
	}
	for _, n := range g.Nodes {
		names = append(names, n.Outputs...)
	}
	return names[rng.IntN(len(names))]
}

// TestRead_DistortedVectors gives every operator inputs and attributes that do
// not fit.
func TestRead_DistortedVectors(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 0))
	vectors := readVectors(t, vectorFile)
	for i := range rounds(5000) {
		v := vectors[i%len(vectors)]
		m, err := onnxpb.DecodeModel(v.model)
		if err != nil {
			t.Fatal(err)
		}
		for range 1 + rng.IntN(3) {
			distort(rng, m)
		}
		var b bytes.Buffer
		if err := m.Encode(&b); err != nil {
			t.Fatal(err)
		}
		readOrPrint(t, v.name, b.Bytes())
	}
}

// rounds is a tenth of n in short tests.
func rounds(n int) int {
	if testing.Short() {
		return n / 10
	}
	return n
}

// readOrPrint is readBroken that also evaluates what could be read, right or with
// an error, and keeps the input of a panic.
func readOrPrint(t *testing.T, name string, b []byte) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			stack := make([]byte, 4096)
			stack = stack[:runtime.Stack(stack, false)]
			t.Errorf("%s: panic: %v\ninput %x\n%s", name, p, b[:min(len(b), 2000)], stack)
		}
	}()
	g := readBroken(t, b)
	if g == nil || len(g.Nodes()) > 10 {
		return
	}
	if in, ok := zeroInputs(g); ok {
		ir.Eval(t.Context(), g, in) // an error is as good as a result
	}
}

// zeroInputs makes inputs of the declared types, 2 for symbolic axes, unless
// they are large.
func zeroInputs(g *ir.Graph) ([]*tensor.Tensor, bool) {
	var list []*tensor.Tensor
	for _, v := range g.Inputs {
		shape := make(tensor.Shape, v.Type.Rank())
		for i, d := range v.Type.Dims {
			shape[i] = 2
			if n, ok := d.Known(); ok {
				shape[i] = n
			}
		}
		if shape.Check() != nil || shape.Numel() > 1<<20 {
			return nil, false
		}
		list = append(list, tensor.New(v.Type.DType, shape...))
	}
	return list, true
}

func FuzzRead(f *testing.F) {
	for _, v := range readVectors(f, vectorFile) {
		if len(v.model) < 500 {
			f.Add(v.model)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) { readBroken(t, b) })
}

// TestEval_Defects has the models that once made the reference evaluation panic
// or ask for all memory.
func TestEval_Defects(t *testing.T) {
	ints := func(name string, v ...int64) *onnxpb.Tensor {
		return &onnxpb.Tensor{Name: name, DataType: onnxpb.DataInt64, Dims: []int64{int64(len(v))}, Int64Data: v}
	}
	for _, c := range []struct {
		name     string
		node     *onnxpb.Node
		constant []*onnxpb.Tensor
		elem     onnxpb.DataType
		dims     []onnxpb.Dim
		works    bool
	}{
		{"one-hot index beyond every integer", &onnxpb.Node{OpType: "OneHot", Inputs: []string{"big", "depth", "x"}},
			[]*onnxpb.Tensor{ints("big", math.MaxInt64), ints("depth", 3)}, onnxpb.DataFloat, []onnxpb.Dim{{Value: 2, HasValue: true}}, true},
		{"resize to nothing by a long axis", &onnxpb.Node{OpType: "Resize", Inputs: []string{"x", "", "", "sizes"}},
			[]*onnxpb.Tensor{ints("sizes", 0, 1<<31)}, onnxpb.DataFloat, []onnxpb.Dim{{Value: 2, HasValue: true}, {Value: 2, HasValue: true}}, false},
		{"convolution of too few channels", &onnxpb.Node{OpType: "ConvInteger", Inputs: []string{"x", "w"}},
			[]*onnxpb.Tensor{{Name: "w", DataType: onnxpb.DataUint8, Dims: []int64{1, 5, 1, 1}, RawData: make([]byte, 5)}},
			onnxpb.DataUint8, make([]onnxpb.Dim, 4), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.node.Outputs = []string{"y"}
			m := &onnxpb.Model{IRVersion: 8, OpsetImport: []onnxpb.OperatorSet{{Version: 17}}, Graph: &onnxpb.Graph{
				Nodes: []*onnxpb.Node{c.node}, Initializers: c.constant,
				Inputs:  []*onnxpb.ValueInfo{{Name: "x", Type: &onnxpb.Type{Tensor: &onnxpb.TensorType{ElemType: c.elem, Shape: &onnxpb.Shape{Dims: c.dims}}}}},
				Outputs: []*onnxpb.ValueInfo{{Name: "y"}},
			}}
			var b bytes.Buffer
			if err := m.Encode(&b); err != nil {
				t.Fatal(err)
			}
			g, err := onnx.Read(b.Bytes(), "")
			if err != nil {
				t.Fatalf("refused before evaluation: %v", err)
			}
			in, ok := zeroInputs(g)
			if !ok {
				t.Fatal("no inputs")
			}
			if out, err := ir.Eval(t.Context(), g, in); (err == nil) != c.works {
				t.Errorf("got %v, %v, want a result: %v", out, err, c.works)
			}
		})
	}
}

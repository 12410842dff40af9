package cli_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/internal/cli"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/onnx"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
	"github.com/go-nncf/nncf/zoo"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"nncf": func() { os.Exit(cli.Main(os.Args[1:], cli.IO{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})) },
	})
}

// TestScript runs the sessions of testdata/script. Each starts in a folder with
//
//	model.onnx  a residual network of 4 channels for grey 8×8 images, 2 classes
//	map.onnx    a convolution: scores of 3 classes for each pixel of such images
//	data.npz    48 such images: the classes are dark and bright
//	x.npy       a batch of two inputs
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error {
			for name, b := range tiny() {
				if err := os.WriteFile(filepath.Join(e.WorkDir, name), b, 0o644); err != nil {
					return err
				}
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exit": exit, "has": has, "await": await},
	})
}

// exit runs nncf and wants the given exit code: exit CODE ARG…
func exit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: exit CODE ARG…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec("nncf", args[1:]...); err != nil {
		var status *exec.ExitError
		if !errors.As(err, &status) {
			ts.Fatalf("%v", err)
		}
		got = status.ExitCode()
	}
	if got != want {
		ts.Fatalf("nncf %s: got exit code %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// await waits until a file is there: await FILE.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await FILE")
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
	}
	ts.Fatalf("%s is still not there after a minute", args[0])
}

// has wants stdout to be one JSON object that has, or with ! lacks, keys:
// has KEY[.KEY]…; a key of a list is an index.
func has(ts *testscript.TestScript, neg bool, args []string) {
	d := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		ts.Fatalf("stdout is not a JSON object: %v", err)
	}
	if d.More() {
		ts.Fatalf("stdout has more than a JSON object")
	}
	for _, key := range args {
		if _, ok := find(v, strings.Split(key, ".")); ok == neg {
			ts.Fatalf("key %s: got present %v, want %v", key, ok, !neg)
		}
	}
}

func find(v any, path []string) (any, bool) {
	if len(path) == 0 {
		return v, true
	}
	switch x := v.(type) {
	case map[string]any:
		if c, ok := x[path[0]]; ok {
			return find(c, path[1:])
		}
	case []any:
		if i, err := strconv.Atoi(path[0]); err == nil && i < len(x) {
			return find(x[i], path[1:])
		}
	}
	return nil, false
}

// tiny makes the files of the sessions.
var tiny = sync.OnceValue(func() map[string][]byte {
	g, err := zoo.Build("resnet8_cifar", zoo.Options{Classes: 2, Channels: 1, Size: 8, Width: 4, Seed: 1})
	if err != nil {
		panic(err)
	}
	written := func(g *ir.Graph) []byte {
		var b bytes.Buffer
		if err := onnx.Write(&b, g, onnx.Options{}); err != nil {
			panic(err)
		}
		return b.Bytes()
	}
	m := ir.New("map")
	b := ir.NewBuilder(m, "map")
	w := m.AddStored(ir.Constant, "w", tensor.From([]float32{-1, 0, 1}, 3, 1, 1, 1))
	m.Outputs = []*ir.Value{b.Op(op.Conv{}, "scores", m.AddInput("input", ir.Type{DType: tensor.Float32, Dims: []ir.Dim{{Sym: "N"}, {N: 1}, {N: 8}, {N: 8}}}), w)}
	if err := b.Err(); err != nil {
		panic(err)
	}
	const n, pixels = 48, 64
	images, labels := make([]uint8, n*pixels), make([]int64, n)
	state := uint32(1)
	for i := range images {
		state = state*1664525 + 1013904223
		labels[i/pixels] = int64(i / pixels % 2)
		images[i] = uint8(state>>26) + uint8(160*(i/pixels%2))
	}
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	for name, t := range map[string]*tensor.Tensor{"images.npy": tensor.From(images, n, 8, 8, 1), "labels.npy": tensor.From(labels, n)} {
		w, err := z.Create(name)
		if err == nil {
			err = data.WriteNPY(w, t)
		}
		if err != nil {
			panic(err)
		}
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	var x bytes.Buffer
	if err := data.WriteNPY(&x, tensor.New(tensor.Float32, 2, 1, 8, 8)); err != nil {
		panic(err)
	}
	return map[string][]byte{"model.onnx": written(g), "map.onnx": written(m), "data.npz": archive.Bytes(), "x.npy": x.Bytes()}
})

package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/engine/native"
	"github.com/go-nncf/nncf/internal/atomicfile"
	"github.com/go-nncf/nncf/internal/runtimes"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/onnx"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/tensor"
)

type runCmd struct {
	Model     string   `arg:"" help:"ONNX file."`
	Input     []string `help:"Input as NAME=FILE, a .npy file or an ONNX TensorProto (.pb); once per input." placeholder:"NAME=FILE" sep:"none"`
	Output    string   `required:"" help:"Folder for the outputs, one NAME.npy each." placeholder:"DIR"`
	Reference bool     `help:"Compute with the reference evaluator of each operator."`
	runtimeFlags
}

func (runCmd) Help() string {
	return `Output files are named like the model's outputs; characters that file names do
not bear become _.

Examples:
  nncf run model.onnx --input input=x.npy --output out
  nncf run model.onnx --input a=a.pb --input b=b.pb --output out --reference
  nncf run int8.onnx --input input=x.npy --output out --runtime openvino`
}

func (c *runCmd) Run(s *session) error {
	g, err := onnx.Load(c.Model)
	if err != nil {
		return err
	}
	inputs, err := c.read(g)
	if err != nil {
		return err
	}
	var out []*tensor.Tensor
	switch {
	case !c.foreign():
		out, err = execute(s.ctx, g, inputs, s.Threads, c.Reference)
	case c.Reference:
		return usagef("--reference: the evaluators are this program's, not those of --runtime %s", c.Runtime)
	default:
		out, err = c.executeIn(g, inputs, s.Threads)
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.Output, 0o755); err != nil {
		return err
	}
	for i, v := range g.Outputs {
		var buf bytes.Buffer
		if err := data.WriteNPY(&buf, out[i]); err != nil {
			return fmt.Errorf("output %q: %w", v.Name, err)
		}
		if err := atomicfile.WriteBytes(filepath.Join(c.Output, fileName(v.Name)+".npy"), buf.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// fileName replaces what file names do not bear.
func fileName(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || strings.ContainsRune(`/\:*?"<>|`, r) {
			return '_'
		}
		return r
	}, s)
}

// read loads the inputs of g, in order; all problems together.
func (c *runCmd) read(g *ir.Graph) ([]*tensor.Tensor, error) {
	files := map[string]string{}
	var errs []error
	for _, arg := range c.Input {
		i := strings.LastIndex(arg, "=") // names may contain =, our files do not
		if i <= 0 || i == len(arg)-1 {
			return nil, usagef("--input %q: want NAME=FILE", arg)
		}
		files[arg[:i]] = arg[i+1:]
	}
	list := make([]*tensor.Tensor, len(g.Inputs))
	for i, v := range g.Inputs {
		path, ok := files[v.Name]
		if !ok {
			errs = append(errs, fmt.Errorf("input %q (%v) is missing: give --input %s=FILE", v.Name, v.Type, v.Name))
			continue
		}
		delete(files, v.Name)
		t, err := readTensor(path)
		if err != nil {
			errs = append(errs, fmt.Errorf("input %q: %s: %w", v.Name, path, err))
		}
		list[i] = t
	}
	for _, arg := range c.Input {
		if name := arg[:strings.LastIndex(arg, "=")]; files[name] != "" {
			errs = append(errs, fmt.Errorf("the model has no input %q", name))
		}
	}
	return list, errors.Join(errs...)
}

func readTensor(path string) (*tensor.Tensor, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if strings.EqualFold(filepath.Ext(path), ".npy") {
		return data.ReadNPY(bytes.NewReader(b))
	}
	_, t, err := onnx.ReadTensor(b)
	return t, err
}

// execute runs g on the native engine, or by the reference evaluators if asked
// to or if types depend on data.
func execute(ctx context.Context, g *ir.Graph, inputs []*tensor.Tensor, threads int, reference bool) ([]*tensor.Tensor, error) {
	if reference {
		return ir.Eval(ctx, g, inputs)
	}
	c := g.Clone()
	if err := pass.Canonicalize(c, nil); err != nil {
		return nil, err
	}
	shapes := map[string][]int{}
	for i, v := range c.Inputs {
		shapes[v.Name] = inputs[i].Shape()
	}
	sp, err := c.Specialize(shapes)
	if err != nil {
		return nil, err
	}
	if !static(sp) {
		return ir.Eval(ctx, g, inputs)
	}
	p, err := native.Backend{}.Compile(ctx, sp, engine.Options{Threads: threads})
	if err != nil {
		return nil, err
	}
	defer p.Close()
	for i, t := range inputs {
		if p.Input(i).DType() != t.DType() {
			return nil, fmt.Errorf("input %q: got %v, want %v", sp.Inputs[i].Name, t, sp.Inputs[i].Type)
		}
		p.Input(i).CopyFrom(t)
	}
	if err := p.Run(ctx); err != nil {
		return nil, err
	}
	out := make([]*tensor.Tensor, len(sp.Outputs))
	for i := range out {
		out[i] = p.Output(i).Clone()
	}
	return out, nil
}

// executeIn runs the file in the chosen library.
func (c *runCmd) executeIn(g *ir.Graph, inputs []*tensor.Tensor, threads int) ([]*tensor.Tensor, error) {
	f, err := c.open(c.Model, threads, runtimes.Options{})
	if err != nil {
		return nil, err
	}
	defer f.Close()
	feed := map[string]*tensor.Tensor{}
	for i, v := range g.Inputs {
		feed[v.Name] = inputs[i]
	}
	got, err := f.Run(feed)
	if err != nil {
		return nil, err
	}
	out := make([]*tensor.Tensor, len(g.Outputs))
	for i, v := range g.Outputs {
		if out[i] = got[v.Name]; out[i] == nil && i < len(f.Outputs()) {
			out[i] = got[f.Outputs()[i].Name] // libraries may rename outputs
		}
		if out[i] == nil {
			return nil, fmt.Errorf("%s gives no output %q", c.Runtime, v.Name)
		}
	}
	return out, nil
}

// static reports whether all types of the graph are known, and hold no strings.
func static(g *ir.Graph) bool {
	for _, n := range g.Nodes() {
		for _, v := range n.Out {
			if v == nil {
				continue
			}
			if _, ok := v.Type.Shape(); !ok || v.Type.DType == tensor.String {
				return false
			}
		}
	}
	return true
}

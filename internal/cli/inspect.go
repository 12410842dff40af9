package cli

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/train"
	"github.com/go-nncf/nncf/zoo"
)

type inspectCmd struct {
	Model      string `arg:"" help:"ONNX file, or the name of a built-in network."`
	Text       bool   `help:"Print the graph as text, a line for each value and node." xor:"form"`
	DOT        bool   `name:"dot" help:"Print the graph for Graphviz." xor:"form"`
	Quantizers bool   `help:"List the quantizers that the configuration's compression puts in, each with the rule that put it there, and the operators left in float, with the reason." xor:"form"`
	Config     string `help:"Configuration whose compression section is applied first; --quantizers alone takes the default INT8." placeholder:"FILE"`
	Samples    int    `help:"Calibration samples of --dataset, which initialises the ranges." default:"300" placeholder:"N"`
	planFlags
	pruningFlags
	sensitivityFlags
	sparsityFlags
	compressionFlags
	precisionFlags
	binarizationFlags
	dataFlags
}

func (inspectCmd) Help() string {
	return `Shows inputs, outputs, operators, parameters and multiply-accumulates.

Examples:
  nncf inspect model.onnx
  nncf inspect model.onnx --json
  nncf inspect model.onnx --plan --train --plan-batch 32
  nncf inspect model.onnx --dot | dot -Tsvg > model.svg
  nncf inspect model.onnx --config int8.json --text
  nncf inspect model.onnx --config int8.json --quantizers
  nncf inspect model.onnx --config pruning.json --pruning
  nncf inspect model.onnx --config int8.json --quantizers --dataset imagefolder:images --json
  nncf inspect model.onnx --config sparse.json --sparsity --json
  nncf inspect model.onnx --config xnor.json --binarization
  nncf inspect runs/model.onnx --compression
  nncf inspect model.onnx --sensitivity --dataset imagefolder:images --accuracy 500
  nncf inspect model.onnx --config hawq.json --dataset cifar10:data --precision --svg front.svg
  nncf inspect model.onnx --config hawq.json --dataset cifar10:data --precision --ratio 1.8 --cost bytes --json`
}

// description is what inspect reports.
type description struct {
	Model      string           `json:"model"`
	Producer   string           `json:"producer,omitempty"`
	Opset      int              `json:"opset"`
	Inputs     []port           `json:"inputs"`
	Outputs    []port           `json:"outputs"`
	Nodes      int              `json:"nodes"`
	Operators  []count          `json:"operators"`
	Parameters int64            `json:"parameters"` // trainable elements
	Constants  int64            `json:"constants"`  // elements of constants: integer weights, indices
	Bytes      int64            `json:"stored_bytes"`
	MACs       int64            `json:"macs,omitempty"` // for one sample, if the shapes are known then
	Import     []rewrite.Change `json:"import,omitempty"`
}

type port struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

type count struct {
	Operator string `json:"operator"`
	Count    int    `json:"count"`
}

func (c *inspectCmd) Run(s *session) error {
	if c.Samples < 1 {
		return usagef("--samples: got %d, want 1 or more", c.Samples)
	}
	if c.Dataset != "" && !c.Quantizers && !c.Sensitivity && c.Config == "" {
		return usagef("--dataset: the ranges it initialises are those of --quantizers, --sensitivity or --config")
	}
	if err := c.dataFlags.check(); err != nil {
		return err
	}
	if err := c.planFlags.check(); err != nil {
		return err
	}
	if err := c.sensitivityFlags.check(c.Dataset, c.Config); err != nil {
		return err
	}
	if err := c.sparsityFlags.check(); err != nil {
		return err
	}
	if err := c.precisionFlags.check(c.Config); err != nil {
		return err
	}
	if c.Precision {
		return c.precision(s)
	}
	if c.Sensitivity {
		return c.sensitivity(s)
	}
	if c.Pruning && c.Config == "" {
		return usagef("--pruning: add --config FILE, whose compression section says what to prune")
	}
	if err := c.binarizationFlags.check(c.Config); err != nil {
		return err
	}
	m, err := loadModel(c.Model)
	if err != nil {
		return err
	}
	if c.Compression {
		return s.printCompression(c.Model, m)
	}
	if c.Sparsity && c.Config == "" {
		return c.sparsity(s, c.Model, m, nil)
	}
	var hook train.Hook
	if c.Quantizers || c.Config != "" {
		k, err := c.compress(s, m)
		if err != nil {
			return err
		}
		if c.Pruning {
			return s.printPruning(c.Model, k)
		}
		if c.Binarization {
			return s.printBinarization(c.Model, k)
		}
		if c.Quantizers {
			return s.printQuantizers(c.Model, k, c.Dataset != "")
		}
		if c.Sparsity {
			return c.sparsity(s, c.Model, m, k)
		}
		m, hook = &nncf.Model{Graph: k.Graph, Trace: k.Trace}, k
	}
	switch {
	case c.Plan:
		return c.plan(s, c.Model, m, hook)
	case c.Text:
		text, err := ir.Print(m.Graph)
		if err != nil {
			return err
		}
		return s.printText("text", text)
	case c.DOT:
		return s.printText("dot", ir.DOT(m.Graph))
	}
	d := describe(m)
	d.Model = c.Model
	if s.JSON {
		return s.printJSON(d)
	}
	return d.table(s.Out)
}

// loadModel loads an ONNX file or builds a network of package zoo.
func loadModel(name string) (*nncf.Model, error) {
	if zoo.Known(name) {
		return nncf.Build(name, zoo.Options{})
	}
	return nncf.Load(name)
}

// compress applies the compression of the configuration, and initialises it if
// there is a data set.
func (c *inspectCmd) compress(s *session, m *nncf.Model) (*nncf.Compressed, error) {
	cfg, algorithms, err := compression(c.Config)
	if err != nil {
		return nil, err
	}
	o := nncf.CompressOptions{Threads: s.Threads, Logger: s.log}
	if c.Dataset != "" {
		l, err := c.loader(cfg, data.Train, 0, true)
		if err != nil {
			return nil, err
		}
		all := nncf.Calibration(s.ctx, l)
		o.Calibration.Batches = func(n int) compress.Batches { return all.Batches(min(n, c.Samples)) }
	}
	return nncf.Compress(s.ctx, m, algorithms, o)
}

// printText writes a text, as the only key of an object with --json.
func (s *session) printText(key, text string) error {
	if s.JSON {
		return s.printJSON(map[string]string{key: text})
	}
	_, err := io.WriteString(s.Out, text)
	return err
}

// table writes the description for people.
func (d description) table(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "model\t%s", d.Model)
	if d.Opset > 0 {
		fmt.Fprintf(w, " (opset %d, %s)", d.Opset, cmp.Or(d.Producer, "unknown producer"))
	}
	fmt.Fprintln(w)
	for _, p := range d.Inputs {
		fmt.Fprintf(w, "input\t%s\t%s\n", p.Name, p.Type)
	}
	for _, p := range d.Outputs {
		fmt.Fprintf(w, "output\t%s\t%s\n", p.Name, p.Type)
	}
	fmt.Fprintf(w, "parameters\t%d\n", d.Parameters)
	if d.Constants > 0 {
		fmt.Fprintf(w, "constants\t%d\n", d.Constants)
	}
	fmt.Fprintf(w, "stored\t%d bytes\n", d.Bytes)
	if d.MACs > 0 {
		fmt.Fprintf(w, "MACs\t%d\n", d.MACs)
	}
	fmt.Fprintf(w, "nodes\t%d\n", d.Nodes)
	for _, o := range d.Operators {
		fmt.Fprintf(w, "\t%s\t%d\n", o.Operator, o.Count)
	}
	return w.Flush()
}

func describe(m *nncf.Model) description {
	g := m.Graph
	d := description{Producer: g.Meta.Producer, Opset: g.Meta.Opset, Nodes: len(g.Nodes()), Import: m.Trace.Changes}
	for _, v := range g.Inputs {
		d.Inputs = append(d.Inputs, port{v.Name, v.Type.String()})
	}
	for _, v := range g.Outputs {
		d.Outputs = append(d.Outputs, port{v.Name, v.Type.String()})
	}
	for _, v := range g.Stored() {
		n := int64(v.Data.Len())
		switch v.Kind {
		case ir.Parameter:
			d.Parameters += n
		case ir.Constant:
			d.Constants += n
		}
		d.Bytes += int64(v.Data.DType().Bytes(int(n)))
	}
	for _, n := range g.Nodes() {
		i := slices.IndexFunc(d.Operators, func(c count) bool { return c.Operator == n.Op.Kind() })
		if i < 0 {
			d.Operators = append(d.Operators, count{n.Op.Kind(), 1})
			continue
		}
		d.Operators[i].Count++
	}
	slices.SortStableFunc(d.Operators, func(a, b count) int { return cmp.Compare(b.Count, a.Count) })
	d.MACs = macs(g)
	return d
}

// macs counts the multiply-accumulates of one sample, 0 if shapes stay unknown.
func macs(g *ir.Graph) int64 {
	shapes := map[string][]int{}
	for _, v := range g.Inputs {
		var s []int
		for i, d := range v.Type.Dims {
			n, ok := d.Known()
			if !ok && i > 0 {
				return 0
			}
			if !ok {
				n = 1
			}
			s = append(s, n)
		}
		shapes[v.Name] = s
	}
	sp, err := g.Specialize(shapes)
	if err != nil || !static(sp) {
		return 0
	}
	total := int64(0)
	for _, n := range sp.Nodes() {
		if k, ok := n.Op.(ir.Costed); ok {
			total += k.Cost(n).MACs
		}
	}
	return total
}

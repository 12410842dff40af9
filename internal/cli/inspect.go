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
	"github.com/go-nncf/nncf/job"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/zoo"
)

type inspectCmd struct {
	Model   string `arg:"" help:"ONNX file, or the name of a built-in network."`
	Config  string `help:"Configuration whose compression section is applied first; --quantizers and --sensitivity alone take the default INT8." placeholder:"FILE"`
	Samples int    `help:"Calibration samples of --dataset, which initialises the ranges." default:"300" placeholder:"N"`

	Text bool `help:"Print the graph as text, a line for each value and node." xor:"form" group:"graph"`
	DOT  bool `name:"dot" help:"Print the graph for Graphviz." xor:"form" group:"graph"`
	planFlags

	quantizersFlags
	sensitivityFlags
	precisionFlags
	binarizationFlags
	sparsityFlags
	pruningFlags
	compressionFlags
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

// inspectView is a report that a flag chooses. A new one is a file with its
// flags and its run, a field of inspectCmd and a row of views.
type inspectView struct {
	flag   string
	chosen bool
	config bool // --config is needed
	data   bool // --dataset is needed, or a --config that may name one
	run    func(*session) error
}

func (c *inspectCmd) views() []inspectView {
	return []inspectView{
		{flag: "text", chosen: c.Text, run: c.text},
		{flag: "dot", chosen: c.DOT, run: c.dot},
		{flag: "plan", chosen: c.Plan, run: c.plan},
		{flag: "quantizers", chosen: c.Quantizers, run: c.quantizers},
		{flag: "sensitivity", chosen: c.Sensitivity, data: true, run: c.sensitivity},
		{flag: "precision", chosen: c.Precision, config: true, run: c.precision},
		{flag: "binarization", chosen: c.Binarization, config: true, run: c.binarization},
		{flag: "sparsity", chosen: c.Sparsity, run: c.sparsity},
		{flag: "pruning", chosen: c.Pruning, config: true, run: c.pruning},
		{flag: "compression", chosen: c.Compression, run: c.compression},
		{chosen: true, run: c.summary},
	}
}

func (c *inspectCmd) Run(s *session) error {
	for _, check := range []func() error{c.dataFlags.check, c.planFlags.check, c.sensitivityFlags.check, c.sparsityFlags.check, c.precisionFlags.check} {
		if err := check(); err != nil {
			return err
		}
	}
	views := c.views()
	v := views[slices.IndexFunc(views, func(v inspectView) bool { return v.chosen })]
	switch {
	case c.Samples < 1:
		return usagef("--samples: got %d, want 1 or more", c.Samples)
	case v.config && c.Config == "":
		return usagef("--%s: add --config FILE, whose compression section it is about", v.flag)
	case v.data && c.Dataset == "" && c.Config == "":
		return usagef("--%s: add --dataset KIND:PATH, it measures on data", v.flag)
	case c.Dataset != "" && !c.Quantizers && !v.data && c.Config == "":
		return usagef("--dataset: the ranges it initialises are those of --quantizers, --sensitivity or --config")
	}
	return v.run(s)
}

// subject is what a report is about: the model, and its compressed form k if
// there is a configuration.
func (c *inspectCmd) subject(s *session) (m *nncf.Model, k *nncf.Compressed, err error) {
	if m, err = loadModel(c.Model); err != nil || c.Config == "" {
		return m, nil, err
	}
	if k, err = c.compress(s, m); err != nil {
		return nil, nil, err
	}
	return &nncf.Model{Graph: k.Graph, Trace: k.Trace}, k, nil
}

// compressed applies the configuration, or the default INT8.
func (c *inspectCmd) compressed(s *session) (*nncf.Compressed, error) {
	m, err := loadModel(c.Model)
	if err != nil {
		return nil, err
	}
	return c.compress(s, m)
}

// controllerOf finds the controller of an algorithm in a stack.
func controllerOf[T any](k *nncf.Compressed) (found T, ok bool) {
	for _, x := range compress.All(k.Controller) {
		if c, is := x.(T); is {
			found, ok = c, true
		}
	}
	return found, ok
}

func (c *inspectCmd) text(s *session) error {
	m, _, err := c.subject(s)
	if err != nil {
		return err
	}
	text, err := ir.Print(m.Graph)
	if err != nil {
		return err
	}
	return s.printText("text", text)
}

func (c *inspectCmd) dot(s *session) error {
	m, _, err := c.subject(s)
	if err != nil {
		return err
	}
	return s.printText("dot", ir.DOT(m.Graph))
}

func (c *inspectCmd) summary(s *session) error {
	m, _, err := c.subject(s)
	if err != nil {
		return err
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
		if err := s.fit(m, l); err != nil {
			return nil, err
		}
		all := nncf.Calibration(s.ctx, l)
		o.Calibration.Batches = func(n int) compress.Batches { return all.Batches(min(n, c.Samples)) }
		o.Calibration.Progress = newProgress(s.Err).initialising
	}
	return nncf.Compress(s.ctx, m, algorithms, o)
}

// fit makes a loader serve a model, see [job.Fit].
func (s *session) fit(m *nncf.Model, l *data.Loader) error {
	return job.Fit(s.ctx, m, &job.Options{Logger: s.log, Note: newProgress(s.Err).note}, s.Threads, l)
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
	shapes, ok := g.SampleShapes()
	if !ok {
		return 0
	}
	sp, err := g.Specialize(shapes)
	if err != nil || !static(sp) {
		return 0
	}
	total := int64(0)
	for _, n := range sp.Nodes() {
		cost, _ := ir.CostOf(n)
		total += cost.MACs
	}
	return total
}

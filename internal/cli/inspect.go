package cli

import (
	"cmp"
	"fmt"
	"slices"
	"text/tabwriter"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/rewrite"
)

type inspectCmd struct {
	Model string `arg:"" help:"ONNX file." type:"path"`
}

func (inspectCmd) Help() string {
	return `Examples:
  nncf inspect model.onnx
  nncf inspect model.onnx --json`
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
	Parameters int64            `json:"parameters"`
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
	m, err := nncf.Load(c.Model)
	if err != nil {
		return err
	}
	d := describe(m)
	d.Model = c.Model
	if s.JSON {
		return s.printJSON(d)
	}
	w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "model\t%s (opset %d, %s)\n", d.Model, d.Opset, cmp.Or(d.Producer, "unknown producer"))
	for _, p := range d.Inputs {
		fmt.Fprintf(w, "input\t%s\t%s\n", p.Name, p.Type)
	}
	for _, p := range d.Outputs {
		fmt.Fprintf(w, "output\t%s\t%s\n", p.Name, p.Type)
	}
	fmt.Fprintf(w, "parameters\t%d\n", d.Parameters)
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
	for v := range g.Parameters() {
		d.Parameters += int64(v.Data.Len())
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

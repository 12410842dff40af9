package ir

import (
	"fmt"
	"strconv"
	"strings"
)

// DOT returns the graph in Graphviz's language, inputs at the top. Edges carry
// the types of values. Quantizers are orange, other nodes that a rule inserted
// have a dashed border; parameters and states are blue, constants with more than
// one element grey.
func DOT(g *Graph) string {
	var b strings.Builder
	f := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	f("digraph %s {\n\tnode [shape=box style=\"rounded,filled\" fillcolor=white]\n", strconv.Quote(g.Name))
	for _, v := range g.Inputs {
		f("\tv%d [label=%s shape=ellipse]\n", v.ID, strconv.Quote(v.Name))
	}
	for _, v := range g.stored {
		if shown(v) {
			f("\tv%d [label=%s shape=ellipse fillcolor=%s]\n", v.ID, strconv.Quote(v.Name+"\n"+v.Type.String()), storedColor(v))
		}
	}
	for _, n := range g.nodes {
		label := n.Op.Kind()
		if n.Name != "" {
			label += "\n" + n.Name
		}
		style := ""
		if strings.Contains(n.Op.Kind(), "Quantize") || strings.HasPrefix(n.Op.Kind(), "Dequantize") {
			style = " fillcolor=orange"
		}
		if n.Rule != "" {
			style += " style=\"rounded,filled,dashed\" tooltip=" + strconv.Quote("by "+n.Rule)
		}
		f("\tn%d [label=%s%s]\n", n.ID, strconv.Quote(label), style)
	}
	for _, n := range g.nodes {
		for _, v := range n.In {
			if v == nil || v.IsStored() && !shown(v) {
				continue
			}
			label := ""
			if !v.IsStored() {
				label = " [label=" + strconv.Quote(v.Type.String()) + "]"
			}
			f("\t%s -> n%d%s\n", source(v), n.ID, label)
		}
	}
	for i, v := range g.Outputs {
		f("\to%d [label=%s shape=ellipse]\n", i, strconv.Quote(v.Name))
		f("\t%s -> o%d [label=%s]\n", source(v), i, strconv.Quote(v.Type.String()))
	}
	for _, a := range g.Assigns {
		f("\t%s -> v%d [style=dotted]\n", source(a.Src), a.Dst.ID)
	}
	b.WriteString("}\n")
	return b.String()
}

// shown reports whether a stored value has a node of its own.
func shown(v *Value) bool { return v.Kind != Constant || v.Data.Len() > 1 }

func storedColor(v *Value) string {
	if v.Kind == Constant {
		return "lightgrey"
	}
	return "lightblue"
}

func source(v *Value) string {
	if v.Def != nil {
		return "n" + strconv.Itoa(v.Def.ID)
	}
	return "v" + strconv.Itoa(v.ID)
}

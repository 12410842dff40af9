// Package ir is the graph that everything else reads and rewrites: values with
// types, nodes that apply an operator to values, in a fixed topological order,
// with the operator semantics of ONNX.
//
//	Graph ── Inputs, Outputs   the model's border
//	  ├─ Values               input · constant · parameter · state · result
//	  └─ Nodes                Op (what) · In, Out (values) · Name · Rule (who put it there)
//
// The package knows no operator. Package op defines them; an operator is a
// struct of attributes that implements [Op] and any of the facets in facet.go
// (Evaluator, Differentiable, …), found by type assertion.
//
// Graphs are built with [Builder] and edited only through package rewrite,
// which labels every change. Types may contain symbolic axes ([Dim]);
// [Graph.Specialize] binds them to lengths. Walks are deterministic: nothing
// here depends on map order.
package ir

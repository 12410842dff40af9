// Package onnx reads ONNX models into graphs of package ir and writes graphs as
// ONNX models.
//
//	file ── onnxpb ── Load, Read ──▶ ir.Graph ── Save, Write ──▶ onnxpb ── file
//
// It translates faithfully and nothing more: names stay, nothing is folded,
// fused or removed (that is package pass), and what each operator's attributes
// mean at each opset is package op's business, through its table. Only these
// things change between file and graph, because the graph has one form for them:
//
//   - Initializers and Constant nodes become constants under their names. An
//     initializer that is also listed as an input is no input of the graph.
//   - Functions of the model are inlined, unless package op has the operator.
//   - Attributes of older opsets that newer ones have as inputs become constants.
//
// Every problem of a file is reported, all together, in one [*Error]: operators
// that package op does not claim, control flow, sequences and sparse tensors,
// element types that package tensor lacks, and whatever is malformed. Reading is
// safe on hostile files: work and memory are bounded by the size of the file and
// its external data, which must lie in the model's folder.
//
// Start at [Load] and [Save]; [ReadTensor] and [WriteTensor] handle the .pb
// files that accompany models as inputs and outputs.
package onnx

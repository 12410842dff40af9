// Package op is the operator set: one file per operator (or per family that
// differs only in a scalar function), each a struct of attributes with the
// facets of package ir as methods, plus its ONNX decoding and encoding.
//
// A file always has the same order: doc comment (formula, ports with shapes,
// ONNX page) · struct · assertion block · Kind · Infer · Eval · Grad · Cost ·
// QuantTrait, Weights · decode, encode · helpers.
//
// The internal form is that of ONNX opset 18 to 23: what older opsets give as
// attributes (axes, ratios, bounds) are constant inputs here. Decoding and
// encoding translate. Adding an operator is one file and one line in its
// family's table (table_*.go); registry.go shows what a line says.
//
// Reference Eval is plain loops over slices; it is the definition, not the
// engine. Operators import no engine.
package op

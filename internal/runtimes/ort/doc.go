// Package ort runs models in ONNX Runtime's CPU provider. Start at [Open]; the
// session is package runtimes'.
//
// The library is that of the Python package onnxruntime, of the npm package
// onnxruntime-node or of a release archive, 1.17 or newer. It is found as
// [runtimes.Library.Find] says, with NNCF_ORT_LIB as the variable.
package ort

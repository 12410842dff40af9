// Package runtimes runs ONNX models in the libraries that users deploy to, so
// that an exported file can be checked where it will live. It holds what the
// bindings have in common: a [Session] with named inputs and outputs, the
// search for an installed library, and the list of executed layers that tells
// whether they ran in int8.
//
// The bindings are in the packages ort (ONNX Runtime) and openvino. They call
// the C interfaces without cgo and are compiled only with
//
//	go build -tags runtimes
//
// on Linux and macOS; without the tag, opening a session returns
// [ErrNotBuilt] and the program stays statically linked. The package is no
// inference engine of the product: nothing in compression or training depends
// on it.
package runtimes

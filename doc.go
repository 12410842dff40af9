// Package nncf compresses trained networks while they are fine-tuned: a model
// comes in as ONNX, is quantized (and, stacked with that, sparsified or pruned)
// with the loss in view, and goes out as ONNX that ONNX Runtime and OpenVINO
// execute fast. It is an implementation of the Neural Network Compression
// Framework (Kozlov et al., https://arxiv.org/abs/2002.08679) in Go, without
// cgo and without other runtimes.
//
// This package is the facade and has no logic of its own. The reading path:
//
//	Load, Build      a model            packages onnx, pass, zoo
//	Compress         its compressed twin compress, compress/quantization
//	NewTrainer       fine-tuning         train, autodiff, engine/native
//	Evaluate         accuracy            train, data
//	Export           the ONNX file       pass, onnx
//
// Package job does the same from a configuration file, with checkpoints and
// reports; command nncf is that on the command line. docs/architecture.md tells
// the way of a model through the packages.
package nncf

// Package quantization is quantization-aware training: fake-quantizers with
// trained ranges at the weights and activations of a graph.
//
//	Options ──New──▶ Algorithm ──Setup──▶ *Setup ──Apply──▶ *Controller
//
// Placement. Every operator that runs on integers asks for a quantizer at each
// of its inputs. Requests travel up through operators that only move values, so
// that these run on integers too; they merge where a value branches, as far as
// all branches want the same; they stop behind the operator that computes the
// value, at model inputs, at ignored operators, and where a branch stays in
// float. Operators that are computed together (convolution, batch normalization,
// activation) count as one. Arithmetic that no layer follows, such as the decoding
// of boxes, stays in float. All inputs of a concatenation share one range. Then
// the result of every convolution is quantized for all its readers, asked or not:
// ONNX Runtime computes the convolution in float otherwise. Every quantizer says by
// which rule it is there, every operator that stays in float says why. What a
// device runs is a file in the folder devices, see [Device].
//
// Ranges come from data (see [Range]) and are trained from there.
//
// Defaults. Both OpenVINO and ONNX Runtime run on integers what is placed by
// default: activations of 8 bits with one range per tensor, signed if the data
// are; weights of 8 bits, -127…127, with one range per output channel. Where the
// original implementation does otherwise an option has its rule; the list is
// docs/differences.md. Options that a later version will follow are refused,
// never ignored.
//
// The package runs nothing itself: ranges are collected through
// [compress.Runner]. The exported form of quantizers is package pass.
package quantization

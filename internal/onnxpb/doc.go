// Package onnxpb reads and writes the protobuf messages of an ONNX file.
//
// It knows the wire format and nothing else: no operators, no checks of a
// model's meaning, no element conversion. Start at [DecodeModel] and
// [Model.Encode]; [DecodeTensor] reads the .pb files that hold one tensor.
//
// The codec is written by hand on protowire, because generated ONNX code
// registers itself globally and makes programs that link a second copy panic at
// start, and because weights must not be copied:
//
//   - Decoding aliases the input. [Tensor.RawData] points into it, so the input
//     must stay unchanged (and mapped) while the message is in use. Strings and
//     numbers are copied.
//   - Encoding makes one pass that only counts and one that writes; a [Payload]
//     writes its bytes straight from wherever they live.
//
// Decoding is safe on hostile input: every length is checked against the bytes
// present, messages nest at most [MaxDepth] deep, and the memory used by decoded
// structures is at most 32 times the input plus 32 MiB. Errors are [*Error] and
// carry the byte offset.
//
// Fields that the structs do not name are kept in Unknown and written back
// after the known ones. Field numbers: onnx/onnx.proto, IR version 13.
package onnxpb

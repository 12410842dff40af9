// Package openvino runs models in OpenVINO. Start at [Open]; the session is
// package runtimes'.
//
// The library is that of the Python package openvino or of an archive
// installation. It is found as [runtimes.Library.Find] says, with
// NNCF_OPENVINO_LIB as the variable. Its C interface reads ONNX, OpenVINO IR
// and everything else that the installed frontends read.
//
// OpenVINO may compute float layers in bfloat16; comparisons want
// PrecisionF32.
package openvino

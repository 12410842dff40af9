// Package report draws what a run has measured: line and bar charts as SVG, for
// browsers and documents. Pictures are functions of their numbers alone, byte for
// byte, so that equal runs leave equal files.
//
// It knows nothing of models. Start at [Lines] and [Bars].
package report

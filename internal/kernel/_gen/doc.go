// Package gen is the root of the assembly generators; it holds no code.
//
// Each folder is a program that writes one family of kernels with avo. The
// generated files are committed next to the family they serve; run
// go generate ./... in the main module to write them again.
package gen

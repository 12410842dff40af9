// Package plan decides where values live while a program runs: when each one
// is first written and last read, and at which offset of one arena it lies, so
// that values whose lives do not overlap share memory.
//
// It knows sizes and step numbers, no operator and no kernel. A backend fills
// in [Buffer]s while it lowers a graph and calls [Assign] once; [Arena] is the
// memory itself.
package plan

// Package enginetest is the conformance suite of backends: small graphs of every
// operator of package op that has a reference evaluator, for batches of one and
// of three, compared with [ir.Eval]. A backend calls [Run] in a test.
//
// The suite compares results, not speed, and knows nothing of kernels. An
// operator that no graph here covers carries a reason, see [Skips]; a new
// operator without either fails the suite.
package enginetest

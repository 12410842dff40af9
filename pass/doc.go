// Package pass holds the named transformations of whole graphs. Each works in
// place and notes what it did in a [rewrite.Trace]; callers that want to keep
// the original clone it first.
//
//	import    Canonicalize                      what exporters write → the form that algorithms expect
//	training  MarkTrainable, TrainingMode       which constants are trained; batch normalization learns
//	export    FoldBatchNorm, ToQDQ, ToFakeQuantize, BinaryToONNX, BinaryToFakeQuantize
//
// A pass computes what the graph computed before: bit for bit where it moves or
// removes nodes, and up to float32 rounding where it merges arithmetic. Names of
// inputs and outputs stay, and so do names of inner values that still exist.
// After an error the graph is half transformed and must be thrown away.
//
// Local patterns are [rewrite.Rule]s in tables, the order of the passes is one
// list ([CanonicalPasses]), and every reason why one must run before another is
// one line of [CanonicalOrder].
//
// The package does not insert compression (package compress does), compute
// gradients (package autodiff) or choose memory layouts (the engines do).
package pass

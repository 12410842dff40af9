// Package rewrite is the only way to edit a graph: a [Patch] collects changes
// under the name of the rule that asks for them and commits them at once; a
// [Trace] remembers who changed what and why. [Run] applies local rules until
// none fires.
//
// It knows no operator. Whole-graph transformations are package pass.
package rewrite

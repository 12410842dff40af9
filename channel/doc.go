// Package channel finds which channels of a graph belong together, and removes
// them: the dependency groups of structured pruning.
//
// A channel is a set of entries along axes of values that can only go together:
// a filter of a convolution, the entry of the normalization behind it, the same
// filter of every convolution that is added to it, the slices of the weights that
// read it. What belongs together is not decided here: every operator says it of
// its own axes ([ir.AxisMapper]). Channels that touch the same axes in the same
// way are one [Group].
//
// Start with [Analyze]; [Graph.Remove] cuts. Removing channels changes nothing
// that is computed if the slices of the weights that read them are zero
// ([Span.Reads]), whatever an activation makes of them before: that is what
// makes a masked and a shrunk model equal.
//
// The package refuses nothing silently: a group that cannot lose channels says
// why ([Group.Fixed]).
package channel

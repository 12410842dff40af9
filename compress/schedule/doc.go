// Package schedule says how the level of a compression algorithm rises over
// training: the share of zeros, or of filters removed, as a function of time.
//
// A [Clock] counts epochs and optimizer steps as controllers are told of them and
// is all the state that most schedules have. A [Schedule] turns its reading into
// a level; [Adaptive], which looks at what training has reached, is a state machine
// of its own. The formulas are those of the original NNCF (schedules of sparsity,
// 1.6 and later: the level of an epoch is set before it). The package knows no
// algorithm, and refuses schedules that cannot be followed before training begins.
package schedule

// Package train fine-tunes graphs: losses, optimizers, learning-rate
// schedules, metrics, checkpoints and the loop that puts them together.
//
// It executes through the interfaces of package engine and never picks a
// backend. Compression takes part through [Hook], which controllers of package
// compress satisfy; nothing here knows a compression algorithm.
//
// Results depend on the seed and the options only: not on the number of
// threads, and not on how often training was interrupted and resumed.
//
// Start at [Trainer].
package train

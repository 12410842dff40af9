// Package zoo builds well-known networks as graphs, so that they can be trained
// from random weights, benchmarked and used in tests without a model file.
//
// Node and parameter names are those that PyTorch's exporter writes, so scopes
// in configurations mean the same for a built network and for an imported one.
// Weights come from a seed (He initialization), not from training.
package zoo

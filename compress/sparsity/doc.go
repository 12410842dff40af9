// Package sparsity makes weights zero during training: four algorithms that put
// a mask on the weights of layers.
//
//	magnitude   zeroes the weights of least importance, |w| or |w|/‖w‖, to a level that a schedule raises
//	rb          learns which weights to keep: regularization-based (L0) sparsity, after Louizos et al.
//	constant    keeps the zeros that a model has, while another algorithm trains
//	movement    learns scores of weights, or of blocks of them, for encoders, after Sanh et al.
//
// The mask is a node of the graph between the stored weight and whoever reads it,
// a quantizer included, so a weight is Quantize(Mask(w)) whatever order a
// configuration has. It works on weights alone, once per step; no activation is
// touched. Weights under the mask keep their values and come back if their rank
// does. Strip (see [compress.Controller]) writes the zeros into the weights: exported files hold
// zeros and no masks.
//
// Weights of convolutions, matrix products and embeddings count; biases and
// normalizations stay dense. The level is the share of zeros among the weights
// that the exported file has: what pruning removes does not count.
//
// Unstructured zeros make files compress well and need hardware or runtimes that
// use them to run faster; patterns ([Pattern]) serve hardware with rules.
package sparsity

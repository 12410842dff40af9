// Package sensitivity says where a compressed model departs from another one,
// and which layers are to blame.
//
//	Compare   two graphs, value by value, on the same data
//	Analyze   a quantized model, layer by layer: its noise in place, the error of
//	          the model's outputs when it alone is quantized, clipping, cost
//
// Both stream over the data in the memory of one batch. The package changes
// neither graph, and judges nothing: which layers to leave in float is a list
// that Analyze ranks and the caller cuts.
package sensitivity

// Package hessian measures how sharply a loss rises when the weights of a layer
// move: the trace of the diagonal block of the Hessian that belongs to each
// weight (Dong et al., HAWQ-V2, https://arxiv.org/abs/1911.03852, section 3).
//
//	tr H_ll = E[v_lᵀ (H v)_l]     v of independent ±1 (Hutchinson)
//
// The product H v is exact: the gradient graph is differentiated again, graph to
// graph. It is compiled once and run for every probe through [Runner];
// the package runs nothing itself. Start at [Traces].
//
// The data are cut into equal chunks, and each chunk gets probes of its own. The
// mean over chunks has the same expectation as with one probe for all data, and
// never a larger variance as long as the Hessians of the chunks are alike, for
// the same number of products.
package hessian

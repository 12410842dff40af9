// Package pruning removes filters: output channels of convolutions and linear
// layers, with everything that belongs to them, while the model is trained.
//
//	Options ──New──▶ Algorithm ──Setup──▶ *Setup ──Apply──▶ *Controller
//
// Clusters. Filters that can only go together (residual additions, depthwise
// convolutions, gates) are found by package channel from what operators say
// about their axes. A cluster is a group of such channels; what keeps a group
// from being pruned is told with the reason ([Setup.Kept]).
//
// Ranking. The filters of a cluster are ordered by their [Importance]. The level
// of the schedule, or a target of FLOPs or parameters, says how many of which
// cluster go; survivors are a multiple of [Params.Multiple], because runtimes
// compute channels in blocks.
//
// Masks. Pruned channels are zero: their filters, biases, normalization, and the
// slices of the weights that read them. The zeros are written into the
// parameters when a mask changes and again after every update, which costs a
// pass over those slices and nothing in the network. Since both sides of a channel
// are zero its gradients vanish, and what an activation makes of zero does not
// matter: sigmoid gates are pruned as exactly as rectifiers.
//
// Removal. [Controller.Strip] cuts the channels out of the exported graph;
// [Controller.Shrink] cuts them out of the model under training once the masks
// are final. Pruned channels do not come back.
//
// Sources: Li et al. 2017 (norms), He et al. 2019 (geometric median), Chin et
// al. 2020 (learned global ranking), and the original NNCF for schedules, rules
// and defaults.
package pruning

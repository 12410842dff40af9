// Package precision chooses a bit width for every layer of a network, as numbers
// alone: what each choice costs, and how much it is expected to harm.
//
//	ratio  = cost of all layers at 8 bits / cost of the choice    (complexity: FLOPs × bits)
//	metric = Σ_i mean trace_i · ‖W_i - Q_b(W_i)‖²                 (HAWQ-V2)
//
// Wanted is the choice of least metric among those with at least a given ratio.
// [Ordered] tries the configurations of the paper (Kozlov et al., 2020, section
// 3.4): more bits for more sensitive layers. [Exact] tries all, by dynamic
// programming over layers, and so is never worse. [Search] does what is asked for
// and keeps the front of both.
//
// [Device] says, as data, which bit widths a target runs.
package precision

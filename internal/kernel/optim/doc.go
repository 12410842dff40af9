// Package optim updates parameters: one flat pass over weights, gradients and
// optimizer state, whatever the layout of the weights.
//
// It knows slices only; schedules, parameter groups and clipping decisions are
// the caller's. w, g and the state slices have the same length and do not
// overlap. Each operation is rounded on its own, so all variants agree bit by
// bit. Start at [SGD] and [Adam].
package optim

//go:build invariants

package rewrite

const invariants = true

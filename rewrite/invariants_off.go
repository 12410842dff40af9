//go:build !invariants

package rewrite

const invariants = false

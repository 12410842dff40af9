// Package layering holds no code, only tests of what a reader relies on when
// looking for things: imports point downwards, unsafe and assembly stay in
// their corners, every package says what it is for, no file outgrows one
// subject.
//
// A new package needs one line in table_test.go; without it the tests fail.
// docs/architecture.md explains the ranks.
package layering

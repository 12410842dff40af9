package config

import (
	"fmt"
	"strings"
)

// Error is one problem of a configuration.
type Error struct {
	File string `json:"file"` // as it was named
	// Line and Col count from 1, Col in bytes; 0 if the place is not known.
	Line   int    `json:"line"`
	Col    int    `json:"column"`
	Path   string `json:"path"`   // of the key, such as compression[0].weights.bits
	Reason string `json:"reason"` // what is wrong: "got X, want Y"

	// Suggestion is the nearest remedy, or empty.
	Suggestion string `json:"suggestion,omitempty"`
}

// Error returns file:line:column: path: reason; suggestion.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Col)
	}
	b.WriteString(": ")
	if e.Path != "" {
		b.WriteString(e.Path)
		b.WriteString(": ")
	}
	b.WriteString(e.Reason)
	if e.Suggestion != "" {
		b.WriteString("; ")
		b.WriteString(e.Suggestion)
	}
	return b.String()
}

// Errors are all problems of a file, in the order of their places.
type Errors []*Error

// Error has one line for each problem.
func (l Errors) Error() string {
	lines := make([]string, len(l))
	for i, e := range l {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives errors.As each problem.
func (l Errors) Unwrap() []error {
	list := make([]error, len(l))
	for i, e := range l {
		list[i] = e
	}
	return list
}

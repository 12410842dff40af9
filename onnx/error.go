package onnx

import (
	"fmt"
	"strings"
)

// Problem is one reason why a model cannot be read or written.
type Problem struct {
	// Where it is: `node "conv1"`, `initializer "w"`, `input "x"`, `model`.
	Where string

	// Of a node: operator, with its domain unless that is the default one, and
	// the opset version of the domain. Empty and 0 for other places.
	Operator string
	Opset    int

	Reason error
}

func (p Problem) String() string {
	if p.Operator == "" {
		return fmt.Sprintf("%s: %v", p.Where, p.Reason)
	}
	return fmt.Sprintf("%s (%s, opset %d): %v", p.Where, p.Operator, p.Opset, p.Reason)
}

// Error lists every problem of a model, at least one.
type Error struct {
	Action   string // "read" or "write"
	Path     string // empty if the model does not come from a file
	Problems []Problem
}

// maxListed bounds the lines of an error's text; Problems has them all.
const maxListed = 40

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Action)
	b.WriteByte(' ')
	if e.Path != "" {
		b.WriteString(e.Path)
	} else {
		b.WriteString("model")
	}
	b.WriteString(": ")
	if len(e.Problems) == 1 {
		b.WriteString(e.Problems[0].String())
		return b.String()
	}
	fmt.Fprintf(&b, "%d problems", len(e.Problems))
	for i, p := range e.Problems {
		if i == maxListed {
			fmt.Fprintf(&b, "\n\tand %d more", len(e.Problems)-i)
			break
		}
		b.WriteString("\n\t")
		b.WriteString(p.String())
	}
	return b.String()
}

// Unwrap returns the reasons.
func (e *Error) Unwrap() []error {
	errs := make([]error, len(e.Problems))
	for i, p := range e.Problems {
		errs[i] = p.Reason
	}
	return errs
}

// quote quotes a name from a file, cut to a readable length.
func quote(name string) string {
	if len(name) > 120 {
		return fmt.Sprintf("%q…", name[:120])
	}
	return fmt.Sprintf("%q", name)
}

func operatorName(domain, opType string) string {
	name := opType
	if domain != "" {
		name = domain + "." + opType
	}
	if len(name) > 120 {
		name = name[:120] + "…"
	}
	if name == "" {
		return "no operator"
	}
	return name
}

package native

import (
	"fmt"
	"slices"

	"github.com/go-nncf/nncf/engine"
)

// A fusion changes the list of steps so that less goes through memory. It is
// one file and one line in [fusions]; it notes with the steps what it did, and
// where it could have but did not, why.
type fusion struct {
	name string
	what string
	rule func(*compiler) error
}

// fusions are applied in this order, once each, when all nodes are lowered.
// What a product does as it stores (rule_epilogue.go) is decided before, while
// its node is lowered.
var fusions = []fusion{
	{"join", "chains over the same elements become one", (*compiler).joinChains},
	{"again", "cheap results are computed again where they are read, rather than kept", (*compiler).again}, // finds results that later steps of joined chains read
	{"load", "convolutions compute their input as they load it", (*compiler).onLoad},                       // of what is still read from memory
	{"drop", "what nobody reads any more is not computed", (*compiler).drop},                               // what again and load have left
	{"finish", "convolutions run the chain behind them while the caches hold their result", (*compiler).finish},
	{"obey", "plans with a memory limit cut sums as those without", (*compiler).obey},
	{"store", "what only its own chain reads is not stored", (*compiler).store},                                 // no rule after it may add readers
	{"reuse", "results lie where an operand lay", (*compiler).reuse},                                            // needs to know what is stored
	{"form", "what forms a weight runs as the weight is packed", (*compiler).form},                              // of steps whose writes are final
	{"group", "steps that go image by image take turns on images that the caches hold", (*compiler).groupSteps}, // needs all operands final
	{"near", "weights are packed right before they are read", (*compiler).near},                                 // steps do not move any more
}

// fuse applies the rules.
func (c *compiler) fuse() error {
	for _, f := range fusions {
		if err := f.rule(c); err != nil {
			return fmt.Errorf("fusion %s: %w", f.name, err)
		}
	}
	return nil
}

// note records what a rule did with the step, or why it did nothing.
func (s *step) note(rule string, applied bool, format string, args ...any) {
	s.notes = append(s.notes, engine.Fusion{Rule: rule, Applied: applied, What: fmt.Sprintf(format, args...)})
}

// title names the step in notes.
func (s *step) title() string {
	if s.node == nil {
		return s.kernel
	}
	return s.node.Op.Kind() + " " + s.node.Name
}

// needs reports whether b must run after a: it reads what a writes, or one of
// them writes scratch memory that the other uses.
func needs(b, a *step) bool {
	for _, w := range a.writes {
		for _, r := range b.reads {
			if r.buf != nil && r.buf == w.buf {
				return true
			}
		}
	}
	for _, t := range a.temps {
		if slices.Contains(b.temps, t) && !(a.onlyReads(t) && b.onlyReads(t)) {
			return true
		}
	}
	return false
}

// onlyReads reports whether the step is known to read the scratch memory, not
// to write it: parameters of links, as opposed to their sums.
func (s *step) onlyReads(t *temp) bool {
	if s.chain == nil {
		return slices.Contains(s.given, t)
	}
	return !slices.ContainsFunc(s.chain.links, func(l *link) bool {
		return l.fills == t || l.sums != nil && (l.sums.part == t || l.sums.own == t)
	})
}

package config

import (
	"fmt"
	"slices"
	"strings"
)

// nearest returns the candidate with the smallest edit distance to a word, if
// it is near enough to be meant: within a third of the word's length, or with
// the same beginning.
func nearest(word string, candidates []string) string {
	if len(word) > 64 {
		return ""
	}
	best, least := "", 1<<30
	for _, c := range candidates {
		if d := distance(strings.ToLower(word), strings.ToLower(c)); d < least {
			best, least = c, d
		}
	}
	if least <= max(1, (len(word)+1)/3) {
		return best
	}
	for _, c := range candidates {
		n := 0
		for n < min(len(c), len(word)) && c[n] == word[n] {
			n++
		}
		if n >= 4 && 3*n >= 2*len(word) {
			return c
		}
	}
	return ""
}

// distance is the optimal string alignment distance: insertions, deletions,
// substitutions and swaps of neighbours.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	rows := [3][]int{make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)}
	for j := range rows[1] {
		rows[1][j] = j
	}
	for i := range x {
		before, last, row := rows[0], rows[1], rows[2]
		row[0] = i + 1
		for j := range y {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		rows = [3][]int{last, row, before}
	}
	return rows[1][len(y)]
}

// suggestKey finds a remedy for an unknown key: the nearest valid one, the
// place where the key is valid, or the valid keys.
func (s schema) suggestKey(key string, at schemaNode) string {
	valid := at.keys()
	valid = slices.DeleteFunc(valid, func(k string) bool {
		return s.resolve(at.property(k)).flag("x-unused") || at.property(k).flag("x-unused")
	})
	if n := nearest(key, valid); n != "" {
		return fmt.Sprintf("did you mean %q?", n)
	}
	if n := nearest(key, at.keys()); n != "" {
		return fmt.Sprintf("did you mean %q?", n)
	}
	if paths := s.wherever(at, key, "", 0); len(paths) > 0 {
		return fmt.Sprintf("it belongs in %s", strings.Join(paths[:min(3, len(paths))], " or "))
	}
	if len(valid) <= 12 {
		return "valid keys: " + strings.Join(valid, ", ")
	}
	return ""
}

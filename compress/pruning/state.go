package pruning

import (
	"encoding/json"
	"fmt"
)

// State implements [compress.Controller].
func (c *Controller) State() (json.RawMessage, error) {
	s := c.state
	s.Pruned = make([][]int, len(c.clusters))
	for i, k := range c.clusters {
		s.Pruned[i] = k.channels(true)
	}
	if c.dense != nil && !c.state.Shrunk {
		s.Dense = c.dense.save()
	}
	return json.Marshal(s)
}

// LoadState implements [compress.Controller]. If the state is that of a shrunk
// model it shrinks this one.
func (c *Controller) LoadState(raw json.RawMessage) error {
	var s state
	if err := json.Unmarshal(raw, &s); err != nil {
		return fmt.Errorf("pruning state: %w", err)
	}
	if len(s.Pruned) != len(c.clusters) {
		return fmt.Errorf("pruning state: got %d clusters, want %d", len(s.Pruned), len(c.clusters))
	}
	if n := len(s.Coefficients); n > 0 && n != len(c.clusters) {
		return fmt.Errorf("pruning state: got ranking coefficients of %d clusters, want %d", n, len(c.clusters))
	}
	for i, k := range c.clusters {
		for _, ch := range s.Pruned[i] {
			if ch < 0 || ch >= k.Channels {
				return fmt.Errorf("pruning state: cluster %d: got channel %d of %d", i, ch, k.Channels)
			}
		}
	}
	for i, k := range c.clusters {
		clear(k.gone)
		for _, ch := range s.Pruned[i] {
			k.gone[ch] = true
		}
	}
	if c.dense != nil {
		if err := c.dense.load(s.Dense); err != nil {
			return err
		}
	}
	shrunk := s.Shrunk
	s.Pruned, s.Dense, s.Shrunk = nil, nil, false
	c.state = s
	if shrunk {
		_, err := c.Shrink(nil)
		return err
	}
	return nil
}

// channels lists the channels that are pruned, or those that are not.
func (k *pruned) channels(gone bool) []int {
	out := []int{}
	for ch, g := range k.gone {
		if g == gone {
			out = append(out, ch)
		}
	}
	return out
}

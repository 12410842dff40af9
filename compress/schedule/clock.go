package schedule

import "fmt"

// Clock counts what a controller is told. The zero value is that of a
// controller before training. Its JSON form is kept in checkpoints.
type Clock struct {
	// Epochs is the number of calls of EpochStep: the epoch under way is
	// Epochs-1, or 0 before the first.
	Epochs int `json:"epochs"`
	// Steps is the number of optimizer steps begun in the epoch under way.
	Steps int `json:"steps"`
	// PerEpoch is the number of optimizer steps of an epoch, 0 until known.
	PerEpoch int `json:"steps_per_epoch,omitempty"`
	// Skipped is the number of first epochs that do not count, because their
	// steps were still being counted; see [Clock.Fraction].
	Skipped int `json:"skipped,omitempty"`
}

// EpochStep begins an epoch. The first epoch that ends says how many steps one
// has, unless PerEpoch does; a later one of another length is an error, because
// a schedule by steps would then end at another place than it should.
func (c *Clock) EpochStep() error {
	var err error
	if c.Epochs > 0 && c.Steps > 0 {
		switch {
		case c.PerEpoch == 0:
			c.PerEpoch = c.Steps
		case c.PerEpoch != c.Steps:
			err = fmt.Errorf("steps_per_epoch: got %d, the epoch had %d optimizer steps", c.PerEpoch, c.Steps)
		}
	}
	c.Epochs++
	c.Steps = 0
	return err
}

// Step begins an optimizer step.
func (c *Clock) Step() { c.Steps++ }

// Epoch returns the epoch under way, from 0.
func (c *Clock) Epoch() int { return max(0, c.Epochs-1) }

// Fraction returns the time of the step under way in epochs, for schedules by
// step: its first step is at 0. While the number of steps per epoch is not known
// ok is false, and the epoch does not count: time begins with the next one, as in
// the original.
func (c *Clock) Fraction() (t float64, ok bool) {
	if c.PerEpoch == 0 {
		c.Skipped = c.Epochs
		return 0, false
	}
	return float64(c.Epoch()-c.Skipped) + float64(max(0, c.Steps-1))/float64(c.PerEpoch), true
}

package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/go-nncf/nncf/train"
)

// progress draws a bar on a terminal, and a line now and then elsewhere.
type progress struct {
	w     io.Writer
	tty   bool
	last  time.Time
	drawn bool
}

func newProgress(w io.Writer) *progress {
	f, ok := w.(*os.File)
	return &progress{w: w, tty: ok && term.IsTerminal(int(f.Fd()))}
}

// Intervals between updates: what eyes follow, and what logs bear.
const (
	drawEvery = 100 * time.Millisecond
	lineEvery = 10 * time.Second
)

// report shows the state after a step.
func (p *progress) report(s train.Progress) {
	now, done := time.Now(), s.Step == s.Steps
	every := lineEvery
	if p.tty {
		every = drawEvery
	}
	if !done && now.Sub(p.last) < every {
		return
	}
	p.last = now
	what := s.Phase
	if s.Phase == "train" {
		what = fmt.Sprintf("epoch %d", s.Epoch+1)
	}
	stats := fmt.Sprintf("loss %.4f  top-1 %5.2f %%  %6.0f images/s  %s left", s.Loss, s.Top1, s.ImagesPerSecond, s.Remaining.Round(time.Second))
	if !p.tty {
		fmt.Fprintf(p.w, "%-8s %4d/%d  %s\n", what, s.Step, s.Steps, stats)
		return
	}
	const width = 24
	n := width * s.Step / max(1, s.Steps)
	fmt.Fprintf(p.w, "\r\x1b[K%-8s [%s%s] %d/%d  %s", what, strings.Repeat("=", n), strings.Repeat(" ", width-n), s.Step, s.Steps, stats)
	p.drawn = true
	if done {
		fmt.Fprintln(p.w)
		p.drawn = false
	}
}

// note writes a line of its own, below a bar that is being drawn.
func (p *progress) note(format string, args ...any) {
	if p.drawn {
		fmt.Fprintln(p.w)
		p.drawn = false
	}
	fmt.Fprintf(p.w, format+"\n", args...)
}

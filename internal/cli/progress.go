package cli

import (
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/job"
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
	if !p.tty && s.Step == 1 && !done { // nothing is known yet about speed
		p.last = now
		return
	}
	if !done && now.Sub(p.last) < every {
		return
	}
	p.last = now
	what := s.Phase
	if s.Phase == "train" {
		what = fmt.Sprintf("epoch %d", s.Epoch+1)
	}
	accuracy := fmt.Sprintf("top-1 %5.2f %%  ", s.Top1)
	if math.IsNaN(s.Top1) {
		accuracy = ""
	}
	stats := fmt.Sprintf("loss %.4f  %s%6.0f images/s  %s left", s.Loss, accuracy, s.ImagesPerSecond, s.Remaining.Round(time.Second))
	if s.Status != "" {
		stats = fmt.Sprintf("%s, %s left", s.Status, s.Remaining.Round(time.Second))
	}
	if !p.tty {
		fmt.Fprintf(p.w, "%-8s %4d/%d  %s\n", what, s.Step, s.Steps, stats)
		return
	}
	fmt.Fprint(p.w, "\r\x1b[K", bar(p.columns(), what, s.Step, s.Steps, stats))
	p.drawn = true
	if done {
		p.end()
	}
}

// initialising shows the state of a long phase of initialisation.
func (p *progress) initialising(s compress.InitProgress) { p.report(job.InitProgress(s)) }

// bar is one line of at most so many columns; the bar itself gives way first.
func bar(columns int, what string, step, steps int, stats string) string {
	count := fmt.Sprintf("%d/%d", step, steps)
	width := min(24, columns-max(8, len(what))-len(count)-len(stats)-7)
	line := fmt.Sprintf("%-8s %s  %s", what, count, stats)
	if width >= 4 {
		n := width * step / max(1, steps)
		line = fmt.Sprintf("%-8s [%s%s] %s  %s", what, strings.Repeat("=", n), strings.Repeat(" ", width-n), count, stats)
	}
	return line[:min(len(line), max(0, columns-1))]
}

// columns is the width of the terminal.
func (p *progress) columns() int {
	if f, ok := p.w.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			return w
		}
	}
	return 80
}

// end closes the line of a bar.
func (p *progress) end() {
	if p.drawn {
		fmt.Fprintln(p.w)
		p.drawn = false
	}
}

// note writes a line of its own, below a bar that is being drawn.
func (p *progress) note(format string, args ...any) {
	p.end()
	fmt.Fprintf(p.w, format+"\n", args...)
}

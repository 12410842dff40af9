package cli

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-nncf/nncf/compress"
)

// panicking is a stream that breaks whatever writes to it.
type panicking struct{}

func (panicking) Write([]byte) (int, error) { panic("index out of range") }

// A defect inside a command is a failure of one line, without a stack unless
// asked for.
func TestRun_Panic(t *testing.T) {
	for _, c := range []struct {
		args  []string
		stack bool
	}{{[]string{"version"}, false}, {[]string{"version", "--verbose"}, true}} {
		var errs bytes.Buffer
		code := run(context.Background(), c.args, IO{Out: panicking{}, Err: &errs})
		if code != exitFailed || !strings.Contains(errs.String(), "internal error: index out of range") {
			t.Errorf("%v: got exit code %d and %q", c.args, code, errs.String())
		}
		if got := strings.Contains(errs.String(), "goroutine"); got != c.stack {
			t.Errorf("%v: got a stack %v, want %v", c.args, got, c.stack)
		}
	}
}

// TestProgress_Initialising: a long initialisation tells step, what it knows and
// the time left, where there is no terminal a line at its end.
func TestProgress_Initialising(t *testing.T) {
	var out strings.Builder
	p := newProgress(&out)
	for i := 1; i <= 3; i++ {
		p.initialising(compress.InitProgress{Phase: "ranking", Step: i, Steps: 3, Status: fmt.Sprintf("best %d %%", 9-i), Remaining: time.Duration(3-i) * time.Second})
	}
	if got, want := out.String(), "ranking     3/3  best 6 %, 0s left\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestBar(t *testing.T) {
	const stats = "loss 0.1234  top-1 98.76 %    1234 images/s  12s left"
	for _, c := range []struct {
		columns int
		want    string
	}{
		{100, "epoch 1  [============            ] 5/10  " + stats},
		{80, "epoch 1  [====    ] 5/10  " + stats},
		{60, ("epoch 1  5/10  " + stats)[:59]},
		{0, ""},
	} {
		got := bar(c.columns, "epoch 1", 5, 10, stats)
		if got != c.want || len(got) > max(0, c.columns-1) {
			t.Errorf("%d columns: got %q, want %q", c.columns, got, c.want)
		}
	}
}

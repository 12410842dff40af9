package cli

import (
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/go-nncf/nncf/internal/runtimes"
	"github.com/go-nncf/nncf/tensor"
)

// runtimeBench is what bench reports of a foreign library; keys as in benchResult.
type runtimeBench struct {
	Model           string `json:"model"`
	Batch           int    `json:"batch"`
	Runtime         string `json:"runtime"`
	Threads         int    `json:"threads"`
	Runs            int    `json:"runs"`
	ImagesPerSecond struct {
		Best   float64 `json:"best"`
		Median float64 `json:"median"`
	} `json:"images_per_second"`
	Layers []layerCount `json:"layers"` // what the library executed
}

// benchIn times a file in a foreign library, then runs it once more with
// profiling to tell which layers ran on integers.
func (c *benchCmd) benchIn(s *session) error {
	switch {
	case c.Train:
		return usagef("--train: %s does not train", c.Runtime)
	case c.Config != "":
		return usagef("--config: %s runs the file as it is; write it with nncf quantize first", c.Runtime)
	}
	f, err := c.open(c.Model, s.Threads, runtimes.Options{})
	if err != nil {
		return err
	}
	defer f.Close()
	name, shape, err := portShape(f, c.Batch)
	if err != nil {
		return err
	}
	x := tensor.New(tensor.Float32, shape...)
	fillRandom(x.F32())
	feed := map[string]*tensor.Tensor{name: x}
	const least = 5
	var times []time.Duration
	for start := time.Now(); len(times) < least+2 || time.Since(start).Seconds() < c.Seconds; {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		t := time.Now()
		if _, err := f.Run(feed); err != nil {
			return err
		}
		times = append(times, time.Since(t))
	}
	times = times[2:] // warm-up
	slices.Sort(times)
	r := runtimeBench{Model: c.Model, Batch: shape[0], Runtime: f.Runtime() + " " + f.Version(), Threads: workers(s.Threads), Runs: len(times)}
	r.ImagesPerSecond.Best = float64(r.Batch) / times[0].Seconds()
	r.ImagesPerSecond.Median = float64(r.Batch) / times[len(times)/2].Seconds()
	if r.Layers, err = c.layersIn(feed, s.Threads); err != nil {
		return err
	}
	if s.JSON {
		return s.printJSON(r)
	}
	fmt.Fprintf(s.Out, "%s in %s, batch %d: %.1f images/s (best %.1f)\n", c.Model, r.Runtime, r.Batch, r.ImagesPerSecond.Median, r.ImagesPerSecond.Best)
	w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "executed\tprecision\tlayers\n")
	for _, l := range r.Layers {
		fmt.Fprintf(w, "%s\t%s\t%d\n", l.Type, l.Precision, l.Count)
	}
	return w.Flush()
}

// layersIn runs the file once with profiling.
func (c *benchCmd) layersIn(feed map[string]*tensor.Tensor, threads int) ([]layerCount, error) {
	f, err := c.open(c.Model, threads, runtimes.Options{Profiling: true})
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := f.Run(feed); err != nil {
		return nil, err
	}
	return countLayers(f)
}

package pruning

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-nncf/nncf/channel"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/internal/atomicfile"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/tensor"
)

// judge says how far candidates of learned ranking are from the float model.
//
//  1. Candidates share one program: they are zeros in its parameters.
//  2. Whatever the coefficients, channels of a cluster go in the same order, so a
//     candidate is the number of channels that each cluster keeps; candidates of
//     equal numbers are run once.
//  3. What was found is kept in a file, if there is a folder for it: a search that
//     was interrupted proposes the same candidates again and finds their losses.
type judge struct {
	c       *Controller
	level   float64
	order   [][]int // channels of each cluster, the least important first
	scores  [][]float64
	g       *ir.Graph
	touched []judgedTensor
	batches [][]*tensor.Tensor

	want   [][]*tensor.Tensor // outputs of the float model, by batch
	losses map[string]float64 // by numbers of channels kept
	tried  int                // candidates that were run

	path, key string // of the file of losses; empty keeps none
	saved     time.Time
}

// judgedTensor is a tensor that candidates change.
type judgedTensor struct {
	data, full *tensor.Tensor
	spans      []touchedSpan
}

const (
	// judgedBatch and judgedBigBatch are the largest batches that are run at once,
	// the second of images as large as ImageNet's.
	judgedBatch    = 64
	judgedBigBatch = 16
	bigImage       = 50_000
	// fewSamples are too few for statistics of a batch.
	fewSamples = 8
	// saveLosses is how often the file of losses is written.
	saveLosses = 10 * time.Second
)

func (c *Controller) newJudge(ctx context.Context, cal compress.Calibration, scores [][]float64) (*judge, error) {
	l := c.setup.Options.Params.LeGR
	j := &judge{c: c, scores: scores, level: cmp.Or(l.MaxPruning, c.Target()), losses: map[string]float64{}, saved: time.Now()}
	for i, s := range scores {
		j.order = append(j.order, newRanked(s, nil, c.setup.Options.Params.multiple(), c.clusters[i].Members[0].Width).order)
	}
	var err error
	if j.batches, err = gather(ctx, c.plain, cal, cmp.Or(l.Samples, defaultLeGRSamples)); err != nil {
		return nil, err
	}
	if err := j.build(); err != nil {
		return nil, err
	}
	return j, j.open(cal.Cache)
}

// gather returns samples in batches that are as equal as may be; a model of a
// fixed batch gets it.
func gather(ctx context.Context, g *ir.Graph, cal compress.Calibration, samples int) ([][]*tensor.Tensor, error) {
	var parts [][]*tensor.Tensor
	n := 0
	for b, err := range cal.Batches(samples) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		copied := make([]*tensor.Tensor, len(b))
		for i, t := range b {
			copied[i] = t.Clone()
		}
		parts = append(parts, copied)
		if n += b[0].Shape()[0]; n >= samples {
			break
		}
	}
	if len(parts) == 0 {
		return nil, errors.New("there are no samples to compare candidates on")
	}
	one := parts[0]
	if len(one) != 1 || one[0].DType() != tensor.Float32 || len(g.Inputs) != 1 {
		return parts, nil
	}
	if _, fixed := g.FixedBatch(); fixed {
		return parts, nil
	}
	most := judgedBatch
	if one[0].Len()/one[0].Shape()[0] >= bigImage {
		most = judgedBigBatch
	}
	var all []float32
	for _, p := range parts {
		all = append(all, p[0].F32()...)
	}
	n = min(n, samples)
	row := one[0].Len() / one[0].Shape()[0]
	count := (n + most - 1) / most
	var out [][]*tensor.Tensor
	for i := range count {
		lo, hi := i*n/count, (i+1)*n/count
		s := one[0].Shape().Clone()
		s[0] = hi - lo
		out = append(out, []*tensor.Tensor{tensor.From(all[lo*row:hi*row], s...)})
	}
	return out, nil
}

// build makes the graph that candidates share.
func (j *judge) build() error {
	j.g = j.c.plain.Clone()
	for _, x := range touched(j.c.clusters, func(k *pruned) []channel.Span { return k.zero }) {
		v := j.g.Value(x.value.Name)
		v.Data = v.Data.Clone()
		v.Kind = ir.Parameter // engines fold constants
		j.touched = append(j.touched, judgedTensor{data: v.Data, full: x.value.Data, spans: x.spans})
	}
	if j.batches[0][0].Shape()[0] >= fewSamples {
		if err := pass.TrainingMode(j.g, pass.TrainingOptions{}, nil); err != nil {
			return err
		}
		j.g.Assigns = nil // running statistics are not looked at
	}
	var float []*ir.Value
	for _, v := range j.g.Outputs {
		if v.Type.DType == tensor.Float32 {
			float = append(float, v)
		}
	}
	if len(float) == 0 {
		return errors.New("the model has no output of float32 to compare")
	}
	j.g.Outputs = float
	return nil
}

// run calls search with a function that returns the loss of coefficients: the
// mean over outputs of Σ(got-want)²/Σwant². All of it is one run of one program,
// whose parameters change between batches.
func (j *judge) run(ctx context.Context, r compress.Runner, search func(loss func([]Coefficient) (float64, error)) error) error {
	var failed error
	var collect func(batch int, got []*tensor.Tensor)
	batch := 0
	feed := func(yield func([]*tensor.Tensor, error) bool) {
		stopped := errors.New("stopped")
		through := func(f func(batch int, got []*tensor.Tensor)) error {
			collect = f
			for i, b := range j.batches {
				if batch = i; !yield(b, nil) {
					return stopped // Run knows why
				}
			}
			return nil
		}
		failed = search(func(k []Coefficient) (float64, error) {
			if err := ctx.Err(); err != nil {
				return 0, err
			}
			return j.loss(k, through)
		})
		if errors.Is(failed, stopped) {
			failed = nil
		}
	}
	err := r.Run(ctx, j.g, j.g.Outputs, feed, func(got []*tensor.Tensor) error {
		collect(batch, got)
		return nil
	})
	return cmp.Or(err, failed)
}

// loss judges coefficients; through runs all batches.
func (j *judge) loss(k []Coefficient, through func(func(batch int, got []*tensor.Tensor)) error) (float64, error) {
	p := j.c.setup.Options.Params
	list := make([]ranked, len(k))
	for i, s := range j.scores {
		mine := make([]float64, len(s))
		for c, x := range s {
			mine[c] = k[i].apply(x)
		}
		list[i] = newRanked(mine, nil, p.multiple(), j.c.clusters[i].Members[0].Width)
	}
	kept, err := j.c.setup.Options.choose(list, j.level, j.c.costs)
	if err != nil {
		return 0, err
	}
	name := strings.Trim(fmt.Sprint(kept), "[]")
	if l, ok := j.losses[name]; ok {
		return l, nil
	}
	if j.want == nil {
		j.prune(nil)
		var want [][]*tensor.Tensor
		if err := through(func(_ int, got []*tensor.Tensor) {
			copied := make([]*tensor.Tensor, len(got))
			for i, t := range got {
				copied[i] = t.Clone()
			}
			want = append(want, copied)
		}); err != nil {
			return 0, err
		}
		j.want = want
	}
	j.prune(kept)
	apart, size := make([]float64, len(j.g.Outputs)), make([]float64, len(j.g.Outputs))
	if err := through(func(batch int, got []*tensor.Tensor) {
		for o, t := range got {
			want := j.want[batch][o].F32()
			for i, x := range t.F32() {
				w := float64(want[i])
				d := float64(x) - w
				apart[o] += d * d
				size[o] += w * w
			}
		}
	}); err != nil {
		return 0, err
	}
	l := 0.0
	for o, d := range apart {
		l += d / max(size[o], math.SmallestNonzeroFloat32) / float64(len(apart))
	}
	if math.IsNaN(l) {
		l = math.Inf(1)
	}
	j.losses[name] = l
	j.tried++
	if time.Since(j.saved) > saveLosses {
		_ = j.save() // at the end it is tried again, and told
	}
	return l, nil
}

// prune makes the parameters those of a candidate; nil is the float model.
func (j *judge) prune(kept []int) {
	for _, t := range j.touched {
		t.data.CopyFrom(t.full)
		if kept == nil {
			continue
		}
		for _, s := range t.spans {
			order := j.order[s.cluster]
			for _, ch := range order[:len(order)-kept[s.cluster]] {
				clearEntries(t.data, s.Axis, s.Of(ch))
			}
		}
	}
}

// lossVersion changes when equal keys would give other losses.
const lossVersion = "legr losses 1"

// lossFile is the form of the file of losses.
type lossFile struct {
	Key    string             `json:"key"`
	Losses map[string]float64 `json:"losses"` // -1 for infinity
}

// open reads the losses that are known of the same model, masks and samples.
func (j *judge) open(dir string) error {
	if dir == "" {
		return nil
	}
	h := sha256.New()
	text, err := ir.Print(j.g)
	if err != nil {
		return err
	}
	fmt.Fprintln(h, lossVersion, j.order, text)
	for _, k := range j.c.clusters {
		fmt.Fprintln(h, k.Channels, k.Cluster.Members)
	}
	hashAll(h, j.c.plain.Stored())
	for _, b := range j.batches {
		for _, t := range b {
			t.Hash(h)
		}
	}
	j.key = hex.EncodeToString(h.Sum(nil))
	j.path = filepath.Join(dir, "legr-"+j.key[:32]+".json")
	raw, err := os.ReadFile(j.path)
	if err != nil {
		return nil
	}
	var f lossFile
	if json.Unmarshal(raw, &f) != nil || f.Key != j.key {
		return nil
	}
	for name, l := range f.Losses {
		if l < 0 {
			l = math.Inf(1)
		}
		j.losses[name] = l
	}
	return nil
}

func hashAll(h hash.Hash, stored []*ir.Value) {
	for _, v := range stored {
		fmt.Fprintln(h, v.Name, v.Kind)
		v.Data.Hash(h)
	}
}

// save writes the losses; the file appears whole.
func (j *judge) save() error {
	if j.path == "" || j.tried == 0 {
		return nil
	}
	j.saved = time.Now()
	f := lossFile{j.key, make(map[string]float64, len(j.losses))}
	for name, l := range j.losses {
		if math.IsInf(l, 1) {
			l = -1
		}
		f.Losses[name] = l
	}
	raw, err := json.Marshal(f)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(j.path), 0o755)
	}
	if err == nil {
		err = atomicfile.WriteBytes(j.path, raw)
	}
	if err != nil {
		return fmt.Errorf("cache of learned ranking: %w", err)
	}
	return nil
}

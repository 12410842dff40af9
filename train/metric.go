package train

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/go-nncf/nncf/compress/sensitivity"
	"github.com/go-nncf/nncf/tensor"
)

// Metrics are what an evaluation measured. Accuracies are in percent, NaN where
// nothing is known about them; JSON then has none.
type Metrics struct {
	Samples int
	Loss    float64
	Top1    float64
	Top5    float64
	// Confusion counts, [label][prediction]; nil above 1000 classes.
	Confusion [][]int
	// Outputs are how far the outputs are from the float model's, where the samples
	// have no labels.
	Outputs []sensitivity.OutputError
}

// Score is what models are compared by, more is better: top-1, or without labels
// the error of the worst output, in percent and
// negative; see [sensitivity.BySample].Bound.
func (m Metrics) Score() float64 {
	if m.Outputs == nil {
		return m.Top1
	}
	return -min(100*float64(sensitivity.WorstOutput(m.Outputs).Bound), math.MaxFloat32)
}

// metricsJSON is Metrics with numbers that may be absent.
type metricsJSON struct {
	Samples   int                       `json:"samples"`
	Loss      *float64                  `json:"loss"`
	Top1      *float64                  `json:"top1,omitempty"`
	Top5      *float64                  `json:"top5,omitempty"`
	Confusion [][]int                   `json:"confusion,omitempty"`
	Outputs   []sensitivity.OutputError `json:"outputs,omitempty"`
}

// MarshalJSON writes a loss that is not finite as null: JSON has no number for it.
func (m Metrics) MarshalJSON() ([]byte, error) {
	return json.Marshal(metricsJSON{m.Samples, finite(m.Loss), finite(m.Top1), finite(m.Top5), m.Confusion, m.Outputs})
}

// UnmarshalJSON reads what is null or absent as NaN.
func (m *Metrics) UnmarshalJSON(b []byte) error {
	var v metricsJSON
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	*m = Metrics{v.Samples, orNaN(v.Loss), orNaN(v.Top1), orNaN(v.Top5), v.Confusion, v.Outputs}
	return nil
}

// finite returns nil for a number that JSON does not have.
func finite(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

func orNaN(v *float64) float64 {
	if v == nil {
		return math.NaN()
	}
	return *v
}

// Classification accumulates metrics over batches of scores.
type Classification struct {
	n, top1, top5 int
	loss          float64
	confusion     [][]int
}

// maxConfusion bounds the classes of a confusion matrix: one for ImageNet takes
// 8 MB.
const maxConfusion = 1000

// Add counts the first n rows of scores [N, classes] against labels [N]; loss
// is their mean loss. A label outside the classes is an error. The prediction
// is the first of the largest scores; a score of NaN is never right.
func (c *Classification) Add(scores, labels *tensor.Tensor, n int, loss float64) error {
	if scores.DType() != tensor.Float32 || scores.Rank() != 2 || scores.Shape()[0] < n || labels.Len() < n {
		return fmt.Errorf("got scores %v and labels %v for %d samples, want float32[N classes] and int64[N]", scores, labels, n)
	}
	k := scores.Shape()[1]
	if c.confusion == nil && k <= maxConfusion {
		c.confusion = make([][]int, k)
		for i := range c.confusion {
			c.confusion[i] = make([]int, k)
		}
	}
	s, l := scores.F32(), labels.I64()
	for i := range n {
		row, want := s[i*k:][:k], int(l[i])
		if want < 0 || want >= k {
			return fmt.Errorf("label %d of sample %d is outside the model's %d classes", want, c.n+i, k)
		}
		best, rank := 0, 0
		for j, v := range row {
			if v > row[best] || row[best] != row[best] && v == v {
				best = j
			}
			if v > row[want] || v == row[want] && j < want {
				rank++
			}
		}
		if row[want] == row[want] {
			if rank == 0 {
				c.top1++
			}
			if rank < 5 {
				c.top5++
			}
		}
		if c.confusion != nil {
			c.confusion[want][best]++
		}
	}
	c.n += n
	c.loss += loss * float64(n)
	return nil
}

// Metrics returns what was measured so far.
func (c *Classification) Metrics() Metrics {
	m := Metrics{Samples: c.n}
	for _, row := range c.confusion {
		m.Confusion = append(m.Confusion, slices.Clone(row))
	}
	if c.n > 0 {
		n := float64(c.n)
		m.Loss, m.Top1, m.Top5 = c.loss/n, 100*float64(c.top1)/n, 100*float64(c.top5)/n
	}
	return m
}

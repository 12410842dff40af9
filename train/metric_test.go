package train_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/go-nncf/nncf/tensor"
	"github.com/go-nncf/nncf/train"
)

var nan = float32(math.NaN())

func TestClassification(t *testing.T) {
	inf := float32(math.Inf(1))
	for _, c := range []struct {
		name       string
		row        []float32
		label      int64
		top1, top5 float64
		prediction int
	}{
		{"first", []float32{3, 1, 2, 0, -1, -2, -3}, 0, 100, 100, 0},
		{"second", []float32{3, 1, 2, 0, -1, -2, -3}, 2, 0, 100, 0},
		{"fifth", []float32{3, 1, 2, 0, -1, -2, -3}, 4, 0, 100, 0},
		{"sixth", []float32{3, 1, 2, 0, -1, -2, -3}, 5, 0, 0, 0},
		{"tie, first of them", []float32{0, 5, 5, 5, 0, 0, 0}, 1, 100, 100, 1},
		{"tie, second of them", []float32{0, 5, 5, 5, 0, 0, 0}, 2, 0, 100, 1},
		{"all equal, fifth", []float32{1, 1, 1, 1, 1, 1, 1}, 4, 0, 100, 0},
		{"all equal, sixth", []float32{1, 1, 1, 1, 1, 1, 1}, 5, 0, 0, 0},
		{"NaN elsewhere", []float32{nan, 1, 2, 0, 0, 0, 0}, 2, 100, 100, 2},
		{"NaN at the label", []float32{nan, 1, 2, 0, 0, 0, 0}, 0, 0, 0, 2},
		{"all NaN", []float32{nan, nan, nan, nan, nan, nan, nan}, 0, 0, 0, 0},
		{"infinite", []float32{-inf, inf, 0, 0, 0, 0, 0}, 1, 100, 100, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var k train.Classification
			if err := k.Add(tensor.From(c.row, 1, len(c.row)), tensor.From([]int64{c.label}, 1), 1, 0.5); err != nil {
				t.Fatal(err)
			}
			m := k.Metrics()
			if m.Top1 != c.top1 || m.Top5 != c.top5 || m.Samples != 1 || m.Loss != 0.5 {
				t.Errorf("got %+v, want top-1 %g, top-5 %g", m, c.top1, c.top5)
			}
			if m.Confusion[c.label][c.prediction] != 1 {
				t.Errorf("confusion: got %v, want a prediction of %d", m.Confusion, c.prediction)
			}
		})
	}
}

// TestClassification_Sort compares with ranks found by sorting.
func TestClassification_Sort(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const rows, classes = 200, 12
	x, l := tensor.New(tensor.Float32, rows, classes), tensor.New(tensor.Int64, rows)
	var top1, top5 int
	confusion := make([][]int, classes)
	for i := range confusion {
		confusion[i] = make([]int, classes)
	}
	for i := range rows {
		row := x.F32()[i*classes:][:classes]
		for j := range row {
			row[j] = float32(rng.IntN(6)) // many ties
		}
		l.I64()[i] = rng.Int64N(classes)
		order := make([]int, classes)
		for j := range order {
			order[j] = j
		}
		slices.SortStableFunc(order, func(a, b int) int { return int(row[b] - row[a]) })
		at := slices.Index(order, int(l.I64()[i]))
		if at < 1 {
			top1++
		}
		if at < 5 {
			top5++
		}
		confusion[l.I64()[i]][order[0]]++
	}
	var k train.Classification
	for lo := 0; lo < rows; lo += 50 {
		part := tensor.From(x.F32()[lo*classes:][:50*classes], 50, classes)
		if err := k.Add(part, tensor.From(l.I64()[lo:][:50], 50), 50, float64(lo)); err != nil {
			t.Fatal(err)
		}
	}
	want := train.Metrics{Samples: rows, Loss: 75, Top1: 100 * float64(top1) / rows, Top5: 100 * float64(top5) / rows, Confusion: confusion}
	if d := cmp.Diff(want, k.Metrics()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestClassification_Few(t *testing.T) {
	var k train.Classification
	if m := k.Metrics(); m.Samples != 0 || m.Top1 != 0 || math.IsNaN(m.Loss) {
		t.Errorf("without samples: got %+v", m)
	}
	// Two classes: everything is among the best five. Only n rows count.
	if err := k.Add(tensor.From([]float32{1, 2, 0, 0}, 2, 2), tensor.From([]int64{0, 9}, 2), 1, 1); err != nil {
		t.Fatal(err)
	}
	if m := k.Metrics(); m.Samples != 1 || m.Top1 != 0 || m.Top5 != 100 {
		t.Errorf("got %+v, want 1 sample, top-1 0, top-5 100", m)
	}
	first := k.Metrics()
	if err := k.Add(tensor.From([]float32{1, 2}, 1, 2), tensor.From([]int64{0}, 1), 1, 1); err != nil {
		t.Fatal(err)
	}
	if first.Confusion[0][1] != 1 {
		t.Error("metrics taken earlier changed")
	}
}

func TestClassification_Errors(t *testing.T) {
	scores := tensor.New(tensor.Float32, 2, 3)
	for _, c := range []struct {
		name           string
		scores, labels *tensor.Tensor
		want           string
	}{
		{"no label", scores, tensor.From([]int64{0, -1}, 2), "label -1 of sample 1"},
		{"label too large", scores, tensor.From([]int64{0, 3}, 2), "label 3 of sample 1 is outside the model's 3 classes"},
		{"far too large", scores, tensor.From([]int64{math.MaxInt64, 0}, 2), "outside the model's 3 classes"},
		{"rank", tensor.New(tensor.Float32, 6), tensor.New(tensor.Int64, 2), "float32[N classes]"},
		{"element type", tensor.New(tensor.Float64, 2, 3), tensor.New(tensor.Int64, 2), "float32[N classes]"},
		{"too few labels", scores, tensor.New(tensor.Int64, 1), "int64[N]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var k train.Classification
			wantError(t, k.Add(c.scores, c.labels, 2, 0), c.want)
		})
	}
}

func TestMetrics_JSON(t *testing.T) {
	for _, m := range []train.Metrics{
		{Samples: 3, Loss: 0.25, Top1: 50, Top5: 100, Confusion: [][]int{{1, 2}, {3, 4}}},
		{Samples: 3, Loss: math.NaN(), Top1: 10},
		{Samples: 3, Loss: math.Inf(1)},
	} {
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		var got train.Metrics
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		if math.IsInf(m.Loss, 0) {
			m.Loss = math.NaN()
		}
		if math.IsNaN(m.Loss) && math.IsNaN(got.Loss) {
			m.Loss, got.Loss = 0, 0
		}
		if d := cmp.Diff(m, got); d != "" {
			t.Errorf("%s: -want +got:\n%s", b, d)
		}
	}
}

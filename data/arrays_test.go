package data

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/tensor"
)

// texts are six examples of three tokens with a mask, labels counting 0, 1, 2.
func texts() (ids, mask, labels *tensor.Tensor) {
	ids, mask, labels = tensor.New(tensor.Int32, 6, 3), tensor.New(tensor.Uint8, 6, 3), tensor.New(tensor.Int64, 6)
	for i := range 18 {
		tensor.Data[int32](ids)[i] = int32(100 + i)
		tensor.Data[uint8](mask)[i] = uint8(i % 2)
	}
	for i := range 6 {
		labels.I64()[i] = int64(i % 3)
	}
	return ids, mask, labels
}

func TestArrays_Loader(t *testing.T) {
	ids, mask, labels := texts()
	path := filepath.Join(folder(t, map[string][]byte{"d.npz": npz(
		Array{"ids_train", ids}, Array{"mask_train", mask}, Array{"y_train", labels}, Array{"ids_test", tensor.New(tensor.Int64, 2, 3)},
	)}), "d.npz")
	whole := mustOpen(t, "npz:"+path, Options{})
	if got := Fields(whole); len(got) != 2 || got[0].Name != "ids" || got[0].DType != tensor.Int32 || !got[1].Shape.Equal(tensor.Shape{3}) {
		t.Fatalf("got fields %v", got)
	}
	if test := mustOpen(t, "npz:"+path, Options{Split: Test}); test.Len() != 2 || test.Label(0) != -1 || len(Fields(test)) != 1 {
		t.Errorf("got a test part of %d examples", test.Len())
	}
	// the order of a model, in its types, of some of the examples
	picked, err := Select(First(Subset(whole, []int{5, 0, 3, 1}), 3), []Field{{Name: "mask", DType: tensor.Float32}, {Name: "ids", DType: tensor.Int64}})
	if err != nil {
		t.Fatal(err)
	}
	for _, workers := range []int{1, 3} {
		l := &Loader{Dataset: picked, Batch: 2, Workers: workers}
		var got, labels []int64
		var masks []float32
		for b, err := range l.Batches(t.Context(), 0) {
			if err != nil {
				t.Fatal(err)
			}
			in := b.Inputs()
			if len(in) != 2 || b.Images != nil || in[1].Shape()[0] != b.Len() {
				t.Fatalf("got inputs %v, images %v", in, b.Images)
			}
			masks = append(masks, in[0].F32()...)
			got = append(got, in[1].I64()...)
			labels = append(labels, b.Labels.I64()...)
		}
		if want := []int64{115, 116, 117, 100, 101, 102, 109, 110, 111}; !slices.Equal(got, want) {
			t.Errorf("%d workers: got ids %v, want %v", workers, got, want)
		}
		if want := []float32{1, 0, 1, 0, 1, 0, 1, 0, 1}; !slices.Equal(masks, want) {
			t.Errorf("%d workers: got masks %v, want %v", workers, masks, want)
		}
		if want := []int64{2, 0, 0}; !slices.Equal(labels, want) {
			t.Errorf("%d workers: got labels %v, want %v", workers, labels, want)
		}
		l.Dataset = whole
		for b, err := range l.Batches(t.Context(), 0) {
			if b != nil || err == nil || !strings.Contains(err.Error(), `"mask": got uint8`) {
				t.Fatalf("got %v, error %v", b, err)
			}
			break
		}
	}
}

func TestArrays_Errors(t *testing.T) {
	ids, mask, labels := texts()
	short := tensor.New(tensor.Int64, 5, 3)
	_, err := FromArrays([]Array{{"ids", ids}, {"short", short}, {"one", tensor.Scalar(int64(1))}}, nil, nil)
	for _, want := range []string{`"short": got 5 examples, "ids" has 6`, `"one": got a single number`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want %q", err, want)
		}
	}
	ds, err := FromArrays([]Array{{"ids", ids}, {"mask", mask}}, labels, nil)
	if err != nil {
		t.Fatal(err)
	}
	images, err := FromTensors(tensor.New(tensor.Uint8, 2, 2, 2), nil, Auto, nil)
	if err != nil {
		t.Fatal(err)
	}
	large := tensor.From([]int64{1 << 40}, 1, 1)
	one, err := FromArrays([]Array{{"ids", large}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		ds   Dataset
		want []Field
		err  []string
	}{
		{ds, []Field{{Name: "a", DType: tensor.Int64}, {Name: "b", DType: tensor.Int64}}, []string{`no array "a": got ids int32[3], mask`, `no array "b"`}},
		{ds, []Field{{Name: "ids", DType: tensor.String}}, []string{`array "ids": got int32, want string`}},
		{images, []Field{{Name: "a"}, {Name: "b"}}, []string{"arrays of 2 inputs"}},
		{one, []Field{{Name: "tokens", DType: tensor.Int32}}, []string{`array "ids": got 1099511627776, want int32`}},
	} {
		_, err := Select(c.ds, c.want)
		for _, want := range c.err {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got error %v, want %q", err, want)
			}
		}
	}
	l := &Loader{Dataset: ds, Transforms: Transforms{HorizontalFlip{}}, Normalize: Normalize{Mean: []float64{1}}}
	for _, err := range l.Batches(t.Context(), 0) {
		if err == nil || !strings.Contains(err.Error(), "1 transforms") || !strings.Contains(err.Error(), "normalization") {
			t.Errorf("got error %v", err)
		}
	}
	if err := ds.Image(0, &Image{}); err == nil || !strings.Contains(err.Error(), "not images") {
		t.Errorf("got error %v", err)
	}
}

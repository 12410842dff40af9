package tensor

import "testing"

func TestRows(t *testing.T) {
	x := From([]int64{0, 1, 2, 3, 4, 5}, 3, 2)
	r := x.Rows(1, 3)
	if !r.Equal(From([]int64{2, 3, 4, 5}, 2, 2)) {
		t.Errorf("got %v %v", r, r.I64())
	}
	r.I64()[0] = 7
	if x.I64()[2] != 7 {
		t.Error("rows do not share memory")
	}
	if e := From([]bool{true, false}, 2).Rows(1, 1); e.Len() != 0 || e.DType() != Bool {
		t.Errorf("no rows: got %v", e)
	}
	if s := Shapes([]*Tensor{x, r}); !s[0].Equal(Shape{3, 2}) || !s[1].Equal(Shape{2, 2}) {
		t.Errorf("got shapes %v", s)
	}
}

package native

import (
	"github.com/go-nncf/nncf/internal/kernel/period"
	"github.com/go-nncf/nncf/ir"
)

// operand is how an elementwise operator reads one of its inputs.
type operand struct {
	kind  operandKind
	value *ir.Value
}

type operandKind uint8

const (
	omitted    operandKind = iota
	full                   // the shape of the result
	scalar                 // one element
	perChannel             // one element per index of axis 1
	perLast                // one element per index of the last axis
	perRow                 // the shape of the result with a last axis of 1
	general                // anything else that broadcasts
)

// classify says how v broadcasts to the shape.
func classify(v *ir.Value, shape []int) operand {
	if v == nil {
		return operand{}
	}
	s := v.Type.MustShape()
	o := operand{value: v, kind: general}
	rank := len(shape)
	// longer: the position, counted from the end, of the only axis above 1
	long, count := 0, 0
	for i := range s {
		if s[len(s)-1-i] != 1 {
			long, count = i, count+1
		}
	}
	switch {
	case s.Equal(shape):
		o.kind = full
	case count == 0:
		o.kind = scalar
	case len(s) == rank && s[rank-1] == 1 && s[:rank-1].Equal(shape[:rank-1]):
		o.kind = perRow
	case count == 1 && rank >= 3 && long == rank-2:
		o.kind = perChannel
	case count == 1 && long == 0:
		o.kind = perLast
	}
	if o.kind == full && s.Numel() == 1 {
		o.kind = scalar
	}
	return o
}

// periodic returns memory that holds the parameter v repeated to the period of
// its length, filled once per run: at its start for stored values, otherwise
// by a step at this point.
func (c *compiler) periodic(v *ir.Value) *temp {
	if t := c.periods[v.ID]; t != nil {
		return t
	}
	src := c.in(v, rowMajor)
	t := c.temp(period.Len(max(1, src.shape.Numel())))
	c.periods[v.ID] = t
	bind := func() func() error {
		dst, x := t.mem, src.f32()
		return func() error { period.Expand(dst, x); return nil }
	}
	if v.IsStored() {
		c.emitFirst("expand", []*slot{src}, bind, t)
	} else {
		c.emit(nil, "expand", []*slot{src}, nil, bind, t)
	}
	return t
}

// scalarOf returns a function that reads the only element of v at run time.
func (c *compiler) scalarOf(v *ir.Value) (s *slot, read func() float32) {
	s = c.in(v, rowMajor)
	return s, func() float32 { return s.f32()[0] }
}

package native

import (
	"github.com/go-nncf/nncf/internal/kernel/elementwise"
	"github.com/go-nncf/nncf/internal/kernel/gemm"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
)

func lowerRNN(c *compiler, n *ir.Node) error {
	o := n.Op.(op.RNN)
	q, err := c.forward(n, o)
	if err != nil {
		return err
	}
	if q == nil {
		return lowerReference(c, n)
	}
	h := q.h
	gates := area{temp: c.temp(q.d * q.t * q.n * h)}
	if err := q.project(gates, 1); err != nil {
		return err
	}
	m, err := q.mul(c.in(n.In[2], rowMajor), 0, h, true)
	if err != nil {
		return err
	}
	h0, ys, lastH := q.optional(5), q.result(0), q.result(1)
	hs := c.temp(q.d * q.n * h)
	q.emit("RNN", []*slot{h0}, []*slot{ys, lastH}, func() func(b blockOf, lens []int) {
		gd, yd, h0d, lh := gates.mem(), of(ys), of(h0), of(lastH)
		return func(b blockOf, lens []int) {
			hb := q.state(hs.mem, b, 1)
			q.begin(hb, h0d, b)
			f := q.fn(b.d, 0)
			for k := range q.t {
				t := q.time(b.d, k)
				block := gd[q.step(b.d, t, b.lo, h):][:b.m*h]
				if k > 0 || h0d != nil {
					m.run(q, b.d, b.block, hb, gemm.Fusion{Accumulate: true}, block)
				}
				for r := range b.m {
					a := block[r*h:][:h]
					if lens != nil && t >= lens[b.lo+r] {
						clear(a)
					} else {
						f.apply(a)
						copy(hb[r*h:][:h], a)
					}
					if yd != nil {
						copy(yd[q.at(b.d, t, b.lo+r):][:h], a)
					}
				}
			}
			q.end(lh, hb, b)
		}
	}, m.packed, gates.temp, hs)
	return nil
}

func lowerRNNGrad(c *compiler, n *ir.Node) error {
	o := n.Op.(op.RNNGrad).RNN
	q, err := c.backward(n, o)
	if err != nil {
		return err
	}
	if q == nil {
		return lowerReference(c, n)
	}
	h := q.h
	m, err := q.mul(c.in(n.In[1], rowMajor), 0, h, false)
	if err != nil {
		return err
	}
	y, h0, dy, dh := q.optional(0), q.optional(3), q.optional(4), q.optional(5)
	da := q.area(0, q.d*q.t*q.n*h)
	dh0, before := q.result(1), q.result(2)
	hs := c.temp(q.d * q.n * h)
	temps := append([]*temp{m.packed, hs}, da.temps()...)
	q.emit("RNN backward", []*slot{y, h0, dy, dh}, []*slot{da.slot, dh0, before}, func() func(b blockOf, lens []int) {
		yd, h0d, dyd, dhd := y.f32(), of(h0), of(dy), of(dh)
		dad, dh0d, bd := da.mem(), of(dh0), of(before)
		return func(b blockOf, lens []int) {
			hb := q.state(hs.mem, b, 1)
			q.begin(hb, dhd, b)
			f := q.fn(b.d, 0)
			for k := q.t - 1; k >= 0; k-- {
				t := q.time(b.d, k)
				block := dad[q.step(b.d, t, b.lo, h):][:b.m*h]
				for r := range b.m {
					n, at := b.lo+r, q.step(b.d, t, b.lo+r, h)
					d := block[r*h:][:h]
					if lens != nil && t >= lens[n] {
						clear(d)
						if bd != nil {
							clear(bd[at:][:h])
						}
						continue
					}
					if bd != nil {
						q.previous(bd[at:][:h], yd, h0d, b.d, t, n, lens)
					}
					dhr := hb[r*h:][:h]
					if dyd != nil {
						elementwise.Add.Run(dhr, dhr, dyd[q.at(b.d, t, n):][:h])
					}
					f.back(d, dhr, yd[q.at(b.d, t, n):][:h])
					clear(dhr)
				}
				m.run(q, b.d, b.block, block, gemm.Fusion{Accumulate: true}, hb)
			}
			q.end(dh0d, hb, b)
		}
	}, temps...)
	return nil
}

package native

import (
	"github.com/go-nncf/nncf/internal/kernel/elementwise"
	"github.com/go-nncf/nncf/internal/kernel/gemm"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
)

func lowerLSTM(c *compiler, n *ir.Node) error {
	o := n.Op.(op.LSTM)
	q, err := c.forward(n, o)
	if err != nil {
		return err
	}
	if q == nil {
		return lowerReference(c, n)
	}
	h := q.h
	rec := c.in(n.In[2], rowMajor)
	gates := q.area(3, q.d*q.t*q.n*4*h)
	if err := q.project(gates, 4); err != nil {
		return err
	}
	m, err := q.mul(rec, 0, 4*h, true)
	if err != nil {
		return err
	}
	h0, c0, peep := q.optional(5), q.optional(6), q.optional(7)
	ys, lastH, lastC, cells := q.result(0), q.result(1), q.result(2), q.result(4)
	hs, cs, tmp := c.temp(q.d*q.n*h), c.temp(q.d*q.n*h), c.workspace(c.workers*h)
	temps := append([]*temp{m.packed, hs, cs, tmp}, gates.temps()...)
	q.emit("LSTM", []*slot{h0, c0, peep, gates.slot}, []*slot{ys, lastH, lastC, cells, gates.slot}, func() func(b blockOf, lens []int) {
		gd, yd, cd, h0d, c0d, pd := gates.mem(), of(ys), of(cells), of(h0), of(c0), of(peep)
		lh, lc := of(lastH), of(lastC)
		return func(b blockOf, lens []int) {
			hb, cb, t1 := q.state(hs.mem, b, 1), q.state(cs.mem, b, 1), tmp.part(b.worker, h)
			q.begin(hb, h0d, b)
			q.begin(cb, c0d, b)
			f, g, last := q.fn(b.d, 0), q.fn(b.d, 1), q.fn(b.d, 2)
			for k := range q.t {
				t := q.time(b.d, k)
				block := gd[q.step(b.d, t, b.lo, 4*h):][:b.m*4*h]
				if k > 0 || h0d != nil {
					m.run(q, b.d, b.block, hb, gemm.Fusion{Accumulate: true}, block)
				}
				for r := range b.m {
					a := block[r*4*h:][:4*h]
					if lens != nil && t >= lens[b.lo+r] {
						clear(a)
						if yd != nil {
							clear(yd[q.at(b.d, t, b.lo+r):][:h])
						}
						if cd != nil {
							clear(cd[q.step(b.d, t, b.lo+r, h):][:h])
						}
						continue
					}
					hr, cr := hb[r*h:][:h], cb[r*h:][:h]
					i, out, forget, in := a[:h], a[h:2*h], a[2*h:3*h], a[3*h:]
					add := func(dst []float32, gate int) {
						elementwise.Mul.Run(t1, pd[(b.d*3+gate)*h:][:h], cr)
						elementwise.Add.Run(dst, dst, t1)
					}
					if pd == nil {
						f.apply(a[:3*h])
					} else {
						add(i, 0)
						add(forget, 2)
						f.apply(i)
						f.apply(forget)
					}
					if o.InputForget {
						elementwise.Sub.ScalarLeft(forget, 1, i)
					}
					g.apply(in)
					elementwise.Mul.Run(cr, cr, forget)
					elementwise.Mul.Run(t1, i, in)
					elementwise.Add.Run(cr, cr, t1)
					if pd != nil {
						add(out, 1)
						f.apply(out)
					}
					last.value(t1, cr)
					elementwise.Mul.Run(hr, out, t1)
					if yd != nil {
						copy(yd[q.at(b.d, t, b.lo+r):][:h], hr)
					}
					if cd != nil {
						copy(cd[q.step(b.d, t, b.lo+r, h):][:h], cr)
					}
				}
			}
			q.end(lh, hb, b)
			q.end(lc, cb, b)
		}
	}, temps...)
	return nil
}

// lowerLSTMGrad leaves the gradient of peepholes to the reference evaluator.
func lowerLSTMGrad(c *compiler, n *ir.Node) error {
	o := n.Op.(op.LSTMGrad).LSTM
	q, err := c.backward(n, o)
	if err != nil {
		return err
	}
	if q == nil || n.Input(9) != nil || n.Output(4) != nil {
		return lowerReference(c, n)
	}
	h := q.h
	m, err := q.mul(c.in(n.In[1], rowMajor), 0, 4*h, false)
	if err != nil {
		return err
	}
	y, h0, dy, dh, gates, cells, c0, dc := q.optional(0), q.optional(3), q.optional(4), q.optional(5), q.optional(6), q.optional(7), q.optional(8), q.optional(10)
	da := q.area(0, q.d*q.t*q.n*4*h)
	dh0, before, dc0 := q.result(1), q.result(2), q.result(3)
	hs, cs, tmp := c.temp(q.d*q.n*h), c.temp(q.d*q.n*h), c.workspace(c.workers*2*h)
	temps := append([]*temp{m.packed, hs, cs, tmp}, da.temps()...)
	q.emit("LSTM backward", []*slot{y, h0, dy, dh, gates, cells, c0, dc}, []*slot{da.slot, dh0, before, dc0}, func() func(b blockOf, lens []int) {
		yd, h0d, dyd, dhd, gd, cd, c0d, dcd := y.f32(), of(h0), of(dy), of(dh), gates.f32(), cells.f32(), of(c0), of(dc)
		dad, dh0d, bd, dc0d := da.mem(), of(dh0), of(before), of(dc0)
		return func(b blockOf, lens []int) {
			hb, cb := q.state(hs.mem, b, 1), q.state(cs.mem, b, 1)
			t1, t2 := tmp.part(b.worker, 2*h)[:h], tmp.part(b.worker, 2*h)[h:]
			q.begin(hb, dhd, b)
			q.begin(cb, dcd, b)
			f, g, last := q.fn(b.d, 0), q.fn(b.d, 1), q.fn(b.d, 2)
			for k := q.t - 1; k >= 0; k-- {
				t := q.time(b.d, k)
				block := dad[q.step(b.d, t, b.lo, 4*h):][:b.m*4*h]
				for r := range b.m {
					n, at := b.lo+r, q.step(b.d, t, b.lo+r, h)
					d := block[r*4*h:][:4*h]
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
					dhr, dcr := hb[r*h:][:h], cb[r*h:][:h]
					a, cell := gd[4*at:][:4*h], cd[at:][:h]
					i, out, forget, in := a[:h], a[h:2*h], a[2*h:3*h], a[3*h:]
					if dyd != nil {
						elementwise.Add.Run(dhr, dhr, dyd[q.at(b.d, t, n):][:h])
					}
					last.value(t1, cell)
					elementwise.Mul.Run(t2, dhr, t1)
					f.back(d[h:2*h], t2, out)
					elementwise.Mul.Run(t2, dhr, out)
					last.slope(t2, t2, t1)
					elementwise.Add.Run(dcr, dcr, t2)
					var prev []float32
					if p := q.before(b.d, t, n, lens); p >= 0 {
						prev = cd[q.step(b.d, p, n, h):][:h]
					} else if c0d != nil {
						prev = c0d[(b.d*q.n+n)*h:][:h]
					}
					elementwise.Mul.Run(t1, dcr, in)
					switch {
					case prev == nil:
						clear(d[2*h : 3*h])
					case o.InputForget:
						clear(d[2*h : 3*h])
						elementwise.Mul.Run(t2, dcr, prev)
						elementwise.Sub.Run(t1, t1, t2)
					default:
						elementwise.Mul.Run(t2, dcr, prev)
						f.back(d[2*h:3*h], t2, forget)
					}
					f.back(d[:h], t1, i)
					elementwise.Mul.Run(t1, dcr, i)
					g.back(d[3*h:], t1, in)
					elementwise.Mul.Run(dcr, dcr, forget)
					clear(dhr)
				}
				m.run(q, b.d, b.block, block, gemm.Fusion{Accumulate: true}, hb)
			}
			q.end(dh0d, hb, b)
			q.end(dc0d, cb, b)
		}
	}, temps...)
	return nil
}

package native

import (
	"github.com/go-nncf/nncf/internal/kernel/elementwise"
	"github.com/go-nncf/nncf/internal/kernel/gemm"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
)

func lowerGRU(c *compiler, n *ir.Node) error {
	o := n.Op.(op.GRU)
	q, err := c.forward(n, o)
	if err != nil {
		return err
	}
	if q == nil {
		return lowerReference(c, n)
	}
	h, linear := q.h, o.LinearBeforeReset
	rec, bias := c.in(n.In[2], rowMajor), q.optional(3)
	gates := q.area(2, q.d*q.t*q.n*3*h)
	biases, wide := 3, 2 // gates that the first product of a step is for
	if linear {
		biases, wide = 2, 3
	}
	if err := q.project(gates, biases); err != nil {
		return err
	}
	m, err := q.mul(rec, 0, wide*h, true)
	if err != nil {
		return err
	}
	hs, product, inner, tmp := c.temp(q.d*q.n*h), c.temp(q.d*q.n*3*h), c.temp(q.d*q.n*h), c.workspace(c.workers*h)
	temps := []*temp{m.packed, hs, product, inner, tmp}
	var m2 *mul
	if !linear {
		if m2, err = q.mul(rec, 2*h, h, true); err != nil {
			return err
		}
		temps = append(temps, m2.packed)
	}
	h0, ys, lastH, kept := q.optional(5), q.result(0), q.result(1), q.result(3)
	temps = append(temps, gates.temps()...)
	q.emit("GRU", []*slot{h0, bias, gates.slot}, []*slot{ys, lastH, kept, gates.slot}, func() func(b blockOf, lens []int) {
		gd, yd, kd, h0d, lh, bd := gates.mem(), of(ys), of(kept), of(h0), of(lastH), of(bias)
		return func(b blockOf, lens []int) {
			hb, t1 := q.state(hs.mem, b, 1), tmp.part(b.worker, h)
			u, in := q.state(product.mem, b, 3), q.state(inner.mem, b, 1)
			q.begin(hb, h0d, b)
			f, g := q.fn(b.d, 0), q.fn(b.d, 1)
			for k := range q.t {
				t := q.time(b.d, k)
				block := gd[q.step(b.d, t, b.lo, 3*h):][:b.m*3*h]
				on := func(r int) bool { return lens == nil || t < lens[b.lo+r] }
				first := u[:b.m*wide*h]
				m.run(q, b.d, b.block, hb, gemm.Fusion{}, first)
				for r := range b.m {
					if !on(r) {
						clear(in[r*h:][:h])
						continue
					}
					zr, add := block[r*3*h:][:2*h], first[r*wide*h:]
					elementwise.Add.Run(zr, zr, add)
					f.apply(zr)
					if !linear {
						elementwise.Mul.Run(in[r*h:][:h], zr[h:], hb[r*h:][:h])
						continue
					}
					copy(in[r*h:][:h], add[2*h:])
					if bd != nil {
						elementwise.Add.Run(in[r*h:][:h], in[r*h:][:h], bd[(b.d*6+5)*h:][:h])
					}
				}
				if !linear {
					m2.run(q, b.d, b.block, in, gemm.Fusion{}, u[:b.m*h])
				}
				for r := range b.m {
					a := block[r*3*h:][:3*h]
					if !on(r) {
						clear(a)
						if yd != nil {
							clear(yd[q.at(b.d, t, b.lo+r):][:h])
						}
						if kd != nil {
							clear(kd[q.step(b.d, t, b.lo+r, h):][:h])
						}
						continue
					}
					hr, cand := hb[r*h:][:h], a[2*h:]
					if linear {
						elementwise.Mul.Run(t1, a[h:2*h], in[r*h:][:h])
						elementwise.Add.Run(cand, cand, t1)
					} else {
						elementwise.Add.Run(cand, cand, u[r*h:][:h])
					}
					g.apply(cand)
					elementwise.Sub.Run(hr, hr, cand)
					elementwise.Mul.Run(hr, hr, a[:h])
					elementwise.Add.Run(hr, hr, cand)
					if yd != nil {
						copy(yd[q.at(b.d, t, b.lo+r):][:h], hr)
					}
					if kd != nil {
						copy(kd[q.step(b.d, t, b.lo+r, h):][:h], in[r*h:][:h])
					}
				}
			}
			q.end(lh, hb, b)
		}
	}, temps...)
	return nil
}

func lowerGRUGrad(c *compiler, n *ir.Node) error {
	o := n.Op.(op.GRUGrad).GRU
	q, err := c.backward(n, o)
	if err != nil {
		return err
	}
	if q == nil {
		return lowerReference(c, n)
	}
	h, linear := q.h, o.LinearBeforeReset
	rec := c.in(n.In[1], rowMajor)
	wide := 2
	if linear {
		wide = 3
	}
	m, err := q.mul(rec, 0, wide*h, false)
	if err != nil {
		return err
	}
	hs, zr, tmp := c.temp(q.d*q.n*h), c.temp(q.d*q.n*2*h), c.workspace(c.workers*2*h)
	through, cand := c.temp(q.d*q.n*h), c.temp(q.d*q.n*h)
	temps := []*temp{m.packed, hs, zr, tmp, through, cand}
	var m2 *mul
	if !linear {
		if m2, err = q.mul(rec, 2*h, h, false); err != nil {
			return err
		}
		temps = append(temps, m2.packed)
	}
	y, h0, dy, dh, gates, kept := q.optional(0), q.optional(3), q.optional(4), q.optional(5), q.optional(6), q.optional(7)
	steps := q.d * q.t * q.n * h
	da, before := q.area(0, 3*steps), q.area(2, steps)
	dh0 := q.result(1)
	list := []area{da, before}
	var dr area
	if linear {
		dr = q.area(3, 3*steps)
		list = append(list, dr)
	}
	writes := []*slot{dh0}
	for _, a := range list {
		writes, temps = append(writes, a.slot), append(temps, a.temps()...)
	}
	q.emit("GRU backward", []*slot{y, h0, dy, dh, gates, kept}, writes, func() func(b blockOf, lens []int) {
		yd, h0d, dyd, dhd, gd, kd := y.f32(), of(h0), of(dy), of(dh), gates.f32(), kept.f32()
		dad, bd, dh0d := da.mem(), before.mem(), of(dh0)
		var drd []float32
		if linear {
			drd = dr.mem()
		}
		return func(b blockOf, lens []int) {
			hb, t1, t2 := q.state(hs.mem, b, 1), tmp.part(b.worker, 2*h)[:h], tmp.part(b.worker, 2*h)[h:]
			zrb, thr, cb := q.state(zr.mem, b, 2), q.state(through.mem, b, 1), q.state(cand.mem, b, 1)
			q.begin(hb, dhd, b)
			f, g := q.fn(b.d, 0), q.fn(b.d, 1)
			for k := q.t - 1; k >= 0; k-- {
				t := q.time(b.d, k)
				on := func(r int) bool { return lens == nil || t < lens[b.lo+r] }
				for r := range b.m {
					n, at := b.lo+r, q.step(b.d, t, b.lo+r, h)
					d, prev := dad[3*at:][:3*h], bd[at:][:h]
					if !on(r) {
						clear(d)
						clear(prev)
						clear(cb[r*h:][:h])
						clear(zrb[r*2*h:][:2*h])
						if linear {
							clear(drd[3*at:][:3*h])
						}
						continue
					}
					q.previous(prev, yd, h0d, b.d, t, n, lens)
					dhr, a := hb[r*h:][:h], gd[3*at:][:3*h]
					if dyd != nil {
						elementwise.Add.Run(dhr, dhr, dyd[q.at(b.d, t, n):][:h])
					}
					elementwise.Sub.Run(t1, prev, a[2*h:])
					elementwise.Mul.Run(t1, t1, dhr)
					f.back(d[:h], t1, a[:h])
					elementwise.Mul.Run(t1, dhr, a[:h])
					elementwise.Sub.Run(t2, dhr, t1)
					copy(dhr, t1)
					g.back(d[2*h:], t2, a[2*h:])
					if !linear {
						copy(cb[r*h:][:h], d[2*h:])
						continue
					}
					elementwise.Mul.Run(t1, d[2*h:], kd[at:][:h])
					f.back(d[h:2*h], t1, a[h:2*h])
					rr := drd[3*at:][:3*h]
					copy(rr, d[:2*h])
					elementwise.Mul.Run(rr[2*h:], d[2*h:], a[h:2*h])
				}
				if linear {
					m.run(q, b.d, b.block, drd[3*q.step(b.d, t, b.lo, h):][:b.m*3*h], gemm.Fusion{Accumulate: true}, hb)
					continue
				}
				m2.run(q, b.d, b.block, cb, gemm.Fusion{}, thr)
				for r := range b.m {
					if !on(r) {
						continue
					}
					at, dhr, tr := q.step(b.d, t, b.lo+r, h), hb[r*h:][:h], thr[r*h:][:h]
					d, a := dad[3*at:][:3*h], gd[3*at:][:3*h]
					elementwise.Mul.Run(t1, tr, bd[at:][:h])
					f.back(d[h:2*h], t1, a[h:2*h])
					elementwise.Mul.Run(t1, tr, a[h:2*h])
					elementwise.Add.Run(dhr, dhr, t1)
					copy(zrb[r*2*h:][:2*h], d)
				}
				m.run(q, b.d, b.block, zrb, gemm.Fusion{Accumulate: true}, hb)
			}
			q.end(dh0d, hb, b)
		}
	}, temps...)
	return nil
}

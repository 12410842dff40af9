package native

import (
	"fmt"

	"github.com/go-nncf/nncf/internal/kernel/layout"
	"github.com/go-nncf/nncf/internal/kernel/optim"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// indexReader returns a function that reads index k, checked against an axis of
// n elements.
func indexReader(t *tensor.Tensor, n int) func(k int) (int, error) {
	at := func(k int) int { return int(tensor.Data[int64](t)[k]) }
	if t.DType() == tensor.Int32 {
		at = func(k int) int { return int(tensor.Data[int32](t)[k]) }
	}
	return func(k int) (int, error) {
		i := at(k)
		if i < -n || i >= n {
			return 0, fmt.Errorf("index %d is out of range for an axis of %d", i, n)
		}
		if i < 0 {
			i += n
		}
		return i, nil
	}
}

// gathered is the geometry of a Gather: which rows [outer][n][inner] go where.
type gathered struct{ outer, n, inner, count int }

func gatherOf(xs, indices tensor.Shape, axis int) (g gathered, err error) {
	a, err := tensor.Axis(axis, len(xs))
	if err != nil {
		return g, err
	}
	return gathered{xs[:a].Numel(), xs[a], xs[a+1:].Numel(), indices.Numel()}, nil
}

// lowerGather copies rows by index: an embedding, or any other axis.
func lowerGather(c *compiler, n *ir.Node) error {
	if !isFloat(n.In[0]) || n.Out[0].Type.MustShape().Numel() == 0 {
		return lowerReference(c, n)
	}
	g, err := gatherOf(n.In[0].Type.MustShape(), n.In[1].Type.MustShape(), n.Op.(op.Gather).Axis)
	if err != nil {
		return err
	}
	x, idx, y := c.in(n.In[0], rowMajor), c.in(n.In[1], rowMajor), c.out(n.Out[0], rowMajor)
	c.emit(n, "gather", []*slot{x, idx}, []*slot{y}, func() func() error {
		xd, yd, read := x.f32(), y.f32(), indexReader(idx.data, g.n)
		at := make([]int, g.count)
		per := max(1, taskLen/max(1, g.inner))
		rows := g.outer * g.count
		run := runTasks(c.pool, (rows+per-1)/per, func(t, _ int) {
			for r := t * per; r < min(rows, (t+1)*per); r++ {
				s := (r/g.count*g.n + at[r%g.count]) * g.inner
				copy(yd[r*g.inner:][:g.inner], xd[s:][:g.inner])
			}
		})
		return func() error {
			for k := range at {
				if at[k], err = read(k); err != nil {
					return err
				}
			}
			return run()
		}
	})
	return nil
}

// lowerGatherGrad adds rows up where they came from, in the order of the
// indices; tasks own columns.
func lowerGatherGrad(c *compiler, n *ir.Node) error {
	ys := n.Out[0].Type.MustShape()
	if !isFloat(n.In[0]) || ys.Numel() == 0 {
		return lowerReference(c, n)
	}
	g, err := gatherOf(ys, n.In[1].Type.MustShape(), n.Op.(op.GatherGrad).Axis)
	if err != nil {
		return err
	}
	dy, idx, dx := c.in(n.In[0], rowMajor), c.in(n.In[1], rowMajor), c.out(n.Out[0], rowMajor)
	const columns = 64
	c.emit(n, "scatter-add", []*slot{dy, idx}, []*slot{dx}, func() func() error {
		dyd, dxd, read := dy.f32(), dx.f32(), indexReader(idx.data, g.n)
		at := make([]int, g.count)
		blocks := (g.inner + columns - 1) / columns
		clearTasks := (len(dxd) + moveGrain - 1) / moveGrain
		zero := func(t, _ int) { layout.Fill(dxd[t*moveGrain:min(len(dxd), (t+1)*moveGrain)], 0) }
		add := func(t, _ int) {
			o, lo := t/blocks, t%blocks*columns
			hi := min(g.inner, lo+columns)
			for k, i := range at {
				d := dxd[(o*g.n+i)*g.inner:]
				optim.AXPY(d[lo:hi], dyd[(o*g.count+k)*g.inner:][lo:hi], 1)
			}
		}
		return func() error {
			for k := range at {
				if at[k], err = read(k); err != nil {
					return err
				}
			}
			c.pool.Run(clearTasks, zero)
			c.pool.Run(g.outer*blocks, add)
			return nil
		}
	})
	return nil
}

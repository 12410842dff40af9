package native

import (
	"github.com/go-nncf/nncf/internal/kernel/norm"
	"github.com/go-nncf/nncf/internal/par"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
)

// mostNeighbours bounds the window of local response normalization that the
// kernel adds up term by term; networks have 5.
const mostNeighbours = 64

// responseTask is the number of elements of a task: rows of channels.
const responseTask = 4 << 10

func lowerLRN(c *compiler, n *ir.Node) error {
	return c.lowerResponse(n, n.Op.(op.LRN), func(r norm.Response, channels int, dst []float32, src [][]float32, scratch []float32) {
		r.Apply(dst, src[0], channels, scratch)
	})
}

func lowerLRNGrad(c *compiler, n *ir.Node) error {
	return c.lowerResponse(n, op.LRN(n.Op.(op.LRNGrad)), func(r norm.Response, channels int, dst []float32, src [][]float32, scratch []float32) {
		r.Grad(dst, src[1], src[0], channels, scratch)
	})
}

// lowerResponse emits a step that runs f over parts of the rows.
func (c *compiler) lowerResponse(n *ir.Node, o op.LRN, f func(r norm.Response, channels int, dst []float32, src [][]float32, scratch []float32)) error {
	if !isFloat(n.In...) || o.Size > mostNeighbours || n.Out[0].Type.MustShape().Numel() == 0 {
		return lowerReference(c, n)
	}
	in := make([]*slot, len(n.In))
	for i, v := range n.In {
		in[i] = c.in(v, channelsLast)
	}
	y := c.out(n.Out[0], channelsLast)
	r, channels := norm.Response{Alpha: o.Alpha, Beta: o.Beta, Bias: o.Bias, Size: o.Size}, y.channels()
	size := r.Scratch(channels)
	scratch := c.workspace(c.workers * size)
	tasks := par.Split(y.rows(), max(1, responseTask/channels))
	src := make([][][]float32, c.workers) // by worker: a run allocates nothing
	c.emit(n, "local response", in, []*slot{y}, func() func() error {
		for w := range src {
			src[w] = make([][]float32, len(in))
		}
		dst := y.f32()
		return runSized(c.pool, tasks, len(dst), func(t, w int) {
			lo, hi := par.Range(y.rows(), tasks, t)
			for i, s := range in {
				src[w][i] = s.f32()[lo*channels : hi*channels]
			}
			f(r, channels, dst[lo*channels:hi*channels], src[w], scratch.part(w, size))
		})
	}, scratch)
	return nil
}

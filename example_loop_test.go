package nncf_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/autodiff"
	"github.com/go-nncf/nncf/config"
	"github.com/go-nncf/nncf/data"
	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/pass"
	"github.com/go-nncf/nncf/tensor"
)

// A training loop of one's own, with its own loss and its own updates, without
// package train. Of the compressed model it calls EpochStep, Step, Loss and
// Export.
func Example_ownLoop() {
	dir, err := os.MkdirTemp("", "nncf-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := ownLoop(context.Background(), filepath.Join(dir, "int8.onnx")); err != nil {
		log.Fatal(err)
	}
	// Output:
	// the loss fell: true
	// the exported model has quantizers: true
}

func ownLoop(ctx context.Context, output string) error {
	cfg, err := config.Load("examples/quickstart/int8.json")
	if err != nil {
		return err
	}
	trainSet, err := loader(cfg, data.Train, 128)
	if err != nil {
		return err
	}
	m, err := nncf.Load(cfg.Path(cfg.Model))
	if err != nil {
		return err
	}
	algorithms, err := cfg.Algorithms()
	if err != nil {
		return err
	}
	c, err := nncf.Compress(ctx, m, algorithms, nncf.CompressOptions{Calibration: nncf.Calibration(ctx, trainSet)})
	if err != nil {
		return err
	}

	const classes = 10
	step, params, err := stepGraph(c, batch, classes)
	if err != nil {
		return err
	}
	p, err := nncf.Backend().Compile(ctx, step, engine.Options{})
	if err != nil {
		return err
	}
	defer p.Close()
	images, target, loss := p.Input(0), p.Input(1), p.Output(0)

	const rate = 0.05
	var sums []float32 // of the loss, by epoch
	for epoch := range 3 {
		c.EpochStep()
		sum := float32(0)
		for b, err := range trainSet.Batches(ctx, epoch) {
			if err != nil {
				return err
			}
			images.CopyFrom(b.Images)
			clear(target.F32())
			for i, label := range b.Labels.I64() {
				target.F32()[i*classes+int(label)] = 1
			}
			if err := p.Run(ctx); err != nil {
				return err
			}
			sum += loss.F32()[0]
			c.Step()
			for i, v := range params {
				w := v.Data.F32() // the compiled step reads the same memory
				for k, g := range p.Output(1 + i).F32() {
					w[k] -= rate * g
				}
			}
		}
		sums = append(sums, sum)
	}
	if err := c.Export(output, nncf.ExportOptions{}); err != nil {
		return err
	}

	exported, err := nncf.Load(output)
	if err != nil {
		return err
	}
	quantizers := 0
	for _, n := range exported.Graph.Nodes() {
		if n.Op.Kind() == "QuantizeLinear" {
			quantizers++
		}
	}
	fmt.Println("the loss fell:", sums[2] < sums[0])
	fmt.Println("the exported model has quantizers:", quantizers > 0)
	return nil
}

// stepGraph builds one training step for batches of n: inputs are images and
// one-hot labels, outputs the loss and the gradient of each parameter.
func stepGraph(c *nncf.Compressed, n, classes int) (*ir.Graph, []*ir.Value, error) {
	in := c.Graph.Inputs[0]
	shape := []int{n}
	for _, d := range in.Type.Dims[1:] {
		shape = append(shape, d.N)
	}
	g, err := c.Graph.Specialize(map[string][]int{in.Name: shape})
	if err != nil {
		return nil, nil, err
	}
	if err := pass.TrainingMode(g, pass.TrainingOptions{}, nil); err != nil { // batch normalization by batches
		return nil, nil, err
	}
	b := ir.NewBuilder(g, "brier")
	target := g.AddInput("target", ir.MakeType(tensor.Float32, n, classes))
	loss := brier(b, g.Outputs[0], target)
	extra, err := c.Loss(b) // what the algorithms add, or nil
	if err != nil {
		return nil, nil, err
	}
	if extra != nil {
		loss = b.Op(op.Add{}, "total", loss, extra)
	}
	if err := b.Err(); err != nil {
		return nil, nil, err
	}
	var params, wrt []*ir.Value
	for v := range c.Graph.Parameters() {
		params, wrt = append(params, v), append(wrt, g.Value(v.Name))
	}
	grads, err := autodiff.Grad(g, loss, wrt)
	if err != nil {
		return nil, nil, err
	}
	g.Outputs = append([]*ir.Value{loss}, grads...)
	g.Prune()
	return g, params, nil
}

// brier is the score of Brier (1950): the mean over samples of |softmax(x) - t|².
func brier(b *ir.Builder, x, t *ir.Value) *ir.Value {
	d := b.Op(op.Sub{}, "brier/difference", b.Op(op.Softmax{Axis: -1}, "brier/p", x), t)
	rows := b.Op(op.ReduceSum{}, "brier/sum", b.Op(op.Mul{}, "brier/square", d, d), b.ConstInts("brier/axes", 1))
	return b.Op(op.ReduceMean{}, "brier/mean", rows)
}

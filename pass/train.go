package pass

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/rewrite"
	"github.com/go-nncf/nncf/tensor"
)

// trainedPorts returns the inputs of a node that hold what training changes:
// weight, bias, running statistics.
func trainedPorts(n *ir.Node) []int {
	var ports []int
	for _, wp := range ir.AllWeights(n) {
		for _, port := range []int{wp.Weight, wp.Bias} {
			if port >= 0 && n.Input(port) != nil {
				ports = append(ports, port)
			}
		}
	}
	return append(ports, statisticPorts(n)...)
}

// statisticPorts are the inputs that hold running statistics.
func statisticPorts(n *ir.Node) []int {
	if _, ok := n.Op.(op.BatchNormalization); ok {
		return []int{3, 4}
	}
	return nil
}

// MarkTrainable turns the constants that fine-tuning changes into parameters
// and running statistics into states. Parameters are float32 constants that are
//
//   - the weight or bias of an operator that has them: convolutions, matrix
//     products, embeddings, and scale and bias of normalizations;
//   - the slope of a PRelu;
//   - an addend or factor (of Add or Mul) with one value per channel, that is
//     with one axis longer than 1, between two layers with weights; and such an
//     addend directly behind a layer, along its output channels: its bias.
//
// Everything else stays constant: scalars, tables with several axes such as
// anchors, masks and positions, the signs of binarized convolutions, whatever is applied to the model's input before
// the first weight (the normalization of pixels) or to its output after the last.
//
// The mean and variance of a BatchNormalization become states. The graph must
// be canonical: a tensor that would be both is an error.
func MarkTrainable(g *ir.Graph, t *rewrite.Trace) error {
	p := rewrite.New(g, "mark-trainable", t)
	after, before := reach(g)
	var errs []error
	for _, v := range g.Stored() {
		if v.Kind != ir.Constant || v.Type.DType != tensor.Float32 {
			continue
		}
		param, state := "", ""
		for _, u := range v.Uses() {
			switch {
			case slices.Contains(statisticPorts(u.Node), u.Port):
				state = u.Node.Label()
			case onBits(u.Node) && u.Port == 1: // signs, see BinaryToONNX
			case slices.Contains(trainedPorts(u.Node), u.Port), scalesChannels(v, u, after, before):
				param = u.Node.Label()
			}
		}
		switch {
		case param != "" && state != "":
			errs = append(errs, fmt.Errorf("%q is a parameter of %q and a running statistic of %q; canonicalize the graph first", v.Name, param, state))
		case param != "":
			g.SetKind(v, ir.Parameter)
			p.Note("%s is a parameter of %s", v.Name, param)
		case state != "":
			g.SetKind(v, ir.State)
			p.Note("%s is a statistic of %s", v.Name, state)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return p.Commit()
}

// onBits reports whether the node is a convolution of bits with weights of ±1, as
// [BinaryToONNX] writes them.
func onBits(n *ir.Node) bool {
	if _, ok := n.Op.(op.Conv); !ok || !n.In[1].IsStored() || n.In[1].Type.DType != tensor.Float32 {
		return false
	}
	c, _, ok := producer[op.Cast](n.In[0])
	if !ok {
		return false
	}
	if _, _, ok := producer[op.Greater](c.In[0]); !ok {
		return false
	}
	return !slices.ContainsFunc(n.In[1].Data.F32(), func(x float32) bool { return x != 1 && x != -1 })
}

// reach returns which values depend on a layer with weights, and which ones
// one depends on, by value ID.
func reach(g *ir.Graph) (after, before []bool) {
	after, before = make([]bool, g.NumValues()), make([]bool, g.NumValues())
	each := func(list []*ir.Value, f func(v *ir.Value)) {
		for _, v := range list {
			if v != nil {
				f(v)
			}
		}
	}
	nodes := g.Nodes()
	for _, n := range nodes {
		from := isLayer(n)
		each(n.In, func(v *ir.Value) { from = from || after[v.ID] })
		each(n.Out, func(v *ir.Value) { after[v.ID] = from })
	}
	for _, n := range slices.Backward(nodes) {
		to := isLayer(n)
		each(n.Out, func(v *ir.Value) { to = to || before[v.ID] })
		each(n.In, func(v *ir.Value) { before[v.ID] = before[v.ID] || to })
	}
	return after, before
}

// isLayer reports whether the node has a stored weight.
func isLayer(n *ir.Node) bool {
	w, ok := n.Op.(ir.Weighted)
	if !ok {
		return false
	}
	port := w.Weights(n).Weight
	return port >= 0 && n.Input(port) != nil && n.In[port].IsStored()
}

// scalesChannels reports whether the use is one value per channel that is
// added to, or multiplied with, what layers compute.
func scalesChannels(v *ir.Value, u ir.Use, after, before []bool) bool {
	switch u.Node.Op.(type) {
	case op.Add, op.Mul:
	default:
		return false
	}
	x, y := u.Node.In[1-u.Port], u.Node.Out[0]
	if x.IsStored() || !after[x.ID] || v.Type.Rank() > y.Type.Rank() {
		return false
	}
	axis := -1
	for i, d := range v.Data.Shape() {
		if d == 1 {
			continue
		}
		if axis >= 0 {
			return false
		}
		axis = i + y.Type.Rank() - v.Type.Rank()
	}
	if axis < 0 {
		return false
	}
	_, sum := u.Node.Op.(op.Add)
	return before[y.ID] || sum && x.Def != nil && isLayer(x.Def) && axis == channelAxis(x.Def)
}

// channelAxis returns the output-channel axis of a layer's result.
func channelAxis(n *ir.Node) int {
	if _, ok := n.Op.(op.MatMul); ok {
		return n.Out[0].Type.Rank() - 1
	}
	return 1
}

// TrainingOptions says how [TrainingMode] treats batch normalization. The zero
// value trains it as the model says.
type TrainingOptions struct {
	// FreezeBatchNorm keeps normalizing with the stored statistics, which then
	// never change. Scale and bias are trained all the same.
	FreezeBatchNorm bool `json:"freeze_batch_norm,omitempty"`

	// Momentum is the weight of the old value in the running statistics, as in
	// ONNX; 0 takes what the model says (usually 0.9).
	Momentum float32 `json:"momentum,omitempty"`
}

// Validate reports options that cannot be followed.
func (o TrainingOptions) Validate() error {
	if !(o.Momentum >= 0 && o.Momentum <= 1) {
		return fmt.Errorf("momentum: got %g, want 0 to 1", o.Momentum)
	}
	return nil
}

// TrainingMode turns every BatchNormalization into its training form, which
// normalizes with the statistics of the batch and assigns the running ones at
// the end of each run, and gives recurrent cells the outputs that their gradients
// need. Mean and variance become states. There is no way back:
// keep the graph from before for inference, which shares the stored tensors.
func TrainingMode(g *ir.Graph, opts TrainingOptions, t *rewrite.Trace) error {
	if err := opts.Validate(); err != nil {
		return err
	}
	p := rewrite.New(g, "training-mode", t)
	var errs []error
	for _, n := range append([]*ir.Node(nil), g.Nodes()...) {
		trainRecurrent(p, n)
		bn, ok := n.Op.(op.BatchNormalization)
		if !ok || opts.FreezeBatchNorm {
			continue
		}
		if err := trainBatchNorm(p, n, bn, opts); err != nil {
			errs = append(errs, n.Wrap("training mode", err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return p.Commit()
}

func trainBatchNorm(p *rewrite.Patch, n *ir.Node, bn op.BatchNormalization, opts TrainingOptions) error {
	g := p.Graph()
	for _, port := range []int{3, 4} {
		v := n.In[port]
		if !v.IsStored() || v.Kind == ir.Parameter {
			return fmt.Errorf("running statistic %q is a %v, want a stored tensor that is not trained", v.Name, v.Kind)
		}
		for _, a := range g.Assigns {
			if a.Dst == v && !bn.Training {
				return fmt.Errorf("running statistic %q is updated at two places; canonicalize the graph first", v.Name)
			}
		}
	}
	if bn.Training {
		for _, a := range g.Assigns {
			if a.Dst == n.In[3] {
				return nil // done before
			}
		}
	}
	bn.Training = true
	if opts.Momentum != 0 {
		bn.Momentum = opts.Momentum
	}
	y, name := n.Out[0], n.Out[0].Name
	out := p.B.Multi(bn, n.Name, 5, n.In...)
	if err := p.B.Err(); err != nil {
		return err
	}
	take(p, y, out[0])
	for i, suffix := range []string{"running_mean", "running_var", "batch_mean", "batch_inv_std"} {
		if old := n.Output(1 + i); old != nil {
			take(p, old, out[1+i]) // a file in training form may give them as outputs
			continue
		}
		g.Rename(out[1+i], g.UniqueName(name+"/"+suffix))
	}
	for i, port := range []int{3, 4} {
		g.SetKind(n.In[port], ir.State)
		g.Assigns = append(g.Assigns, ir.Assign{Dst: n.In[port], Src: out[1+i]})
	}
	return nil
}

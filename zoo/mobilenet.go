package zoo

import (
	"fmt"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
	"github.com/go-nncf/nncf/tensor"
)

// MobileNetV2 is the inverted-residual network of Sandler et al.
// (https://arxiv.org/abs/1801.04381, table 2) at width 1, as in torchvision,
// without dropout.
func MobileNetV2(o Options) (*ir.Graph, error) {
	o = o.withDefaults(1000, 224)
	n := newNet("mobilenet_v2", o.Seed)
	zero, six := n.b.Const("relu6/min", tensor.Scalar(float32(0))), n.b.Const("relu6/max", tensor.Scalar(float32(6)))
	unit := func(x *ir.Value, path, param string, out, kernel, stride, groups int, relu6 bool, convIndex int) *ir.Value {
		x = n.conv(x, fmt.Sprintf("%s.%d", path, convIndex), fmt.Sprintf("%s.%d", param, convIndex), out, kernel, stride, groups)
		x = n.batchNorm(x, fmt.Sprintf("%s.%d", path, convIndex+1), fmt.Sprintf("%s.%d", param, convIndex+1))
		if relu6 {
			x = n.node(op.Clip{}, fmt.Sprintf("%s.%d", path, convIndex+2), x, zero, six)
		}
		return x
	}
	x := n.input(o.Channels, o.Size)
	x = unit(x, "/features/features.0/features.0", "features.0", 32, 3, 2, 1, true, 0)
	index := 1
	for _, s := range []struct{ expand, out, count, stride int }{
		{1, 16, 1, 1}, {6, 24, 2, 2}, {6, 32, 3, 2}, {6, 64, 4, 2}, {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1},
	} {
		for i := range s.count {
			param := fmt.Sprintf("features.%d.conv", index)
			path := fmt.Sprintf("/features/features.%d/conv/conv", index)
			index++
			stride := 1
			if i == 0 {
				stride = s.stride
			}
			in := n.channels(x)
			hidden := in * s.expand
			y, k := x, 0
			if s.expand != 1 {
				y = unit(y, path+".0/conv.0", param+".0", hidden, 1, 1, 1, true, 0)
				k = 1
			}
			y = unit(y, fmt.Sprintf("%s.%d/conv.%d", path, k, k), fmt.Sprintf("%s.%d", param, k), hidden, 3, stride, hidden, true, 0)
			y = unit(y, path, param, s.out, 1, 1, 1, false, k+1)
			if stride == 1 && in == s.out {
				y = n.node(op.Add{}, fmt.Sprintf("/features/features.%d", index-1), x, y)
			}
			x = y
		}
	}
	x = unit(x, "/features/features.18/features.18", "features.18", 1280, 1, 1, 1, true, 0)
	return n.done(n.head(x, "classifier.1", o.Classes))
}

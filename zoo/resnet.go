package zoo

import (
	"fmt"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
)

// Options are the settings all networks share.
type Options struct {
	Classes  int    `json:"classes,omitempty"`  // default 10 for CIFAR networks, 1000 otherwise
	Channels int    `json:"channels,omitempty"` // of the input; default 3
	Size     int    `json:"size,omitempty"`     // of the square input; default 32 or 224
	Width    int    `json:"width,omitempty"`    // channels of the first stage of ResNetCIFAR; default 16
	Seed     uint64 `json:"seed,omitempty"`
}

func (o Options) withDefaults(classes, size int) Options {
	if o.Classes == 0 {
		o.Classes = classes
	}
	if o.Channels == 0 {
		o.Channels = 3
	}
	if o.Size == 0 {
		o.Size = size
	}
	return o
}

// ResNetCIFAR is the residual network for small images of He et al.
// (https://arxiv.org/abs/1512.03385, section 4.2): 6k+2 layers in three stages
// of 16, 32 and 64 channels; shortcuts between stages take every second pixel
// and pad with zero channels (option A).
func ResNetCIFAR(depth int, o Options) (*ir.Graph, error) {
	if depth < 8 || (depth-2)%6 != 0 {
		return nil, fmt.Errorf("resnet for small images: got depth %d, want 8, 14, 20, 32, 44, 56, …", depth)
	}
	o = o.withDefaults(10, 32)
	if o.Width == 0 {
		o.Width = 16
	}
	n := newNet(fmt.Sprintf("resnet%d", depth), o.Seed)
	x := n.input(o.Channels, o.Size)
	x = n.conv(x, "/conv1", "conv1", o.Width, 3, 1, 1)
	x = n.batchNorm(x, "/bn1", "bn1")
	x = n.node(op.Relu{}, "", x)
	for stage := range 3 {
		for block := range (depth - 2) / 6 {
			param := fmt.Sprintf("layer%d.%d", stage+1, block)
			path := fmt.Sprintf("/layer%d/%s", stage+1, param)
			out, stride := o.Width<<stage, 1
			if stage > 0 && block == 0 {
				stride = 2
			}
			y := n.conv(x, path+"/conv1", param+".conv1", out, 3, stride, 1)
			y = n.batchNorm(y, path+"/bn1", param+".bn1")
			y = n.node(op.Relu{}, path, y)
			y = n.conv(y, path+"/conv2", param+".conv2", out, 3, 1, 1)
			y = n.batchNorm(y, path+"/bn2", param+".bn2")
			if stride == 2 {
				x = n.shortcutA(x, path+"/shortcut", out)
			}
			x = n.node(op.Add{}, path, y, x)
			x = n.node(op.Relu{}, path, x)
		}
	}
	return n.done(n.head(x, "linear", o.Classes))
}

// shortcutA takes every second pixel and pads channels on both sides.
func (n *net) shortcutA(x *ir.Value, path string, out int) *ir.Value {
	const all = 1<<31 - 1
	c := n.b.ConstInts
	grow := out - n.channels(x)
	x = n.node(op.Slice{}, path, x, c(path+"/starts", 0, 0), c(path+"/ends", all, all), c(path+"/axes", 2, 3), c(path+"/steps", 2, 2))
	return n.node(op.Pad{}, path, x, c(path+"/pads", 0, grow/2, 0, 0, 0, grow-grow/2, 0, 0))
}

// ResNet is the residual network for ImageNet of depth 18, 34 or 50, as in
// torchvision: projections as shortcuts, stride on the 3×3 convolution.
func ResNet(depth int, o Options) (*ir.Graph, error) {
	return resNet(depth, o.withDefaults(1000, 224), false)
}

// ResNetSmall is [ResNet] for images of 32×32: its first convolution is 3×3
// without a stride, and nothing is pooled before the first block.
func ResNetSmall(depth int, o Options) (*ir.Graph, error) {
	return resNet(depth, o.withDefaults(10, 32), true)
}

func resNet(depth int, o Options, small bool) (*ir.Graph, error) {
	blocks, ok := map[int][4]int{18: {2, 2, 2, 2}, 34: {3, 4, 6, 3}, 50: {3, 4, 6, 3}}[depth]
	if !ok {
		return nil, fmt.Errorf("resnet: got depth %d, want 18, 34 or 50", depth)
	}
	n := newNet(fmt.Sprintf("resnet%d", depth), o.Seed)
	x := n.input(o.Channels, o.Size)
	kernel, stride := 7, 2
	if small {
		kernel, stride = 3, 1
	}
	x = n.conv(x, "/conv1", "conv1", 64, kernel, stride, 1)
	x = n.batchNorm(x, "/bn1", "bn1")
	x = n.node(op.Relu{}, "/relu", x)
	if !small {
		x = n.node(op.MaxPool{Pool: op.Pool{Kernel: []int{3, 3}, Window: op.Window{Strides: []int{2, 2}, Pads: []int{1, 1, 1, 1}}}}, "/maxpool", x)
	}
	expand := 1
	if depth == 50 {
		expand = 4
	}
	for stage := range 4 {
		for block := range blocks[stage] {
			param := fmt.Sprintf("layer%d.%d", stage+1, block)
			path := fmt.Sprintf("/layer%d/%s", stage+1, param)
			width, stride := 64<<stage, 1
			if stage > 0 && block == 0 {
				stride = 2
			}
			unit := func(x *ir.Value, i, out, kernel, stride int, relu bool) *ir.Value {
				x = n.conv(x, fmt.Sprintf("%s/conv%d", path, i), fmt.Sprintf("%s.conv%d", param, i), out, kernel, stride, 1)
				x = n.batchNorm(x, fmt.Sprintf("%s/bn%d", path, i), fmt.Sprintf("%s.bn%d", param, i))
				if relu {
					x = n.node(op.Relu{}, path+"/relu", x)
				}
				return x
			}
			var y *ir.Value
			if expand == 1 {
				y = unit(x, 1, width, 3, stride, true)
				y = unit(y, 2, width, 3, 1, false)
			} else {
				y = unit(x, 1, width, 1, 1, true)
				y = unit(y, 2, width, 3, stride, true)
				y = unit(y, 3, width*expand, 1, 1, false)
			}
			if stride != 1 || n.channels(x) != width*expand {
				x = n.conv(x, path+"/downsample/downsample.0", param+".downsample.0", width*expand, 1, stride, 1)
				x = n.batchNorm(x, path+"/downsample/downsample.1", param+".downsample.1")
			}
			x = n.node(op.Add{}, path, y, x)
			x = n.node(op.Relu{}, path+"/relu", x)
		}
	}
	return n.done(n.head(x, "fc", o.Classes))
}

package native

import (
	"github.com/go-nncf/nncf/internal/kernel/elementwise"
	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/op"
)

// Activations with attributes, and their gradients, whose inputs are x and dy.

func lowerLeakyRelu(c *compiler, n *ir.Node) error {
	a := n.Op.(op.LeakyRelu).Alpha
	return c.mapElements(n, "LeakyRelu", true, func(dst, x []float32) { elementwise.LeakyRelu.Run(dst, x, a) })
}

func lowerLeakyReluGrad(c *compiler, n *ir.Node) error {
	a := n.Op.(op.LeakyReluGrad).Alpha
	return c.zipElements(n, "LeakyReluGrad", func(dst, x, dy []float32) { elementwise.LeakyReluGrad.Run(dst, dy, x, a) })
}

func lowerSelu(c *compiler, n *ir.Node) error {
	o := n.Op.(op.Selu)
	return c.mapElements(n, "Selu", false, func(dst, x []float32) {
		elementwise.Elu.Run(dst, x, o.Alpha)
		elementwise.Mul.Scalar(dst, dst, o.Gamma)
	})
}

// lowerMish needs x when the rest is computed, so it takes few elements at a time.
func lowerMish(c *compiler, n *ir.Node) error {
	return c.mapElements(n, "Mish", false, func(dst, x []float32) {
		var gate [256]float32
		for lo := 0; lo < len(dst); lo += len(gate) {
			g := gate[:min(len(gate), len(dst)-lo)]
			xs := x[lo : lo+len(g)]
			elementwise.Softplus.Run(g, xs)
			elementwise.Tanh.Run(g, g)
			elementwise.Mul.Run(dst[lo:lo+len(g)], xs, g)
		}
	})
}

func lowerElu(c *compiler, n *ir.Node) error {
	a := n.Op.(op.Elu).Alpha
	return c.mapElements(n, "Elu", false, func(dst, x []float32) { elementwise.Elu.Run(dst, x, a) })
}

func lowerHardSigmoid(c *compiler, n *ir.Node) error {
	o := n.Op.(op.HardSigmoid)
	return c.mapElements(n, "HardSigmoid", true, func(dst, x []float32) { elementwise.HardSigmoid.Run(dst, x, o.Alpha, o.Beta) })
}

func lowerHardSigmoidGrad(c *compiler, n *ir.Node) error {
	o := n.Op.(op.HardSigmoidGrad)
	return c.zipElements(n, "HardSigmoidGrad", func(dst, x, dy []float32) { elementwise.HardSigmoidGrad.Run(dst, dy, x, o.Alpha, o.Beta) })
}

func lowerGelu(c *compiler, n *ir.Node) error {
	f := elementwise.Gelu
	if n.Op.(op.Gelu).Tanh {
		f = elementwise.GeluTanh
	}
	return lowerUnary(f)(c, n)
}

func lowerGeluGrad(c *compiler, n *ir.Node) error {
	f := elementwise.GeluGrad
	if n.Op.(op.GeluGrad).Tanh {
		f = elementwise.GeluTanhGrad
	}
	return lowerGrad(f)(c, n)
}

func lowerSwish(c *compiler, n *ir.Node) error {
	if n.Op.(op.Swish).Alpha != 1 {
		return lowerReference(c, n)
	}
	return lowerUnary(elementwise.Silu)(c, n)
}

func lowerSwishGrad(c *compiler, n *ir.Node) error {
	if n.Op.(op.SwishGrad).Alpha != 1 {
		return lowerReference(c, n)
	}
	return lowerGrad(elementwise.SiluGrad)(c, n)
}

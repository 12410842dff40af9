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

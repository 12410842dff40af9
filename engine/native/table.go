package native

import "github.com/go-nncf/nncf/ir"

// lowering emits the steps of one node. Errors give the bare reason.
type lowering func(c *compiler, n *ir.Node) error

// lowerings lists the operators that run on kernels; every other operator runs
// by its reference evaluator.
var lowerings = map[string]lowering{
	"Conv":           lowerConv,
	"ConvGradWeight": lowerConvGradWeight,
	"ConvTranspose":  lowerConvTranspose,
}

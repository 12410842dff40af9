package native

import (
	"strings"
	"testing"

	"github.com/go-nncf/nncf/ir"
	"github.com/go-nncf/nncf/zoo"
)

// TestWithSlopes: a quantized input costs no data gradient of the first
// convolution; that its gradient is the operator's, TestTrainingStep_MatchesEval
// checks. The graph that was given stays as it was.
func TestWithSlopes(t *testing.T) {
	count := func(g *ir.Graph, kind, name string) (n int) {
		for _, m := range g.Nodes() {
			if m.Op.Kind() == kind && strings.HasPrefix(m.Name, name) {
				n++
			}
		}
		return n
	}
	g := trainingStep(t, "resnet8_cifar", zoo.Options{Size: 12, Width: 5}, 2, true)
	before := len(g.Nodes())
	h, err := withSlopes(g)
	if err != nil {
		t.Fatal(err)
	}
	if len(g.Nodes()) != before {
		t.Errorf("the graph has %d nodes afterwards, want %d", len(g.Nodes()), before)
	}
	if n := count(h, "QuantizerSlope", "input/q"); n != 1 {
		t.Errorf("got %d slopes, want 1", n)
	}
	if a, b := count(g, "ConvTranspose", ""), count(h, "ConvTranspose", ""); b != a-1 {
		t.Errorf("got %d data gradients, want one fewer than %d", b, a)
	}
	plain := trainingStep(t, "resnet8_cifar", zoo.Options{Size: 12, Width: 5}, 2, false)
	if h, err := withSlopes(plain); err != nil || h != plain {
		t.Errorf("a graph without quantizers: got another graph, error %v", err)
	}
}

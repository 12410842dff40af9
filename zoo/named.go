package zoo

import (
	"fmt"
	"strings"

	"github.com/go-nncf/nncf/ir"
)

// builders lists the networks by name.
var builders = []struct {
	name  string
	build func(Options) (*ir.Graph, error)
}{
	{"resnet8_cifar", func(o Options) (*ir.Graph, error) { return ResNetCIFAR(8, o) }},
	{"resnet20", func(o Options) (*ir.Graph, error) { return ResNetCIFAR(20, o) }},
	{"resnet32", func(o Options) (*ir.Graph, error) { return ResNetCIFAR(32, o) }},
	{"resnet44", func(o Options) (*ir.Graph, error) { return ResNetCIFAR(44, o) }},
	{"resnet56", func(o Options) (*ir.Graph, error) { return ResNetCIFAR(56, o) }},
	{"resnet18_cifar", func(o Options) (*ir.Graph, error) { return ResNetSmall(18, o) }},
	{"resnet18", func(o Options) (*ir.Graph, error) { return ResNet(18, o) }},
	{"resnet34", func(o Options) (*ir.Graph, error) { return ResNet(34, o) }},
	{"resnet50", func(o Options) (*ir.Graph, error) { return ResNet(50, o) }},
	{"mobilenet_v2", MobileNetV2},
}

// Names lists the networks that [Build] knows.
func Names() []string {
	var names []string
	for _, b := range builders {
		names = append(names, b.name)
	}
	return names
}

// Known reports whether Build knows the name.
func Known(name string) bool {
	for _, b := range builders {
		if b.name == name {
			return true
		}
	}
	return false
}

// Build returns the named network with random weights.
func Build(name string, o Options) (*ir.Graph, error) {
	for _, b := range builders {
		if b.name == name {
			return b.build(o)
		}
	}
	return nil, fmt.Errorf("unknown network %q, want one of %s", name, strings.Join(Names(), ", "))
}

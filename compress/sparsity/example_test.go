package sparsity_test

import (
	"fmt"

	"github.com/go-nncf/nncf/compress/sparsity"
	"github.com/go-nncf/nncf/zoo"
)

// Half of the weights of a network become zero, and nine tenths of those of its
// classifier.
func Example() {
	g, err := zoo.Build("resnet8_cifar", zoo.Options{Seed: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	setup, err := sparsity.NewMagnitude(sparsity.MagnitudeOptions{}).Setup(g)
	if err != nil {
		fmt.Println(err)
		return
	}
	applied, err := setup.Apply(g, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	c := applied.(*sparsity.MagnitudeController)
	if err := c.SetSparsityLevel(0.5, ""); err != nil {
		fmt.Println(err)
	}
	if err := c.SetSparsityLevel(0.9, "linear"); err != nil {
		fmt.Println(err)
	}
	for _, l := range c.Report() {
		if l.Weight == "linear.weight" {
			fmt.Printf("%s: %.1f %% zeros\n", l.Weight, 100*l.Level)
		}
	}
	fmt.Printf("all: %.1f %%, %v compression\n", 100*c.Reached(), c.Stage())
	// Output:
	// linear.weight: 90.0 % zeros
	// all: 50.3 %, full compression
}

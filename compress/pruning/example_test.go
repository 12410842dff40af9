package pruning_test

import (
	"context"
	"fmt"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/pruning"
	"github.com/go-nncf/nncf/zoo"
)

// What pruning half of the filters would leave of a network, before anything is
// trained.
func Example() {
	m, err := nncf.Build("resnet8_cifar", zoo.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := nncf.Compress(context.Background(), m, []compress.Algorithm{pruning.New(pruning.Options{})}, nncf.CompressOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	plan, err := c.Controller.(*pruning.Controller).Plan()
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, k := range plan.Clusters {
		fmt.Printf("%s: %d of %d channels stay\n", k.Rule, k.Left, k.Channels)
	}
	fmt.Println(plan.Kept[0].Why)
	// Output:
	// filters of /layer1/layer1.0/conv1/Conv: 8 of 16 channels stay
	// filters of /layer2/layer2.0/conv2/Conv, /layer3/layer3.0/conv2/Conv, which meet and go together: 8 of 16 channels stay
	// filters of /layer3/layer3.0/conv2/Conv: 16 of 32 channels stay
	// /conv1/Conv is a first layer, and prune_first_conv is false
}

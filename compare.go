package nncf

import (
	"context"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/sensitivity"
	"github.com/go-nncf/nncf/engine"
	"github.com/go-nncf/nncf/ir"
)

// Compare runs two models on the same samples and compares all values that both
// have under one name; see [sensitivity.Compare]. data starts over at each call.
func Compare(ctx context.Context, a, b *ir.Graph, data func() compress.Batches, threads int) (*sensitivity.Comparison, error) {
	return sensitivity.Compare(ctx, runner{engine.Options{Threads: threads}}, a, b, data)
}

// Package native is the CPU backend: it lowers a graph to a flat list of steps
// over one arena and runs them with a pool of workers.
//
//	compile.go    walks the nodes in order; each lowering emits steps
//	slot.go       where a value lies: arena span or fixed tensor, in one order
//	lower_*.go    one file per operator family; table.go lists them by kind
//	chain.go      elementwise operators and sums, tile by tile
//	spread.go     operands that broadcast; convert.go: element types in chains
//	fuse.go       the table of fusions; rule_*.go: one fusion each
//	load.go       activations that convolutions compute as they load them
//	imagewise.go  steps that go image by image, which rule_group.go lets take turns
//	finish.go     work on a convolution's result while it is in the caches
//	form.go       quantizers and masks of weights, run as the weights are packed;
//	              how a new operator on weights takes part
//	recompute.go  what is computed again so that memory suffices; decision.go:
//	              that its sums have the same order
//	slope.go      scales of input quantizers without gradients of the input
//	describe.go   what inspect --plan shows
//	reference.go  the lowering of everything else: the operator's own Eval
//	program.go    inputs, outputs, Run
//
// Adding a lowering is one function of type [lowering] and one line in
// table.go. A lowering asks the compiler for its inputs in the physical order
// it wants (compiler.in, compiler.any), for its outputs (compiler.out), and
// emits one or more steps; the step's bind runs when memory is placed and
// returns the closure that each run calls. Closures must not allocate, and
// must cut their work into tasks by shapes alone, so that results do not
// depend on the number of workers.
//
// Adding a fusion is one file rule_NAME.go with one method of the compiler, and
// one line in fuse.go. A rule moves work between steps when all nodes are
// lowered; it keeps reads, writes and temps of the steps true, from which
// memory is planned, and notes with the steps what it did or why not.
//
// # Orders
//
// Values have ONNX's row-major order at the border. Inside, activations of rank
// 3 to 5 lie channels-last:
//
//	logical [N C H W]   row-major      n c h w
//	                    channels-last  n h w c
package native

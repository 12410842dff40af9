// Package compress is the core that every compression algorithm shares: the
// parts of the NNCF paper (Kozlov et al., 2020, section 3) without an engine.
//
//	Algorithm ──Setup──▶ Setup ──Apply──▶ Controller
//	 options             where and what     loss, schedule, statistics, stage, state
//
// Compression is graph rewriting in two phases. Setup only reads the graph and
// decides, as plain data that can be printed, stored and tested, where what
// goes, and by which rule. Apply inserts the nodes. Algorithms are applied in
// the order of their [Priority], whatever the order of the configuration, so a
// weight w becomes Quantize(Sparsify(Prune(w))). [Compose] makes any number of
// controllers look like one.
//
// The package never imports an engine. Where data must flow through a model
// (ranges, batch-norm adaptation), it asks a [Runner].
package compress

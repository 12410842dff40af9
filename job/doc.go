// Package job runs what a configuration describes, from files to files: load,
// evaluate, compress, initialise, fine-tune with checkpoints, export, verify,
// and report. Command nncf is a thin shell around it; programs of their own
// use package nncf.
//
//	train.go       the whole run
//	resume.go      how a run goes on from its last checkpoint
//	quantize.go    post-training: initialise and export, no training
//	export.go      a compressed model to an ONNX file, read back and compared
//	checkpoint.go  what a run keeps on disk
//	dataset.go     loaders from configurations and flags
//	result.go      what a run reports, as JSON and as a table
package job

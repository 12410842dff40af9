// Package cli is the command line: one file per command, each an options
// struct for kong and a run method that calls package job or the library. The
// streams are passed in; exit codes are decided here and nowhere else.
//
// The package computes nothing itself.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// IO are the streams of a command.
type IO struct {
	In       io.Reader
	Out, Err io.Writer
}

// globals are the flags every command has.
type globals struct {
	Threads int  `help:"Worker threads; 0 means one per core." default:"0" placeholder:"N"`
	Verbose bool `short:"v" help:"Say more about what is done."`
	JSON    bool `name:"json" help:"Print one JSON object on stdout, and nothing else there."`
}

// session is what commands get from the outside.
type session struct {
	IO
	globals
	ctx context.Context
	log *slog.Logger
}

// commands is the grammar; each field is a command.
type commands struct {
	globals
	Train    trainCmd    `cmd:"" help:"Compress and fine-tune a model as a configuration says; export ONNX."`
	Eval     evalCmd     `cmd:"" help:"Measure the accuracy of an ONNX model on a data set."`
	Quantize quantizeCmd `cmd:"" help:"Quantize an ONNX model after training: collect ranges, export."`
	Export   exportCmd   `cmd:"" help:"Write the model of a checkpoint as ONNX."`
	Run      runCmd      `cmd:"" help:"Run an ONNX model on given inputs and write its outputs."`
	Inspect  inspectCmd  `cmd:"" help:"Describe an ONNX model."`
	Bench    benchCmd    `cmd:"" help:"Measure the speed of inference or training."`
	Config   configCmd   `cmd:"" help:"Write a starter configuration, or check one."`
	Version  versionCmd  `cmd:"" help:"Print the version."`
}

// Main runs the command line and returns the process's exit code.
func Main(args []string, streams IO) (code int) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return run(ctx, args, streams)
}

// exited carries the exit code that kong asks for, after --help.
type exited int

func run(ctx context.Context, args []string, streams IO) (code int) {
	defer func() {
		switch e := recover().(type) {
		case nil:
		case exited:
			code = int(e)
		default:
			fmt.Fprintf(streams.Err, "nncf: internal error: %v\nPlease report this with the input that caused it; -v prints where it happened.\n", e)
			if len(args) > 0 && (args[len(args)-1] == "-v" || args[len(args)-1] == "--verbose") {
				streams.Err.Write(debug.Stack())
			}
			code = exitFailed
		}
	}()
	var c commands
	parser, err := kong.New(&c,
		kong.Name("nncf"),
		kong.Description("Compress neural networks while they are fine-tuned: ONNX in, ONNX out."),
		kong.Writers(streams.Out, streams.Err),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
	)
	if err != nil {
		panic(err)
	}
	k, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(streams.Err, "nncf: %v\nTry nncf --help.\n", err)
		return exitUsage
	}
	level := slog.LevelWarn
	if c.Verbose {
		level = slog.LevelDebug
	}
	s := &session{IO: streams, globals: c.globals, ctx: ctx, log: slog.New(slog.NewTextHandler(streams.Err, &slog.HandlerOptions{Level: level}))}
	err = k.Run(s)
	var usage *usageError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &usage):
		fmt.Fprintf(streams.Err, "nncf: %v\n", err)
		return exitUsage
	}
	fmt.Fprintf(streams.Err, "nncf: %v\n", err)
	return exitFailed
}

// usageError is a mistake in flags or arguments that only the command can see.
type usageError struct{ error }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// printJSON writes one object.
func (s *session) printJSON(v any) error {
	e := json.NewEncoder(s.Out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// note writes a line about progress, unless --json asks for quiet.
func (s *session) note(format string, args ...any) {
	fmt.Fprintf(s.Err, format+"\n", args...)
}

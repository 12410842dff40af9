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
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/go-nncf/nncf/internal/cpu"
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
	Threads int    `help:"Worker threads; 0 means one per core." default:"0" placeholder:"N"`
	CPU     string `name:"cpu" help:"Kernels to use: auto takes the best this machine has; generic, avx2 and avx512 allow up to that. NNCF_CPU in the environment does the same." enum:"auto,generic,avx2,avx512" default:"auto" placeholder:"LEVEL"`
	Verbose bool   `short:"v" help:"Say more about what is done."`
	JSON    bool   `name:"json" help:"Print one JSON object on stdout, and nothing else there."`
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
	Diff     diffCmd     `cmd:"" help:"Compare two ONNX models layer by layer on data."`
	Doctor   doctorCmd   `cmd:"" help:"Say what is installed: processor, runtimes, where they are looked for."`
	Config   configCmd   `cmd:"" help:"Write a starter configuration, check one, or print the schema."`
	Version  versionCmd  `cmd:"" help:"Print the version."`
}

// Main runs the command line and returns the process's exit code. The first
// interrupt asks the command to stop, which it does after the current step; a
// second one ends the process.
func Main(args []string, streams IO) (code int) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return run(ctx, args, streams)
}

// exited carries the exit code that kong asks for, after --help.
type exited int

func run(ctx context.Context, args []string, streams IO) (code int) {
	var c commands
	defer func() {
		switch e := recover().(type) {
		case nil:
		case exited:
			code = int(e)
		default:
			fmt.Fprintf(streams.Err, "nncf: internal error: %v\nPlease report this with the input that caused it; -v prints where it happened.\n", e)
			if c.Verbose {
				streams.Err.Write(debug.Stack())
			}
			code = exitFailed
		}
	}()
	parser, err := kong.New(&c,
		kong.Name("nncf"),
		kong.Description("Compress neural networks while they are fine-tuned: ONNX in, ONNX out."),
		kong.Writers(streams.Out, streams.Err),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
	)
	if err != nil {
		panic(err)
	}
	k, err := parser.Parse(args)
	if err != nil {
		command := "nncf"
		var at *kong.ParseError
		if errors.As(err, &at) && at.Context.Command() != "" {
			command += " " + strings.Join(words(at.Context.Command()), " ")
		}
		fmt.Fprintf(streams.Err, "nncf: %v\nTry %s --help.\n", err, command)
		return exitUsage
	}
	level := slog.LevelWarn
	if c.Verbose {
		level = slog.LevelDebug
	}
	if err := capCPU(c.CPU); err != nil && !c.Inspect.plansFor(c.CPU) {
		fmt.Fprintf(streams.Err, "nncf: %v\n", err)
		return exitUsage
	}
	s := &session{IO: streams, globals: c.globals, ctx: ctx, log: slog.New(slog.NewTextHandler(streams.Err, &slog.HandlerOptions{Level: level}))}
	return s.exitCode(k.Run(s))
}

// capCPU obeys --cpu and tells of an environment that cannot be obeyed.
func capCPU(level string) error {
	if err := cpu.EnvError(); err != nil {
		return err
	}
	if level == "auto" {
		cpu.Uncap()
		return nil
	}
	l, err := cpu.ParseLevel(level)
	if err != nil {
		return err
	}
	return cpu.Cap(l)
}

// words are the words of a command without its arguments: "config check <file>".
func words(command string) []string {
	list := strings.Fields(command)
	return slices.DeleteFunc(list, func(w string) bool { return strings.HasPrefix(w, "<") })
}

// exitCode reports an error and returns the code for it.
func (s *session) exitCode(err error) int {
	var usage *usageError
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errReported):
		return exitFailed
	}
	text := err.Error()
	if n := 1 + strings.Count(text, "\n"); n > 1 { // places stay at the start of lines, where editors look for them
		fmt.Fprintf(s.Err, "nncf: %d problems\n%s\n", n, text)
	} else {
		fmt.Fprintf(s.Err, "nncf: %s\n", text)
	}
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

// errReported is a failure that the command has reported itself.
var errReported = errors.New("reported")

// usageError is a mistake in flags or arguments that only the command can see.
type usageError struct{ error }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// printJSON writes one object.
func (s *session) printJSON(v any) error {
	e := json.NewEncoder(s.Out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// Command nncf compresses ONNX models while it fine-tunes them. Run it with
// --help for its commands.
package main

import (
	"os"

	"github.com/go-nncf/nncf/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], cli.IO{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}

package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/go-nncf/nncf/config"
)

type configCmd struct {
	Init   configInitCmd   `cmd:"" help:"Write a starter configuration with comments."`
	Check  configCheckCmd  `cmd:"" help:"Report everything that is wrong with a configuration."`
	Schema configSchemaCmd `cmd:"" help:"Print the JSON schema of configurations."`
}

type configInitCmd struct {
	File  string `arg:"" optional:"" help:"File to write; default standard output."`
	Kind  string `help:"What to start with: int8 compresses a trained model, unlabelled does so without labels, float trains a built-in network." enum:"int8,unlabelled,float" default:"int8"`
	Force bool   `short:"f" help:"Replace the file if it is there."`
}

func (configInitCmd) Help() string {
	return `Examples:
  nncf config init int8.json
  nncf config init --kind float float.json`
}

func (c *configInitCmd) Run(s *session) error {
	text, err := config.Starter(c.Kind)
	if err != nil {
		return err
	}
	if c.File == "" {
		if s.JSON {
			return usagef("config init --json needs a file to write to: what it prints has comments")
		}
		_, err := s.Out.Write(text)
		return err
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if c.Force {
		flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	f, err := os.OpenFile(c.File, flags, 0o644)
	if err != nil {
		if errors.Is(err, os.ErrExist) {
			return fmt.Errorf("%w; --force replaces it", err)
		}
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if s.JSON {
		return s.printJSON(map[string]string{"file": c.File, "kind": c.Kind})
	}
	_, err = fmt.Fprintf(s.Out, "wrote %s; next: edit it, then nncf config check %s\n", c.File, c.File)
	return err
}

type configCheckCmd struct {
	File  string `arg:"" help:"Configuration file."`
	Ready bool   `help:"Fail too if the configuration cannot be run here and now."`
}

func (configCheckCmd) Help() string {
	return `Reports unknown keys, wrong types and values with their places, and exits with 1
if there is any. Then says what else would keep the configuration from being
run: algorithms and keys that are not supported yet, models and data that are
not there; with --ready, these count as problems too.

Examples:
  nncf config check int8.json
  nncf config check int8.json --ready
  nncf config check int8.json --json`
}

// configReport is what config check reports.
type configReport struct {
	File     string          `json:"file"`
	OK       bool            `json:"ok"`
	Problems []*config.Error `json:"problems"`
	// Ready says whether it can be run here and now, Missing why not.
	Ready    bool            `json:"ready"`
	Missing  []*config.Error `json:"missing,omitempty"`
	Warnings config.Errors   `json:"warnings,omitempty"`
	Unused   []string        `json:"unused,omitempty"` // keys without effect
}

func (c *configCheckCmd) Run(s *session) error {
	r := configReport{File: c.File, Problems: []*config.Error{}}
	cfg, err := config.Load(c.File)
	var missing error
	if err == nil {
		r.Warnings, r.Unused = cfg.Warnings, cfg.Unused
		missing = cfg.Ready()
	}
	r.OK = err == nil
	r.Ready = r.OK && missing == nil
	if err == nil && c.Ready {
		err = missing
	}
	if s.JSON {
		r.Problems = append(r.Problems, problems(c.File, err)...)
		r.Missing = problems(c.File, missing)
		if e := s.printJSON(r); e != nil {
			return e
		}
		if err != nil {
			return errReported
		}
		return nil
	}
	for _, w := range r.Warnings {
		fmt.Fprintf(s.Err, "warning: %v\n", w)
	}
	if err != nil {
		return err
	}
	if len(r.Unused) > 0 {
		fmt.Fprintf(s.Out, "%s: keys without effect here: %s\n", c.File, strings.Join(r.Unused, ", "))
	}
	if r.Ready {
		_, err = fmt.Fprintf(s.Out, "%s: ok\n", c.File)
		return err
	}
	fmt.Fprintf(s.Out, "%s: valid, but cannot be run here and now:\n", c.File)
	for _, m := range problems(c.File, missing) {
		fmt.Fprintf(s.Out, "  %v\n", m)
	}
	return nil
}

// problems takes an error of package config apart.
func problems(file string, err error) []*config.Error {
	if err == nil {
		return nil
	}
	if e, ok := err.(*config.Error); ok {
		return []*config.Error{e}
	}
	if l, ok := err.(interface{ Unwrap() []error }); ok {
		var list []*config.Error
		for _, e := range l.Unwrap() {
			list = append(list, problems(file, e)...)
		}
		return list
	}
	return []*config.Error{{File: file, Reason: err.Error()}}
}

type configSchemaCmd struct{}

func (configSchemaCmd) Help() string {
	return `Editors check and complete configurations that name it in a key "$schema".

Examples:
  nncf config schema > nncf.json`
}

func (configSchemaCmd) Run(s *session) error {
	_, err := s.Out.Write(config.Schema())
	return err
}

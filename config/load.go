package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/go-nncf/nncf/internal/atomicfile"
)

// Load reads a configuration file. All problems come together, as [Errors].
func Load(path string) (*Config, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c, err := Parse(path, b)
	if err != nil {
		return nil, err
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	c.Dir = filepath.Dir(abs)
	return c, nil
}

// Parse reads a configuration; name is that of the file, for errors, which are
// [Errors]. What depends on models, data or on what is built so far is left to
// [Config.Ready].
func Parse(name string, b []byte) (*Config, error) {
	r := &reader{name: name}
	root := r.read(b)
	if root == nil {
		return nil, finish(r.errs)
	}
	check := &checker{reader: r, schema: loadSchema(), root: root}
	check.structure()
	if r.bad[root] {
		return nil, finish(r.errs)
	}
	check.meaning()
	for i, key := range root.keys { // what is sound is looked at further, so that all problems come together
		if key != "compression" && !r.sound(root.items[i]) {
			r.bad[root.items[i]] = true
		}
	}
	var text bytes.Buffer
	r.render(&text, root)
	c := &Config{}
	if err := errors.Join(json.Unmarshal(text.Bytes(), c), c.complete(text.Bytes())); err != nil {
		r.errs = append(r.errs, check.decodeError(err))
		return nil, finish(r.errs)
	}
	if check.options(c); len(r.errs) > 0 {
		return nil, finish(r.errs)
	}
	check.notes(c)
	return c, nil
}

// decodeError places an error of the decoder, which the schema should have
// found first.
func (c *checker) decodeError(err error) *Error {
	e := &Error{File: c.name, Reason: err.Error()}
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		e.Path, e.Reason = wrong.Field, fmt.Sprintf("got a JSON %s, want %v", wrong.Value, wrong.Type)
	}
	return e
}

// Save writes the configuration as JSON. Paths stay as they are: relative ones
// are relative to the folder of the new file.
func (c *Config) Save(path string) error {
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.WriteBytes(path, append(b, '\n'))
}

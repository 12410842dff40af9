package config

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/go-nncf/nncf/zoo"
)

// meaning reports what a schema cannot say: keys of scope_overrides that are no
// regular expressions.
func (c *checker) meaning() {
	for _, s := range sectionNodes(c.root) {
		overrides := s.node.get("scope_overrides")
		c.scopeKeys(overrides, s.path+".scope_overrides")
		for _, group := range []string{"weights", "activations"} {
			c.scopeKeys(overrides.get(group), s.path+".scope_overrides."+group)
		}
	}
}

func (c *checker) scopeKeys(n *node, path string) {
	if n == nil {
		return
	}
	for i, key := range n.keys {
		if err := checkScope(key); err != nil {
			c.bad[n.items[i]] = true
			c.fail(n.items[i].keyOff, join(path, key), err.Error(), "")
		}
	}
}

// options reports what the packages that use the options find in them, at the
// key of the section. Sections that the schema found problems in are left out.
func (c *checker) options(cfg *Config) {
	for _, s := range []struct {
		key string
		err error
	}{
		{"optimizer", cfg.TrainOptions().Validate()},
		{"train_transforms", cfg.TrainTransforms.Validate()},
		{"eval_transforms", cfg.EvalTransforms.Validate()},
		{"accuracy_aware_training", cfg.AccuracyAware.Validate()},
		{"post_training", cfg.PostTraining.Validate()},
	} {
		n := c.root.get(s.key)
		if n == nil || s.err == nil || !c.sound(n) {
			continue
		}
		for _, err := range split(s.err) {
			at, path, reason := n, s.key, err.Error()
			if key, rest, ok := strings.Cut(reason, ": "); ok { // of a key within
				if x, p := c.root.at(append([]string{s.key}, strings.Split(key, ".")...)); p == s.key+"."+key {
					at, path, reason = x, p, rest
				}
			}
			c.fail(at.keyOff, path, reason, "")
		}
	}
	for _, s := range sectionNodes(c.root) {
		if !c.sound(s.node) {
			continue
		}
		var text bytes.Buffer
		c.render(&text, s.node)
		for _, a := range algorithms {
			if a.name != s.node.get("algorithm").value {
				continue
			}
			_, err := a.make(text.Bytes(), cfg)
			for _, err := range split(err) {
				if err != nil && !strings.HasPrefix(err.Error(), unsupported) {
					c.fail(s.node.off, s.path, err.Error(), "")
				}
			}
		}
	}
}

// unsupported begins the errors about options that are right and not built yet;
// they are told when a configuration is run.
const unsupported = "not supported yet"

// split takes joined errors apart.
func split(err error) []error {
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		var list []error
		for _, e := range j.Unwrap() {
			list = append(list, split(e)...)
		}
		return list
	}
	return []error{err}
}

// sectionNode is an algorithm's section in the text.
type sectionNode struct {
	node *node
	path string
}

// sectionNodes lists the algorithms' sections, without empty ones.
func sectionNodes(root *node) []sectionNode {
	n := root.get("compression")
	switch {
	case n == nil:
		return nil
	case n.keys != nil:
		return []sectionNode{{n, "compression"}}
	}
	var list []sectionNode
	for i, s := range n.items {
		if s.keys != nil {
			list = append(list, sectionNode{s, fmt.Sprintf("compression[%d]", i)})
		}
	}
	return list
}

// notes collects what is accepted and does not do what it says: keys without
// effect, keys for later, parameters that the network does not have.
func (c *checker) notes(cfg *Config) {
	cfg.read = source{map[string]Error{}, cfg.Model, cfg.Dataset}
	for i, key := range c.root.keys {
		line, col := c.position(c.root.items[i].off)
		cfg.read.places[key] = Error{File: c.name, Line: line, Col: col, Path: key}
	}
	c.annotations(c.root, c.schema.root, "", cfg)
	if params := c.root.get("model_params"); params != nil && zoo.Known(cfg.Model) {
		at := c.resolve(schemaNode(c.schema.root).property("model_params"))
		for i, key := range params.keys {
			if at.property(key) == nil {
				c.fail(params.items[i].keyOff, join("model_params", key), fmt.Sprintf("network %s has no such parameter", cfg.Model), c.suggestKey(key, at))
				c.demote()
			}
		}
	}
	cfg.Warnings = finish(c.warnings)
	for i, s := range sectionNodes(c.root) {
		if i < len(cfg.Compression) {
			line, col := c.position(s.node.off)
			cfg.Compression[i].place = Error{File: c.name, Line: line, Col: col, Path: s.path}
		}
	}
}

func (c *checker) annotations(n *node, at schemaNode, path string, cfg *Config) {
	for i, key := range n.keys {
		written := at.property(key)
		p, child := c.resolve(written), n.items[i]
		switch {
		case written.flag("x-later") || p.flag("x-later"):
			line, col := c.position(child.keyOff)
			cfg.later = append(cfg.later, &Error{c.name, line, col, join(path, key), unsupported, ""})
		case written.flag("x-unused"):
			cfg.Unused = append(cfg.Unused, key)
		case child.keys != nil && !strings.HasPrefix(key, "compression"):
			c.annotations(child, p, join(path, key), cfg)
		}
	}
}

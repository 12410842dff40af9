package sparsity

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-nncf/nncf/ir"
)

// base is what the controllers have in common: masks in a graph.
type base struct {
	// g is the graph under compression, after a clone from when the masks had just
	// been put in: algorithms that come later do not change it.
	g, after *ir.Graph
	layers   []*masked
}

func newBase(g *ir.Graph, list []*masked) base { return base{g, g.Clone(), list} }

// Loss implements compress.Controller: masks that are not trained have none.
func (*base) Loss(*ir.Builder) (*ir.Value, error) { return nil, nil }

// Reached returns the share of zeros of the masks.
func (b *base) Reached() float64 {
	zeros, all := 0, 0
	for _, m := range b.layers {
		z, n := m.count()
		zeros, all = zeros+z, all+n
	}
	if all == 0 {
		return 0
	}
	return float64(zeros) / float64(all)
}

// count returns the zeros of a mask and its elements.
func (m *masked) count() (zeros, all int) {
	for _, k := range m.bits() {
		if k == 0 {
			zeros++
		}
	}
	return zeros, len(m.bits())
}

// checkLayers reports what a setup from a file must not have.
func checkLayers(layers []*Layer) error {
	var errs []error
	for i, l := range layers {
		switch {
		case l == nil:
			errs = append(errs, fmt.Errorf("layer %d is null", i))
		case l.Weight == "" || len(l.Consumers) == 0 || l.OutAxis < 0 || l.InAxis < 0:
			errs = append(errs, fmt.Errorf("layer %d is incomplete", i))
		case l.Target != nil && !(*l.Target >= 0 && *l.Target < 1):
			errs = append(errs, fmt.Errorf("layer %d: got target %g", i, *l.Target))
		}
	}
	return errors.Join(errs...)
}

// strict decodes JSON and refuses keys that v does not have.
func strict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

// eachKey calls f for the keys of a JSON object in their order.
func eachKey(b []byte, f func(key string, raw json.RawMessage) error) error {
	d := json.NewDecoder(bytes.NewReader(b))
	t, err := d.Token()
	if err != nil || t == nil {
		return err
	}
	if t != json.Delim('{') {
		return fmt.Errorf("scope_overrides: got %v, want an object", t)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return err
		}
		if err := f(key.(string), raw); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

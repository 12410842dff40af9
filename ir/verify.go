package ir

import (
	"errors"
	"fmt"
	"slices"
)

// Verify checks the invariants of a graph and reports all violations:
// topological order, consistent links between values and nodes, unique names
// and IDs, stored data that fit their types, and recorded types that inference
// reproduces.
func Verify(g *Graph) error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("verify: "+format, args...)) }
	defined := map[*Value]bool{}
	var order []*Value // of definition
	ids := map[int]string{}
	define := func(v *Value) {
		if defined[v] {
			bad("value %q is defined twice", v.Name)
		}
		defined[v] = true
		order = append(order, v)
		if other, ok := ids[v.ID]; ok || v.ID < 0 || v.ID >= g.nextVal {
			bad("value %q has the ID %d of %q", v.Name, v.ID, other)
		}
		ids[v.ID] = v.Name
		if g.names[v.Name] != v {
			bad("value %q is not found by its name", v.Name)
		}
	}
	for _, v := range g.Inputs {
		define(v)
		if v.Kind != Input || v.Def != nil {
			bad("input %q is of kind %v", v.Name, v.Kind)
		}
	}
	for _, v := range g.stored {
		define(v)
		switch {
		case v.Kind == Input || v.Kind == Result || v.Data == nil:
			bad("stored value %q is of kind %v", v.Name, v.Kind)
		case !TypeOf(v.Data).Equal(v.Type):
			bad("stored value %q has type %v and data %v", v.Name, v.Type, v.Data)
		}
	}
	for _, n := range g.nodes {
		for i, v := range n.In {
			if v == nil {
				continue
			}
			if !defined[v] {
				errs = append(errs, n.Errorf("verify", "input %d (%q) is not defined before it", i, v.Name))
			}
			if !slices.Contains(v.uses, Use{n, i}) {
				errs = append(errs, n.Errorf("verify", "value %q does not know it as consumer", v.Name))
			}
		}
		types, err := inferTypes(n)
		if err != nil {
			errs = append(errs, n.Wrap("verify", err))
		}
		for i, v := range n.Out {
			if v == nil {
				continue
			}
			define(v)
			if v.Kind != Result || v.Def != n || v.Index != i {
				errs = append(errs, n.Errorf("verify", "output %d (%q) does not point back", i, v.Name))
			}
			if err == nil && (i >= len(types) || !sameType(types[i], v.Type)) {
				errs = append(errs, n.Errorf("verify", "output %d (%q) has type %v, inference says %v", i, v.Name, v.Type, types))
			}
		}
	}
	for _, v := range order {
		for _, u := range v.uses {
			if u.Port >= len(u.Node.In) || u.Node.In[u.Port] != v {
				bad("value %q has a stale consumer %q", v.Name, u.Node.Name)
			}
		}
	}
	for _, v := range g.Outputs {
		if !defined[v] {
			bad("output %q is not defined", v.Name)
		}
	}
	for _, a := range g.Assigns {
		if !defined[a.Dst] || !defined[a.Src] || a.Dst.Kind != State {
			bad("assign %q = %q: want a state and a defined value", a.Dst.Name, a.Src.Name)
		}
	}
	return errors.Join(errs...)
}

// sameType is Equal that takes unknown axes for equal.
func sameType(a, b Type) bool {
	return a.DType == b.DType && slices.Equal(a.Dims, b.Dims)
}

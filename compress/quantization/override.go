package quantization

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/ir"
)

// Override changes the options of the quantizers of one scope. Only fields that
// are given count; later overrides win.
type Override struct {
	Scope       string      `json:"-"`
	Mode        Mode        `json:"mode,omitempty"`
	Bits        int         `json:"bits,omitempty"`
	Signed      *bool       `json:"signed,omitempty"`
	PerChannel  *bool       `json:"per_channel,omitempty"`
	NarrowRange *bool       `json:"narrow_range,omitempty"`
	Gradient    Gradient    `json:"gradient,omitempty"`
	LogScale    *bool       `json:"logarithm_scale,omitempty"`
	Initializer Initializer `json:"initializer,omitzero"`
}

// Overrides keep the order of the configuration. In JSON they are an object
// from scopes to overrides, or one with the keys "weights" and "activations"
// that hold such objects.
type Overrides struct{ Both, Weights, Activations []Override }

// IsZero reports whether there are none.
func (o Overrides) IsZero() bool { return len(o.Both)+len(o.Weights)+len(o.Activations) == 0 }

// UnmarshalJSON implements json.Unmarshaler.
func (o *Overrides) UnmarshalJSON(b []byte) error {
	*o = Overrides{}
	err := compress.EachKey(b, func(key string, raw json.RawMessage) error {
		switch key {
		case "weights":
			return readOverrides(raw, &o.Weights)
		case "activations":
			return readOverrides(raw, &o.Activations)
		}
		return readOverride(key, raw, &o.Both)
	})
	if err != nil {
		return fmt.Errorf("scope_overrides: %w", err)
	}
	return nil
}

// MarshalJSON implements json.Marshaler.
func (o Overrides) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	err := writeOverrides(&b, o.Both)
	for _, l := range []struct {
		key  string
		list []Override
	}{{"weights", o.Weights}, {"activations", o.Activations}} {
		if len(l.list) == 0 || err != nil {
			continue
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:{", l.key)
		err = writeOverrides(&b, l.list)
		b.WriteByte('}')
	}
	b.WriteByte('}')
	return b.Bytes(), err
}

func writeOverrides(b *bytes.Buffer, list []Override) error {
	for i, v := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := json.Marshal(v.Scope)
		if err != nil {
			return err
		}
		val, err := json.Marshal(v)
		if err != nil {
			return err
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(val)
	}
	return nil
}

func readOverrides(raw json.RawMessage, list *[]Override) error {
	return compress.EachKey(raw, func(key string, raw json.RawMessage) error { return readOverride(key, raw, list) })
}

func readOverride(scope string, raw json.RawMessage, list *[]Override) error {
	v := Override{}
	if err := compress.DecodeStrict(raw, &v); err != nil {
		return fmt.Errorf("%q: %w", scope, err)
	}
	v.Scope = scope
	*list = append(*list, v)
	return nil
}

// spec is what one quantizer is asked to be.
type spec struct {
	mode       Mode
	bits       int
	signed     sign
	perChannel bool
	logScale   bool
	narrow     sign // signUnknown: the default
	gradient   Gradient
}

// sign is whether a symmetric grid has negative points; unknown until data are seen.
type sign int8

const (
	signUnknown sign = iota
	signYes
	signNo
)

func signOf(b *bool) sign {
	switch {
	case b == nil:
		return signUnknown
	case *b:
		return signYes
	}
	return signNo
}

func (s sign) ptr() *bool {
	if s == signUnknown {
		return nil
	}
	b := s == signYes
	return &b
}

// weightSpec and activationSpec return the options of a group, without overrides.
func (o Options) weightSpec() spec {
	s := o.Weights.spec(o.ExactGradient)
	d := o.device()
	s.perChannel = d.Weights.PerChannel
	if p := o.Weights.PerChannel; p != nil {
		s.perChannel = *p
	}
	if s.signed == signUnknown && d.Weights.Signed {
		s.signed = signYes // runtimes want signed weights
	}
	return s
}

func (o Options) activationSpec() spec {
	s := o.Activations.spec(o.ExactGradient)
	if o.Activations.Mode == "" && o.Preset == "mixed" {
		s.mode = Asymmetric
	}
	s.perChannel = o.Activations.PerChannel != nil && *o.Activations.PerChannel
	return s
}

func (g Group) spec(exact bool) spec {
	s := spec{mode: g.Mode, bits: g.Bits, signed: signOf(g.Signed), logScale: g.LogScale, narrow: signOf(g.NarrowRange), gradient: g.Gradient}
	if s.mode == "" {
		s.mode = Symmetric
	}
	if s.bits == 0 {
		s.bits = 8
	}
	if s.gradient == "" && exact {
		s.gradient = GradientExact
	}
	if s.gradient == GradientNNCF {
		s.gradient = ""
	}
	return s
}

// override returns s with every override that matches one of the nodes, and
// the range initialisation that the last of them gives, if any.
func (o Options) override(s spec, own []Override, nodes ...*ir.Node) (spec, *Range) {
	var r *Range
	for _, list := range [][]Override{o.ScopeOverrides.Both, own} {
		for _, v := range list {
			hit := false
			for _, n := range nodes {
				hit = hit || n != nil && compress.Match(v.Scope, n)
			}
			if !hit {
				continue
			}
			if v.Mode != "" {
				s.mode = v.Mode
			}
			if v.Bits != 0 {
				s.bits = v.Bits
			}
			if v.Signed != nil {
				s.signed = signOf(v.Signed)
			}
			if v.PerChannel != nil {
				s.perChannel = *v.PerChannel
			}
			if v.NarrowRange != nil {
				s.narrow = signOf(v.NarrowRange)
			}
			switch v.Gradient {
			case "":
			case GradientNNCF:
				s.gradient = ""
			default:
				s.gradient = v.Gradient
			}
			if v.LogScale != nil {
				s.logScale = *v.LogScale
			}
			if len(v.Initializer.Range) > 0 {
				r = &v.Initializer.Range[0]
			}
		}
	}
	if p := o.Initializer.Precision; len(p.BitsPerScope) > 0 && len(nodes) > 0 {
		if len(nodes) == 1 {
			s.bits = p.bitsOf(s.bits, Weight, nodes[0], nil)
		} else {
			s.bits = p.bitsOf(s.bits, Activation, nodes[0], nodes[1])
		}
	}
	return s, r
}

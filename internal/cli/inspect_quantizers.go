package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/go-nncf/nncf"
	"github.com/go-nncf/nncf/compress/quantization"
)

// quantizersFlags are those of inspect --quantizers.
type quantizersFlags struct {
	Quantizers bool `help:"List the quantizers that the configuration's compression puts in, each with the rule that put it there, and the operators left in float, with the reason." xor:"form" group:"quantization"`
}

// quantizerReport is what inspect --quantizers reports.
type quantizerReport struct {
	Model      string               `json:"model"`
	Quantizers []quantizerEntry     `json:"quantizers"`
	Float      []quantization.Float `json:"float"` // operators that are left in float
}

// quantizerEntry is one quantizer. Ranges are there once data has initialised
// them: Scale of symmetric ones, the largest value; Low and Range of asymmetric
// ones; each a number, or a list with one per channel.
type quantizerEntry struct {
	Value      string             `json:"value"` // name in the ONNX file
	Kind       quantization.Kind  `json:"kind"`
	Mode       quantization.Mode  `json:"mode"`
	Bits       int                `json:"bits"`
	Signed     *bool              `json:"signed"` // null: data will decide
	PerChannel bool               `json:"per_channel"`
	Levels     int                `json:"levels"`
	Scale      any                `json:"scale,omitempty"`
	Low        any                `json:"low,omitempty"`
	Range      any                `json:"range,omitempty"`
	Consumers  []quantization.Use `json:"consumers"`
	Group      int                `json:"group"` // quantizers with the same range; 0 for none
	Rule       string             `json:"rule"`
}

// intervals is what initialised quantizers tell.
type intervals interface {
	Intervals() [][]quantization.Interval
}

// quantizersOf describes the quantizers of a compressed model.
func quantizersOf(k *nncf.Compressed, initialized bool) (quantizerReport, error) {
	r := quantizerReport{Quantizers: []quantizerEntry{}, Float: []quantization.Float{}}
	found := false
	for _, s := range k.Setups() {
		setup, ok := s.(*quantization.Setup)
		if !ok {
			continue
		}
		found = true
		var ranges [][]quantization.Interval
		if c, ok := controllerOf[intervals](k); ok && initialized {
			ranges = c.Intervals()
		}
		for i, q := range setup.Quantizers {
			_, _, levels := q.Grid()
			e := quantizerEntry{Value: q.Value, Kind: q.Kind, Mode: q.Mode, Bits: q.Bits, Signed: q.Signed, PerChannel: q.PerChannel(),
				Levels: levels, Consumers: q.Consumers, Group: q.Group, Rule: q.Rule}
			if q.Mode == quantization.Asymmetric {
				e.Signed = new(true) // such a grid may hold negative numbers; the original says so too
			}
			if e.Consumers == nil {
				e.Consumers = []quantization.Use{}
			}
			if ranges != nil {
				e.setRange(ranges[i])
			}
			r.Quantizers = append(r.Quantizers, e)
		}
		r.Float = append(r.Float, setup.Float...)
	}
	if !found {
		return r, errors.New("the configuration does not quantize: its compression section has no algorithm quantization")
	}
	return r, nil
}

func (e *quantizerEntry) setRange(list []quantization.Interval) {
	of := func(f func(quantization.Interval) float32) any {
		v := make([]float32, len(list))
		for i, x := range list {
			v[i] = f(x)
		}
		if !e.PerChannel && len(v) == 1 {
			return v[0]
		}
		return v
	}
	if e.Mode == quantization.Symmetric {
		e.Scale = of(func(x quantization.Interval) float32 { return x.High })
		return
	}
	e.Low = of(func(x quantization.Interval) float32 { return x.Low })
	e.Range = of(func(x quantization.Interval) float32 { return x.High - x.Low })
}

func (c *inspectCmd) quantizers(s *session) error {
	k, err := c.compressed(s)
	if err != nil {
		return err
	}
	r, err := quantizersOf(k, c.Dataset != "")
	if err != nil {
		return err
	}
	r.Model = c.Model
	if s.JSON {
		return s.printJSON(r)
	}
	w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "value\tkind\tmode\tbits\tsign\tranges\tlargest\tgroup\tconsumers\trule\n")
	for _, e := range r.Quantizers {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\n", e.Value, e.Kind, e.Mode, e.Bits, e.sign(), e.ranges(), e.largest(), groupName(e.Group), e.consumers(), e.Rule)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	w = tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\nleft in float\tkind\twhy\n")
	for _, f := range r.Float {
		fmt.Fprintf(w, "%s\t%s\t%s\n", f.Node, f.Kind, f.Why)
	}
	return w.Flush()
}

func (e *quantizerEntry) sign() string {
	switch {
	case e.Mode == quantization.Asymmetric:
		return "-"
	case e.Signed == nil:
		return "from data"
	case *e.Signed:
		return "signed"
	}
	return "unsigned"
}

func (e *quantizerEntry) ranges() string {
	if e.PerChannel {
		return "per channel"
	}
	return "one"
}

// largest is the largest scale or range.
func (e *quantizerEntry) largest() string {
	v := e.Scale
	if v == nil {
		v = e.Range
	}
	switch v := v.(type) {
	case float32:
		return fmt.Sprintf("%.4g", v)
	case []float32:
		top := float32(0)
		for _, x := range v {
			top = max(top, x)
		}
		return fmt.Sprintf("%.4g", top)
	}
	return "-"
}

func groupName(g int) string {
	if g == 0 {
		return "-"
	}
	return strconv.Itoa(g)
}

func (e *quantizerEntry) consumers() string {
	const most = 3
	var names []string
	for _, u := range e.Consumers {
		if len(names) == most {
			names = append(names, fmt.Sprintf("and %d more", len(e.Consumers)-most))
			break
		}
		names = append(names, u.Node)
	}
	return strings.Join(names, " ")
}

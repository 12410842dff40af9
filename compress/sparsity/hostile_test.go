package sparsity_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/go-nncf/nncf/compress"
	"github.com/go-nncf/nncf/compress/sparsity"
)

// Setups and states that a damaged checkpoint could hold are errors.
func TestRestore_Hostile(t *testing.T) {
	good := map[string]compress.Algorithm{
		sparsity.Magnitude: sparsity.NewMagnitude(sparsity.MagnitudeOptions{Params: sparsity.MagnitudeParams{Pattern: "2:4"}}),
		sparsity.RB:        sparsity.NewRB(sparsity.RBOptions{}),
		sparsity.Movement:  sparsity.NewMovement(sparsity.MovementOptions{Params: movementOptions().Params}),
	}
	restore := map[string]func(json.RawMessage) (compress.Setup, error){
		sparsity.Magnitude: sparsity.RestoreMagnitude, sparsity.RB: sparsity.RestoreRB, sparsity.Movement: sparsity.RestoreMovement, sparsity.Constant: sparsity.RestoreConstant}
	try := func(name, text string) error {
		s, err := restore[name](json.RawMessage(text))
		if err == nil {
			_, err = s.Apply(resnet(t), nil)
		}
		return err
	}
	for name, a := range good {
		s, err := a.Setup(resnet(t))
		if err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := try(name, string(raw)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, change := range [][2]string{
			{`"out_axis":0`, `"out_axis":9`}, {`"in_axis":1`, `"in_axis":0`}, {`"in_axis":1`, `"in_axis":-1`}, {`"linear.weight"`, `"nosuch"`},
			{`"linear.weight"`, `"input"`}, {`"port":1`, `"port":7`}, {`"layers":[`, `"layers":[null,`}, {`"consumers":[`, `"nosuch":[`}, {`{`, `{"x":1,`},
		} {
			text := strings.Replace(string(raw), change[0], change[1], 1)
			if text == string(raw) {
				t.Errorf("%s has no %s", name, change[0])
			}
			if try(name, text) == nil {
				t.Errorf("%s with %s: got no error", name, change[1])
			}
		}
	}
	for name, f := range restore {
		for _, text := range []string{"", "null", "[]", `{"layers":[{}]}`, `{"layers":[{"weight":"w","consumers":[{"node":"n"}],"pattern":"9999999999:1"}]}`} {
			if s, err := f(json.RawMessage(text)); err == nil && name != sparsity.Constant {
				t.Errorf("%s from %q: got %+v", name, text, s)
			}
		}
	}
	c := apply(t, resnet(t), sparsity.MagnitudeOptions{Params: sparsity.MagnitudeParams{Params: sparsity.Params{Schedule: "adaptive"}}})
	for _, text := range []string{`{}`, `{"schedule":{"level":0.1}, "pinned":{"w":1.5}}`, `{"schedule":{"level":0.1,"adaptive":{"level":7}}}`, `{"schedule":{"level":-1,"adaptive":{}}}`} {
		if c.LoadState(json.RawMessage(text)) == nil {
			t.Errorf("state %s: got no error", text)
		}
	}
	c.EpochStep()
	c.Step()
}

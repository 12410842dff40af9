package ort

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-nncf/nncf/internal/runtimes"
)

// parseProfile reads the events that ONNX Runtime writes when a profile ends
// (the trace-event format of browsers) and returns one layer per node, in order
// of first execution, with the average time of the runs.
func parseProfile(profile []byte) ([]runtimes.Layer, error) {
	var events []struct {
		Category string `json:"cat"`
		Name     string `json:"name"`
		Duration int64  `json:"dur"` // µs
		Args     struct {
			Op       string                       `json:"op_name"`
			Provider string                       `json:"provider"`
			Inputs   []map[string]json.RawMessage `json:"input_type_shape"` // {"uint8":[1,3,8,8]}
		} `json:"args"`
	}
	if err := json.Unmarshal(profile, &events); err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	var layers []runtimes.Layer
	index := map[string]int{}
	var runs []time.Duration
	for _, e := range events {
		node, ok := strings.CutSuffix(e.Name, "_kernel_time")
		if e.Category != "Node" || !ok {
			continue
		}
		i, seen := index[node]
		if !seen {
			i = len(layers)
			index[node] = i
			l := runtimes.Layer{Node: node, Type: e.Args.Op, Exec: e.Args.Provider}
			first := 0
			if e.Args.Op == "QLinearConcat" { // scale and zero point of the result come first
				first = 2
			}
			if len(e.Args.Inputs) > first {
				for _, name := range slices.Sorted(maps.Keys(e.Args.Inputs[first])) {
					l.Exec += " " + name
					l.Precision = precision(name)
				}
			}
			layers, runs = append(layers, l), append(runs, 0)
		}
		layers[i].Time += time.Duration(e.Duration) * time.Microsecond
		runs[i]++
	}
	for i := range layers {
		layers[i].Time /= runs[i]
	}
	return layers, nil
}

// precision shortens the type of a node's first input. A kernel with an integer
// first input computes in integers: the fused operators (QLinearConv, QGemm, …)
// take the quantized activation first, but for QLinearConcat.
func precision(typ string) string {
	switch typ {
	case "float":
		return "f32"
	case "double":
		return "f64"
	case "float16":
		return "f16"
	case "bfloat16":
		return "bf16"
	case "uint8", "int8":
		return "i8"
	case "uint16", "int16":
		return "i16"
	case "int32", "uint32":
		return "i32"
	case "int64", "uint64":
		return "i64"
	}
	return typ
}

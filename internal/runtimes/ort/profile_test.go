package ort

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/go-nncf/nncf/internal/runtimes"
)

func TestParseProfile(t *testing.T) {
	const profile = `[
{"cat":"Session","dur":99,"name":"model_loading_uri","args":{}},
{"cat":"Node","dur":7,"name":"conv_kernel_time","args":{"op_name":"QLinearConv","provider":"CPUExecutionProvider","input_type_shape":[{"uint8":[1,3,8,8]},{"float":[]}]}},
{"cat":"Node","dur":1,"name":"relu_kernel_time","args":{"op_name":"Relu","provider":"CPUExecutionProvider","input_type_shape":[{"float":[1]}]}},
{"cat":"Node","dur":2,"name":"concat_kernel_time","args":{"op_name":"QLinearConcat","provider":"CPUExecutionProvider","input_type_shape":[{"float":[]},{"uint8":[]},{"uint8":[1,3]},{"float":[]},{"uint8":[]}]}},
{"cat":"Node","dur":9,"name":"conv_kernel_time","args":{"op_name":"QLinearConv","provider":"CPUExecutionProvider","input_type_shape":[{"uint8":[1,3,8,8]}]}}
]`
	got, err := parseProfile([]byte(profile))
	if err != nil {
		t.Fatal(err)
	}
	want := []runtimes.Layer{
		{Node: "conv", Type: "QLinearConv", Exec: "CPUExecutionProvider uint8", Precision: "i8", Time: 8 * time.Microsecond},
		{Node: "relu", Type: "Relu", Exec: "CPUExecutionProvider float", Precision: "f32", Time: time.Microsecond},
		{Node: "concat", Type: "QLinearConcat", Exec: "CPUExecutionProvider uint8", Precision: "i8", Time: 2 * time.Microsecond},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	if _, err := parseProfile([]byte("[{")); err == nil {
		t.Error("cut profile: got no error")
	}
}

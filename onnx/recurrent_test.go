package onnx_test

import (
	"testing"
)

// Recurrent cells, with the vectors of ONNX and with attributes at random that
// ONNX Runtime computed (see testdata/README.md), also after writing and reading
// at several opsets.
func TestRecurrent(t *testing.T) {
	for _, v := range readVectors(t, "testdata/recurrent.tar.gz") {
		t.Run(v.name, func(t *testing.T) {
			g, results, err := v.run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			rewrite(t, v, g, results)
		})
	}
}

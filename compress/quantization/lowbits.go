package quantization

import (
	"fmt"
	"slices"

	"github.com/go-nncf/nncf/compress"
)

// Names of the statistics of models with narrow layers: how much more layers of 8
// bits throughout would cost.
const (
	ComplexityRatio = "complexity of 8 bits / complexity"
	BytesRatio      = "bytes of weights at 8 bits / bytes at their bits"
)

// lowBits adds to the statistics what bits other than 8 mean: for size and
// complexity, and for each layer in the runtimes. Models of 8 bits throughout get
// nothing.
//
// What runtimes do was read from the graphs that ONNX Runtime 1.32 and OpenVINO
// 2026.4 execute for such layers on a CPU.
func (c *Controller) lowBits(s *compress.Statistics) {
	if !slices.ContainsFunc(c.quantizers, func(x *placed) bool { return x.Bits < 8 }) {
		return
	}
	layers, err := c.findLayers(nil)
	known := err == nil
	if !known {
		if layers, err = c.layersWithoutCost(); err != nil {
			return
		}
	}
	var base, cost, baseBytes, bytes float64
	t := compress.Table{Title: "Layers in runtimes", Columns: []string{"layer", "weight bits", "input bits", "stored as", "ONNX Runtime", "OpenVINO", "for the bits to pay"}}
	for _, l := range layers {
		n := l.nodes[0]
		w, in := l.weight.Bits, 0
		for _, x := range l.inputs {
			in = max(in, x.Bits)
		}
		base += float64(l.macs) * 8
		cost += float64(l.macs) * float64(max(w, in))
		size := float64(l.weight.value.Type.MustShape().Numel())
		baseBytes += size
		bytes += size * float64(w) / 8
		if w >= 8 && in >= 8 {
			continue
		}
		ort, ov := runtimesOf(n.Op.Kind(), w, in)
		t.Rows = append(t.Rows, []string{n.Label(), fmt.Sprint(w), inputBitsName(in), storage(n.Op.Kind(), w), ort, ov, payoff(n.Op.Kind(), w, in)})
	}
	if known && cost > 0 {
		s.Numbers = append(s.Numbers, compress.Number{Name: ComplexityRatio, Value: base / cost})
	}
	if bytes > 0 {
		s.Numbers = append(s.Numbers, compress.Number{Name: BytesRatio, Value: baseBytes / bytes})
	}
	s.Tables = append(s.Tables, t)
	if len(c.setup.Layers) > 0 {
		s.Tables = append(s.Tables, precisionTable(c.setup.Layers))
	}
}

// layersWithoutCost are the layers of a graph whose arithmetic is unknown.
func (c *Controller) layersWithoutCost() ([]*layer, error) {
	shapes := map[string][]int{}
	for _, v := range c.float.Inputs {
		s := make([]int, v.Type.Rank())
		for i, d := range v.Type.Dims {
			if n, ok := d.Known(); ok {
				s[i] = n
			} else {
				s[i] = 224 // some size; costs are not used
			}
		}
		shapes[v.Name] = s
	}
	return c.findLayers(shapes)
}

func inputBitsName(bits int) string {
	if bits == 0 {
		return "float"
	}
	return fmt.Sprint(bits)
}

// matrix reports whether an operator is a matrix product.
func matrix(kind string) bool { return kind == "MatMul" || kind == "Gemm" }

func storage(kind string, bits int) string {
	switch {
	case bits > 8:
		return "int16"
	case bits <= 4 && matrix(kind):
		return "int8; int4 with opset 21"
	}
	return "int8"
}

// runtimesOf says what runtimes do with a layer of these bits.
func runtimesOf(kind string, weight, input int) (ort, openvino string) {
	switch {
	case weight > 8 || input > 8:
		return "float", "float, 16-bit pairs are removed"
	case input == 0:
		return "float, weights dequantized", "float, weights dequantized"
	case input == 8:
		ort, openvino = "int8", "int8"
	default:
		ort = fmt.Sprintf("int8; the layer before it in float, since its %d-bit result needs a Clip", input)
		openvino = "int8, Clip on the way out of the layer before"
	}
	if matrix(kind) && weight <= 4 {
		ort, openvino = ort+"; packed: float, weights unpacked at each run", openvino+"; packed: float, weights stay packed in memory"
	}
	return ort, openvino
}

// payoff says what it would take for less than 8 bits to be faster or smaller.
func payoff(kind string, weight, input int) string {
	switch {
	case weight < 8 && matrix(kind) && weight <= 4:
		return "opset 21 packs two weights a byte, where reading them is the bottleneck (small batches); then leave the input in float"
	case weight < 8 && input < 8:
		return fmt.Sprintf("a device with %d-bit products, such as an NPU; on CPUs only a file that is compressed afterwards gets smaller", max(weight, input, 4))
	case weight < 8:
		return "a device that stores narrow weights; on CPUs only a file that is compressed afterwards gets smaller"
	}
	return "narrow weights as well"
}

// precisionTable shows how bits were chosen by sensitivity.
func precisionTable(layers []LayerPrecision) compress.Table {
	t := compress.Table{Title: "Bits by sensitivity", Columns: []string{"layer", "trace", "stderr", "perturbation", "MFLOPs", "bits", "input bits"}}
	for _, l := range layers {
		t.Rows = append(t.Rows, []string{l.Layer, fmt.Sprintf("%.4g", l.Trace), fmt.Sprintf("%.2g", l.StdErr), fmt.Sprintf("%.4g", l.Perturbation[l.Bits]),
			fmt.Sprintf("%.3f", float64(l.FLOPs)/1e6), fmt.Sprint(l.Bits), fmt.Sprint(l.InputBits)})
	}
	return t
}

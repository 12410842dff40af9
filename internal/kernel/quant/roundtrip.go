package quant

// RoundTrip sets dst[i] to what is left of x[i] after ONNX's QuantizeLinear and
// DequantizeLinear with one scale: clip(rne(x/scale), low, high)·scale. low and
// high are the ends of the integer type less the zero point, |low|, |high| < 2²².
// It divides, as the standard does, so that results are those of runtimes. dst
// may be x.
func RoundTrip(dst, x []float32, scale, low, high float32) {
	x = x[:len(dst)]
	for i, v := range x {
		v = min(max(v/scale, low), high)
		if v != v { // as runtimes do
			v = 0
		}
		dst[i] = rne32(v) * scale
	}
}

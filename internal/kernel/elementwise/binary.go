package elementwise

// Binary is a function of two vectors, or of a vector and a number or a
// parameter per channel.
type Binary int

// The binary functions. Min and Max give NaN if either side is NaN; of two
// zeros they give b.
const (
	Add Binary = iota // a+b
	Sub               // a−b
	Mul               // a·b
	Div               // a/b
	Min               // the smaller
	Max               // the larger
	numBinary
)

var binaryName = [numBinary]string{"Add", "Sub", "Mul", "Div", "Min", "Max"}

// String returns the name of the constant.
func (o Binary) String() string { return binaryName[o] }

// Run sets dst[i] = f(a[i], b[i]).
func (o Binary) Run(dst, a, b []float32) {
	_, _ = a[:len(dst)], b[:len(dst)]
	active.binary[o](dst, a, b)
}

// Scalar sets dst[i] = f(a[i], b).
func (o Binary) Scalar(dst, a []float32, b float32) {
	_ = a[:len(dst)]
	active.scalar[o](dst, a, b)
}

// ScalarLeft sets dst[i] = f(a, b[i]).
func (o Binary) ScalarLeft(dst []float32, a float32, b []float32) {
	_ = b[:len(dst)]
	active.scalarLeft[o](dst, b, a)
}

// Channels sets dst[i] = f(a[i], p[c]), c = i mod len(p).
func (o Binary) Channels(dst, a, p []float32) {
	_ = a[:len(dst)]
	checkPeriod(len(dst), len(p), len(p))
	if len(p) == 1 {
		active.scalar[o](dst, a, p[0])
		return
	}
	active.channels[o](dst, a, p)
}

// ChannelsLeft sets dst[i] = f(p[c], b[i]), c = i mod len(p).
func (o Binary) ChannelsLeft(dst, p, b []float32) {
	_ = b[:len(dst)]
	checkPeriod(len(dst), len(p), len(p))
	if len(p) == 1 {
		active.scalarLeft[o](dst, b, p[0])
		return
	}
	active.channelsLeft[o](dst, b, p)
}

// AddRelu sets dst[i] = relu(a[i]+b[i]), the end of a residual block.
func AddRelu(dst, a, b []float32) {
	_, _ = a[:len(dst)], b[:len(dst)]
	active.addRelu(dst, a, b)
}

package elementwise

// Unary is a function of one vector.
type Unary int

// The unary functions. Errors are for all finite x unless noted.
const (
	Abs        Unary = iota // |x|
	Neg                     // −x
	Sqrt                    // √x, correctly rounded
	Square                  // x²
	Reciprocal              // 1/x
	Exp                     // eˣ
	Log                     // ln x; NaN below 0, −Inf at 0
	Sigmoid                 // 1/(1+e⁻ˣ)
	Tanh                    // tanh x
	Erf                     // (2/√π)·∫₀ˣ e^(−t²) dt
	Relu                    // x < 0 ? 0 : x
	Gelu                    // x·Φ(x) = x/2·(1+erf(x/√2))
	GeluTanh                // x·σ(2u), u = √(2/π)·(x+0.044715·x³); the tanh form of Gelu
	Silu                    // x·σ(x)
	HardSwish               // x·clip(x/6+1/2, 0, 1)
	Softplus                // ln(1+eˣ)
	numUnary
)

var unaryName = [numUnary]string{"Abs", "Neg", "Sqrt", "Square", "Reciprocal", "Exp", "Log", "Sigmoid", "Tanh", "Erf",
	"Relu", "Gelu", "GeluTanh", "Silu", "HardSwish", "Softplus"}

// String returns the name of the constant.
func (o Unary) String() string { return unaryName[o] }

// Run sets dst[i] = f(x[i]).
func (o Unary) Run(dst, x []float32) {
	_ = x[:len(dst)]
	active.unary[o](dst, x)
}

// Unary1 is a function of one vector and one number.
type Unary1 int

// The functions with one parameter a.
const (
	LeakyRelu Unary1 = iota // x < 0 ? a·x : x
	Elu                     // x < 0 ? a·(eˣ−1) : x
	ExpMinus                // e^(x−a)
	numUnary1
)

var unary1Name = [numUnary1]string{"LeakyRelu", "Elu", "ExpMinus"}

// String returns the name of the constant.
func (o Unary1) String() string { return unary1Name[o] }

// Run sets dst[i] = f(x[i]; a).
func (o Unary1) Run(dst, x []float32, a float32) {
	_ = x[:len(dst)]
	active.unary1[o](dst, x, a)
}

// Unary2 is a function of one vector and two numbers.
type Unary2 int

// The functions with two parameters a and b.
const (
	Clip        Unary2 = iota // x < a ? a : x, then > b ? b : that
	HardSigmoid               // clip(a·x+b, 0, 1)
	ScaleShift                // a·x+b
	numUnary2
)

var unary2Name = [numUnary2]string{"Clip", "HardSigmoid", "ScaleShift"}

// String returns the name of the constant.
func (o Unary2) String() string { return unary2Name[o] }

// Run sets dst[i] = f(x[i]; a, b).
func (o Unary2) Run(dst, x []float32, a, b float32) {
	_ = x[:len(dst)]
	active.unary2[o](dst, x, a, b)
}

// ScaleShiftChannels sets dst[i] = x[i]·scale[c] + shift[c], c = i mod
// len(scale). The two parameters have the same length.
func ScaleShiftChannels(dst, x, scale, shift []float32) {
	_ = x[:len(dst)]
	checkPeriod(len(dst), len(scale), len(shift))
	if len(scale) == 1 {
		active.unary2[ScaleShift](dst, x, scale[0], shift[0])
		return
	}
	active.scaleShift(dst, x, scale, shift)
}

// PRelu sets dst[i] = x[i] < 0 ? slope[c]·x[i] : x[i], c = i mod len(slope).
func PRelu(dst, x, slope []float32) {
	_ = x[:len(dst)]
	checkPeriod(len(dst), len(slope), len(slope))
	if len(slope) == 1 {
		active.unary1[LeakyRelu](dst, x, slope[0])
		return
	}
	active.prelu(dst, x, slope)
}

func checkPeriod(n, p, q int) {
	if p != q {
		panic("elementwise: channel parameters of different lengths")
	}
	if p == 0 && n > 0 {
		panic("elementwise: no channel parameters")
	}
}

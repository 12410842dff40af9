package elementwise

// Grad is the gradient of a function of one vector: dx[i] = g[i]·f'(i), where
// f' is computed from the function's input x or its output y, as noted. Run
// with dx the same slice as g is allowed.
type Grad int

// The gradients. ReluGrad accepts x or y. AbsGrad is 0 at x = 0.
const (
	AbsGrad        Grad = iota // from x: g·sign(x)
	SqrtGrad                   // from y: g·0.5/y
	SquareGrad                 // from x: g·2·x
	ReciprocalGrad             // from y: −g·y²
	SigmoidGrad                // from y: g·y·(1−y)
	TanhGrad                   // from y: g·(1−y²)
	ErfGrad                    // from x: g·(2/√π)·e^(−x²)
	ReluGrad                   // from x or y: x > 0 ? g : 0
	GeluGrad                   // from x: g·(Φ(x) + x·φ(x))
	GeluTanhGrad               // from x: g·(s + x·s·(1−s)·2u'), s = σ(2u)
	SiluGrad                   // from x: g·(s + x·s·(1−s)), s = σ(x)
	HardSwishGrad              // from x: g·(x ≤ −3 ? 0 : x ≥ 3 ? 1 : x/3+1/2)
	SoftplusGrad               // from x: g·σ(x)
	numGrad
)

var gradName = [numGrad]string{"AbsGrad", "SqrtGrad", "SquareGrad", "ReciprocalGrad", "SigmoidGrad", "TanhGrad", "ErfGrad",
	"ReluGrad", "GeluGrad", "GeluTanhGrad", "SiluGrad", "HardSwishGrad", "SoftplusGrad"}

// String returns the name of the constant.
func (o Grad) String() string { return gradName[o] }

// Run sets dx[i] = g[i]·f'(xy[i]), xy being x or y as noted at the constant.
func (o Grad) Run(dx, g, xy []float32) {
	_, _ = g[:len(dx)], xy[:len(dx)]
	active.grad[o](dx, g, xy)
}

// Grad1 is the gradient of a function with one parameter.
type Grad1 int

// The gradients with one parameter a.
const (
	LeakyReluGrad Grad1 = iota // from x: x < 0 ? a·g : g
	EluGrad                    // from x: x < 0 ? a·eˣ·g : g
	numGrad1
)

var grad1Name = [numGrad1]string{"LeakyReluGrad", "EluGrad"}

// String returns the name of the constant.
func (o Grad1) String() string { return grad1Name[o] }

// Run sets dx[i] = g[i]·f'(x[i]; a).
func (o Grad1) Run(dx, g, x []float32, a float32) {
	_, _ = g[:len(dx)], x[:len(dx)]
	active.grad1[o](dx, g, x, a)
}

// Grad2 is the gradient of a function with two parameters.
type Grad2 int

// The gradients with two parameters a and b.
const (
	ClipGrad        Grad2 = iota // from x: a ≤ x ≤ b ? g : 0
	HardSigmoidGrad              // from x: 0 < a·x+b < 1 ? a·g : 0
	numGrad2
)

var grad2Name = [numGrad2]string{"ClipGrad", "HardSigmoidGrad"}

// String returns the name of the constant.
func (o Grad2) String() string { return grad2Name[o] }

// Run sets dx[i] = g[i]·f'(x[i]; a, b).
func (o Grad2) Run(dx, g, x []float32, a, b float32) {
	_, _ = g[:len(dx)], x[:len(dx)]
	active.grad2[o](dx, g, x, a, b)
}

// PReluGrad sets dx[i] = x[i] < 0 ? slope[c]·g[i] : g[i], c = i mod len(slope).
// The gradient of the slopes is the column sum of g·min(x, 0).
func PReluGrad(dx, g, x, slope []float32) {
	_, _ = g[:len(dx)], x[:len(dx)]
	checkPeriod(len(dx), len(slope), len(slope))
	if len(slope) == 1 {
		active.grad1[LeakyReluGrad](dx, g, x, slope[0])
		return
	}
	active.preluGrad(dx, g, x, slope)
}

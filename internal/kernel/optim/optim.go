package optim

import "math"

// SGD are the settings of stochastic gradient descent for one step.
type SGD struct {
	LR          float32
	Momentum    float32 // 0 needs no velocity
	WeightDecay float32 // added to the gradient: g + WeightDecay·w
	Nesterov    bool    // look ahead by one momentum step
	GradScale   float32 // gradients are multiplied by it first; 0 means 1
}

// Step updates w and the velocity v in place:
//
//	d = GradScale·g + WeightDecay·w
//	v = Momentum·v + d
//	w = w − LR·(Nesterov ? d + Momentum·v : v)
//
// With Momentum 0, v may be nil and w = w − LR·d. The first step starts from
// v = 0, which equals v = d.
func (o SGD) Step(w, g, v []float32) {
	_ = g[:len(w)]
	s := o.GradScale
	if s == 0 {
		s = 1
	}
	if o.Momentum == 0 {
		active.sgdPlain(w, g, o.LR, o.WeightDecay, s)
		return
	}
	_ = v[:len(w)]
	if o.Nesterov {
		active.sgdNesterov(w, g, v, o.LR, o.WeightDecay, s, o.Momentum)
		return
	}
	active.sgdMomentum(w, g, v, o.LR, o.WeightDecay, s, o.Momentum)
}

// Adam are the settings of Adam for one step. The zero values of the Betas and
// Epsilon are not defaults: use [Adam.WithDefaults].
type Adam struct {
	LR           float32
	Beta1, Beta2 float32
	Epsilon      float32
	WeightDecay  float32
	Decoupled    bool    // AdamW: decay the weights, not the gradient
	GradScale    float32 // gradients are multiplied by it first; 0 means 1
}

// WithDefaults fills zero Betas and Epsilon with 0.9, 0.999 and 1e-8 (Kingma
// and Ba, https://arxiv.org/abs/1412.6980).
func (o Adam) WithDefaults() Adam {
	if o.Beta1 == 0 {
		o.Beta1 = 0.9
	}
	if o.Beta2 == 0 {
		o.Beta2 = 0.999
	}
	if o.Epsilon == 0 {
		o.Epsilon = 1e-8
	}
	return o
}

// Step updates w and the moments m and v in place; step counts from 1:
//
//	d = GradScale·g (+ WeightDecay·w unless Decoupled)
//	m = Beta1·m + (1−Beta1)·d
//	v = Beta2·v + (1−Beta2)·d²
//	w = w·(1 − LR·WeightDecay if Decoupled) − a·m / (√v·b + Epsilon)
//
// with a = LR/(1−Beta1^step) and b = 1/√(1−Beta2^step).
func (o Adam) Step(w, g, m, v []float32, step int) {
	_, _, _ = g[:len(w)], m[:len(w)], v[:len(w)]
	scale := o.GradScale
	if scale == 0 {
		scale = 1
	}
	var decay float32
	keep := float32(1)
	if o.Decoupled {
		keep = float32(1 - float64(o.LR)*float64(o.WeightDecay))
	} else {
		decay = o.WeightDecay
	}
	a := float32(float64(o.LR) / (1 - math.Pow(float64(o.Beta1), float64(step))))
	b := float32(1 / math.Sqrt(1-math.Pow(float64(o.Beta2), float64(step))))
	active.adam(w, g, m, v, o.Beta1, float32(1-float64(o.Beta1)), o.Beta2, float32(1-float64(o.Beta2)), o.Epsilon, scale, keep, decay, a, b)
}

// RMSProp are the settings of RMSProp for one step.
type RMSProp struct {
	LR          float32
	Alpha       float32 // smoothing; usually 0.99
	Epsilon     float32 // usually 1e-8
	WeightDecay float32
	Momentum    float32 // 0 needs no velocity
	GradScale   float32 // 0 means 1
}

// Step updates w, the square average s and the velocity v in place:
//
//	d = GradScale·g + WeightDecay·w
//	s = Alpha·s + (1−Alpha)·d²
//	u = d / (√s + Epsilon)
//	v = Momentum·v + u
//	w = w − LR·v
//
// With Momentum 0, v may be nil and w = w − LR·u.
func (o RMSProp) Step(w, g, s, v []float32) {
	_, _ = g[:len(w)], s[:len(w)]
	scale := o.GradScale
	if scale == 0 {
		scale = 1
	}
	rest := float32(1 - float64(o.Alpha))
	if o.Momentum == 0 {
		active.rmspropPlain(w, g, s, o.LR, o.Alpha, rest, o.Epsilon, o.WeightDecay, scale)
		return
	}
	_ = v[:len(w)]
	active.rmspropMomentum(w, g, s, v, o.LR, o.Alpha, rest, o.Epsilon, o.WeightDecay, scale, o.Momentum)
}

// AXPY sets y[i] += a·x[i].
func AXPY(y, x []float32, a float32) {
	_ = x[:len(y)]
	active.axpy(y, x, a)
}

// Lerp sets y[i] += t·(x[i]−y[i]), the update of a running average.
func Lerp(y, x []float32, t float32) {
	_ = x[:len(y)]
	active.lerp(y, x, t)
}

// ClipScale returns the factor that brings gradients of the given squared norm
// down to the largest norm allowed, 1 if they are below it: min(1, limit/norm).
// Sum the squares with package reduce, tensor by tensor in a fixed order.
func ClipScale(squaredNorm float64, limit float32) float32 {
	norm := math.Sqrt(squaredNorm)
	if norm <= float64(limit) || norm == 0 {
		return 1
	}
	return float32(float64(limit) / norm)
}

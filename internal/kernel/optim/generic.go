package optim

import "math"

// The plain Go variant: the definition of the kernels. Products are converted
// to float32 so that no compiler fuses them with a sum.

func sgdPlainGeneric(w, g []float32, lr, decay, scale float32) {
	g = g[:len(w)]
	for i, p := range w {
		d := float32(scale*g[i]) + float32(decay*p)
		w[i] = p - float32(lr*d)
	}
}

func sgdMomentumGeneric(w, g, v []float32, lr, decay, scale, momentum float32) {
	g, v = g[:len(w)], v[:len(w)]
	for i, p := range w {
		d := float32(scale*g[i]) + float32(decay*p)
		u := float32(momentum*v[i]) + d
		v[i] = u
		w[i] = p - float32(lr*u)
	}
}

func sgdNesterovGeneric(w, g, v []float32, lr, decay, scale, momentum float32) {
	g, v = g[:len(w)], v[:len(w)]
	for i, p := range w {
		d := float32(scale*g[i]) + float32(decay*p)
		u := float32(momentum*v[i]) + d
		v[i] = u
		w[i] = p - float32(lr*(d+float32(momentum*u)))
	}
}

func adamGeneric(w, g, m, v []float32, beta1, rest1, beta2, rest2, eps, scale, keep, decay, a, b float32) {
	g, m, v = g[:len(w)], m[:len(w)], v[:len(w)]
	for i, x := range w {
		d := float32(scale*g[i]) + float32(decay*x)
		mi := float32(beta1*m[i]) + float32(rest1*d)
		vi := float32(beta2*v[i]) + float32(rest2*float32(d*d))
		m[i], v[i] = mi, vi
		w[i] = float32(x*keep) - float32(a*mi)/(float32(sqrt32(vi)*b)+eps)
	}
}

func rmspropPlainGeneric(w, g, s []float32, lr, alpha, rest, eps, decay, scale float32) {
	g, s = g[:len(w)], s[:len(w)]
	for i, x := range w {
		d := float32(scale*g[i]) + float32(decay*x)
		si := float32(alpha*s[i]) + float32(rest*float32(d*d))
		s[i] = si
		w[i] = x - float32(lr*(d/(sqrt32(si)+eps)))
	}
}

func rmspropMomentumGeneric(w, g, s, v []float32, lr, alpha, rest, eps, decay, scale, momentum float32) {
	g, s, v = g[:len(w)], s[:len(w)], v[:len(w)]
	for i, x := range w {
		d := float32(scale*g[i]) + float32(decay*x)
		si := float32(alpha*s[i]) + float32(rest*float32(d*d))
		s[i] = si
		u := float32(momentum*v[i]) + d/(sqrt32(si)+eps)
		v[i] = u
		w[i] = x - float32(lr*u)
	}
}

func axpyGeneric(y, x []float32, a float32) {
	x = x[:len(y)]
	for i, v := range y {
		y[i] = v + float32(a*x[i])
	}
}

func lerpGeneric(y, x []float32, t float32) {
	x = x[:len(y)]
	for i, v := range y {
		y[i] = v + float32(t*(x[i]-v))
	}
}

func sqrt32(x float32) float32 { return float32(math.Sqrt(float64(x))) }

var generic = variant{
	name:            "generic",
	sgdPlain:        sgdPlainGeneric,
	sgdMomentum:     sgdMomentumGeneric,
	sgdNesterov:     sgdNesterovGeneric,
	adam:            adamGeneric,
	rmspropPlain:    rmspropPlainGeneric,
	rmspropMomentum: rmspropMomentumGeneric,
	axpy:            axpyGeneric,
	lerp:            lerpGeneric,
}

package conv

import (
	"errors"
	"fmt"
	"math"
)

// Geometry is the shape of a 2-D convolution. Zero strides, dilations and
// Groups mean 1. A 1-D convolution has H = KH = 1. Pads may differ on all
// sides; a negative pad crops.
type Geometry struct {
	N, H, W, IC, OC        int
	KH, KW                 int
	StrideH, StrideW       int
	PadT, PadL, PadB, PadR int
	DilationH, DilationW   int
	Groups                 int
}

// normal returns g with defaults filled in.
func (g Geometry) normal() Geometry {
	for _, v := range []*int{&g.StrideH, &g.StrideW, &g.DilationH, &g.DilationW, &g.Groups} {
		if *v == 0 {
			*v = 1
		}
	}
	return g
}

// OutH returns the rows of the output.
func (g Geometry) OutH() int {
	g = g.normal()
	return outSize(g.H, g.KH, g.StrideH, g.PadT+g.PadB, g.DilationH)
}

// OutW returns the columns of the output.
func (g Geometry) OutW() int {
	g = g.normal()
	return outSize(g.W, g.KW, g.StrideW, g.PadL+g.PadR, g.DilationW)
}

func outSize(in, k, stride, pad, dilation int) int {
	free := in + pad - (dilation*(k-1) + 1)
	if free < 0 {
		return 0
	}
	return free/stride + 1
}

// MACs returns the multiplications of one forward pass, padding included.
func (g Geometry) MACs() int {
	g = g.normal()
	return g.N * g.OutH() * g.OutW() * g.OC * g.KH * g.KW * (g.IC / g.Groups)
}

// WeightLen returns the number of weights, OC·(IC/Groups)·KH·KW.
func (g Geometry) WeightLen() int {
	g = g.normal()
	return g.OC * (g.IC / g.Groups) * g.KH * g.KW
}

// Validate reports everything that is wrong with g.
func (g Geometry) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	g = g.normal()
	for _, f := range []struct {
		name      string
		v, lowest int
	}{
		{"N", g.N, 0}, {"H", g.H, 1}, {"W", g.W, 1}, {"IC", g.IC, 1}, {"OC", g.OC, 1}, {"KH", g.KH, 1}, {"KW", g.KW, 1},
		{"StrideH", g.StrideH, 1}, {"StrideW", g.StrideW, 1}, {"DilationH", g.DilationH, 1}, {"DilationW", g.DilationW, 1}, {"Groups", g.Groups, 1},
	} {
		if f.v < f.lowest || f.v > math.MaxInt32 {
			bad("got %s %d, want %d to 2³¹-1", f.name, f.v, f.lowest)
		}
	}
	if len(errs) == 0 {
		if g.IC%g.Groups != 0 || g.OC%g.Groups != 0 {
			bad("got %d input and %d output channels, want multiples of %d groups", g.IC, g.OC, g.Groups)
		}
		if g.OutH() < 1 || g.OutW() < 1 {
			bad("a %dx%d kernel with dilations %d, %d does not fit into %dx%d with pads %d, %d, %d, %d",
				g.KH, g.KW, g.DilationH, g.DilationW, g.H, g.W, g.PadT, g.PadL, g.PadB, g.PadR)
		}
		const limit = math.MaxInt / 64
		size := func(dims ...int) {
			n := 1
			for _, d := range dims {
				if d > 0 && n > limit/d {
					bad("a tensor of size %v does not fit into memory", dims)
					return
				}
				n *= d
			}
		}
		size(g.N, g.H, g.W, g.IC)
		size(g.N, g.OutH(), g.OutW(), g.OC)
		size(g.OC+64*g.Groups, g.IC/g.Groups+64, g.KH, g.KW)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("conv: %w", err)
	}
	return nil
}

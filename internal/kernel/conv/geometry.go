package conv

import (
	"errors"
	"fmt"
	"math"
)

// Geometry is the shape of a convolution over height and width, and over depth
// where D is not zero. Zero strides, dilations and Groups mean 1, and so does a
// zero KD. A 1-D convolution has H = KH = 1. Pads may differ on all sides; a
// negative pad crops.
type Geometry struct {
	N, H, W, IC, OC        int
	KH, KW                 int
	StrideH, StrideW       int
	PadT, PadL, PadB, PadR int
	DilationH, DilationW   int
	Groups                 int

	D, KD, StrideD, DilationD int
	PadFront, PadBack         int
}

// normal returns g with defaults filled in.
func (g Geometry) normal() Geometry {
	for _, v := range []*int{&g.StrideH, &g.StrideW, &g.DilationH, &g.DilationW, &g.Groups, &g.D, &g.KD, &g.StrideD, &g.DilationD} {
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

// OutD returns the depth of the output, 1 without a depth.
func (g Geometry) OutD() int {
	g = g.normal()
	return outSize(g.D, g.KD, g.StrideD, g.PadFront+g.PadBack, g.DilationD)
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
	return g.N * g.OutD() * g.OutH() * g.OutW() * g.OC * g.taps() * (g.IC / g.Groups)
}

// taps returns the positions of the kernel.
func (g Geometry) taps() int { return g.KD * g.KH * g.KW }

// WeightLen returns the number of weights, OC·(IC/Groups)·KD·KH·KW.
func (g Geometry) WeightLen() int {
	g = g.normal()
	return g.OC * (g.IC / g.Groups) * g.taps()
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
		{"D", g.D, 1}, {"KD", g.KD, 1}, {"StrideD", g.StrideD, 1}, {"DilationD", g.DilationD, 1},
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
		if g.OutD() < 1 {
			bad("a kernel of depth %d with dilation %d does not fit into depth %d with pads %d, %d", g.KD, g.DilationD, g.D, g.PadFront, g.PadBack)
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
		size(g.N, g.D, g.H, g.W, g.IC)
		size(g.N, g.OutD(), g.OutH(), g.OutW(), g.OC)
		size(g.OC+64*g.Groups, g.IC/g.Groups+64, g.KD, g.KH, g.KW)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("conv: %w", err)
	}
	return nil
}

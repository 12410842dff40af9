//go:build amd64 && !noasm

package optim

import "github.com/go-nncf/nncf/internal/cpu"

//go:generate go run -C ../_gen ./optim -level avx2 -out ../optim/avx2_amd64.s -stubs ../optim/avx2_stubs_amd64.go -pkg optim
//go:generate go run -C ../_gen ./optim -level avx512 -out ../optim/avx512_amd64.s -stubs ../optim/avx512_stubs_amd64.go -pkg optim

// variants returns the table, fastest first.
func variants() []*variant { return []*variant{&avx512, &avx2, &generic} }

var avx512 = variant{
	name: "avx512",
	need: cpu.FeaturesAVX512,

	sgdPlain:        sgdPlainAVX512,
	sgdMomentum:     sgdMomentumAVX512,
	sgdNesterov:     sgdNesterovAVX512,
	adam:            adamAVX512,
	rmspropPlain:    rmspropPlainAVX512,
	rmspropMomentum: rmspropMomentumAVX512,
	axpy:            axpyAVX512,
	lerp:            lerpAVX512,
}

var avx2 = variant{
	name: "avx2",
	need: cpu.FeaturesAVX2,

	sgdPlain:        sgdPlainAVX2,
	sgdMomentum:     sgdMomentumAVX2,
	sgdNesterov:     sgdNesterovAVX2,
	adam:            adamAVX2,
	rmspropPlain:    rmspropPlainAVX2,
	rmspropMomentum: rmspropMomentumAVX2,
	axpy:            axpyAVX2,
	lerp:            lerpAVX2,
}

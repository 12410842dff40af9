//go:build amd64 && !noasm

package quant

import "github.com/go-nncf/nncf/internal/cpu"

//go:generate go run -C ../_gen ./quant -level avx2 -out ../quant/avx2_amd64.s -stubs ../quant/avx2_stubs_amd64.go -pkg quant
//go:generate go run -C ../_gen ./quant -level avx512 -out ../quant/avx512_amd64.s -stubs ../quant/avx512_stubs_amd64.go -pkg quant

// variants returns the table, fastest first.
func variants() []*variant { return []*variant{&avx512, &avx2, &generic} }

var avx512 = variant{
	name: "avx512",
	need: cpu.FeaturesAVX512,

	forward:     forwardAVX512,
	backward:    backwardAVX512,
	forwardRow:  forwardRowAVX512,
	backwardRow: backwardRowAVX512,
}

var avx2 = variant{
	name: "avx2",
	need: cpu.FeaturesAVX2,

	forward:     forwardAVX2,
	backward:    backwardAVX2,
	forwardRow:  forwardRowAVX2,
	backwardRow: backwardRowAVX2,
}

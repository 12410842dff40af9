//go:build amd64 && !noasm

package binary

import "github.com/go-nncf/nncf/internal/cpu"

//go:generate go run -C ../_gen ./binary -level avx2 -out ../binary/avx2_amd64.s -stubs ../binary/avx2_stubs_amd64.go -pkg binary
//go:generate go run -C ../_gen ./binary -level avx512 -out ../binary/avx512_amd64.s -stubs ../binary/avx512_stubs_amd64.go -pkg binary

// variants returns the table, fastest first. AVX-512 without population counts
// counts as AVX2 does.
func variants() []*variant { return []*variant{&popcount, &avx512, &avx2, &generic} }

var popcount = variant{
	name: "avx512-vpopcntdq",
	need: cpu.FeaturesAVX512 | cpu.AVX512VPOPCNTDQ,

	lanes: 32,

	above:    aboveAVX512,
	signs:    signsAVX512,
	backward: backwardAVX512,
	pack:     packAVX512,
	expand:   expandGeneric,
	count:    countAVX512,
	finish:   finishAVX512,
}

var avx512 = variant{
	name: "avx512",
	need: cpu.FeaturesAVX512,

	nibbles: true,
	lanes:   64,

	above:    aboveAVX512,
	signs:    signsAVX512,
	backward: backwardAVX512,
	pack:     packAVX512,
	expand:   expandAVX2,
	count:    countAVX2,
	finish:   finishAVX512,
}

var avx2 = variant{
	name: "avx2",
	need: cpu.FeaturesAVX2,

	nibbles: true,
	lanes:   64,

	above:    aboveAVX2,
	signs:    signsAVX2,
	backward: backwardAVX2,
	pack:     packAVX2,
	expand:   expandAVX2,
	count:    countAVX2,
	finish:   finishAVX2,
}

//go:build amd64 && !noasm

package reduce

import "github.com/go-nncf/nncf/internal/cpu"

//go:generate go run -C ../_gen ./reduce -level avx2 -out ../reduce/avx2_amd64.s -stubs ../reduce/avx2_stubs_amd64.go -pkg reduce
//go:generate go run -C ../_gen ./reduce -level avx512 -out ../reduce/avx512_amd64.s -stubs ../reduce/avx512_stubs_amd64.go -pkg reduce

// variants returns the table, fastest first.
func variants() []*variant { return []*variant{&avx512, &avx2, &generic} }

var avx512 = variant{
	name: "avx512",
	need: cpu.FeaturesAVX512,

	sum:             sumAVX512,
	sumAbs:          sumAbsAVX512,
	sumSquares:      sumSquaresAVX512,
	sumSquaresAbout: sumSquaresAboutAVX512,
	dot:             dotAVX512,
	dotAbout:        dotAboutAVX512,
	max:             maxAVX512,
	min:             minAVX512,
	maxAbs:          maxAbsAVX512,
	sumChannels:     sumChannelsAVX512,
	dotChannels:     dotChannelsAVX512,
	slopeChannels:   slopeChannelsAVX512,
	maxChannels:     maxChannelsAVX512,
	minMaxChannels:  minMaxChannelsAVX512,
}

var avx2 = variant{
	name: "avx2",
	need: cpu.FeaturesAVX2,

	sum:             sumAVX2,
	sumAbs:          sumAbsAVX2,
	sumSquares:      sumSquaresAVX2,
	sumSquaresAbout: sumSquaresAboutAVX2,
	dot:             dotAVX2,
	dotAbout:        dotAboutAVX2,
	max:             maxAVX2,
	min:             minAVX2,
	maxAbs:          maxAbsAVX2,
	sumChannels:     sumChannelsAVX2,
	dotChannels:     dotChannelsAVX2,
	slopeChannels:   slopeChannelsAVX2,
	maxChannels:     maxChannelsAVX2,
	minMaxChannels:  minMaxChannelsAVX2,
}

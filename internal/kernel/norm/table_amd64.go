//go:build amd64 && !noasm

package norm

import "github.com/go-nncf/nncf/internal/cpu"

//go:generate go run -C ../_gen ./norm -level avx2 -out ../norm/avx2_amd64.s -stubs ../norm/avx2_stubs_amd64.go -pkg norm
//go:generate go run -C ../_gen ./norm -level avx512 -out ../norm/avx512_amd64.s -stubs ../norm/avx512_stubs_amd64.go -pkg norm

// variants returns the table, fastest first.
func variants() []*variant { return []*variant{&avx512, &avx2, &generic} }

var avx512 = variant{
	name: "avx512",
	need: cpu.FeaturesAVX512,

	stats:          statsAVX512,
	apply:          applyAVX512,
	applyAdd:       applyAddAVX512,
	applyTwo:       applyTwoAVX512,
	applyQ:         applyQAVX512,
	applyAddQ:      applyAddQAVX512,
	applyTwoQ:      applyTwoQAVX512,
	gradStats:      gradStatsAVX512,
	gradStatsQ:     gradStatsQAVX512,
	gradStatsJoin:  gradStatsJoinAVX512,
	gradStatsJoinQ: gradStatsJoinQAVX512,
	gradApplyPlain: gradApplyPlainAVX512,
	gradApply:      gradApplyAVX512,
	gradApplyQ:     gradApplyQAVX512,
	layerApply:     layerApplyAVX512,
	layerAcc:       layerAccAVX512,
	layerGrad:      layerGradAVX512,
	mulSub:         mulSubAVX512,
}

var avx2 = variant{
	name: "avx2",
	need: cpu.FeaturesAVX2,

	stats:          statsAVX2,
	apply:          applyAVX2,
	applyAdd:       applyAddAVX2,
	applyTwo:       applyTwoAVX2,
	applyQ:         applyQAVX2,
	applyAddQ:      applyAddQAVX2,
	applyTwoQ:      applyTwoQAVX2,
	gradStats:      gradStatsAVX2,
	gradStatsQ:     gradStatsQAVX2,
	gradStatsJoin:  gradStatsJoinAVX2,
	gradStatsJoinQ: gradStatsJoinQAVX2,
	gradApplyPlain: gradApplyPlainAVX2,
	gradApply:      gradApplyAVX2,
	gradApplyQ:     gradApplyQAVX2,
	layerApply:     layerApplyAVX2,
	layerAcc:       layerAccAVX2,
	layerGrad:      layerGradAVX2,
	mulSub:         mulSubAVX2,
}

//go:build amd64 && !noasm

package elementwise

import "github.com/go-nncf/nncf/internal/cpu"

//go:generate go run -C ../_gen ./elementwise -level avx2 -out ../elementwise/avx2_amd64.s -stubs ../elementwise/avx2_stubs_amd64.go -pkg elementwise
//go:generate go run -C ../_gen ./elementwise -level avx512 -out ../elementwise/avx512_amd64.s -stubs ../elementwise/avx512_stubs_amd64.go -pkg elementwise

// variants returns the table, fastest first. What a row does not set, it has
// from the next.
func variants() []*variant { return []*variant{avx512(), avx2(), &generic} }

func avx512() *variant {
	v := *avx2()
	v.name, v.need = "avx512", cpu.FeaturesAVX512
	v.unary[Abs] = absAVX512
	v.unary[Neg] = negAVX512
	v.unary[Sqrt] = sqrtAVX512
	v.unary[Square] = squareAVX512
	v.unary[Reciprocal] = reciprocalAVX512
	v.unary[Relu] = reluAVX512
	v.unary[HardSwish] = hardSwishAVX512
	v.unary[Exp] = expAVX512
	v.unary[Log] = logAVX512
	v.unary[Sigmoid] = sigmoidAVX512
	v.unary[Tanh] = tanhAVX512
	v.unary[Erf] = erfAVX512
	v.unary[Gelu] = geluAVX512
	v.unary[GeluTanh] = geluTanhAVX512
	v.unary[Silu] = siluAVX512
	v.unary[Softplus] = softplusAVX512
	v.unary1[LeakyRelu] = leakyReluAVX512
	v.unary1[Elu] = eluAVX512
	v.unary1[ExpMinus] = expMinusAVX512
	v.unary2[Clip] = clipAVX512
	v.unary2[HardSigmoid] = hardSigmoidAVX512
	v.unary2[ScaleShift] = scaleShiftAVX512

	v.binary[Add], v.scalar[Add], v.channels[Add] = addAVX512, addScalarAVX512, addChannelsAVX512
	v.scalarLeft[Add], v.channelsLeft[Add] = addScalarAVX512, addChannelsAVX512
	v.binary[Sub], v.scalar[Sub], v.channels[Sub] = subAVX512, subScalarAVX512, subChannelsAVX512
	v.scalarLeft[Sub], v.channelsLeft[Sub] = subScalarLeftAVX512, subChannelsLeftAVX512
	v.binary[Mul], v.scalar[Mul], v.channels[Mul] = mulAVX512, mulScalarAVX512, mulChannelsAVX512
	v.scalarLeft[Mul], v.channelsLeft[Mul] = mulScalarAVX512, mulChannelsAVX512
	v.binary[Div], v.scalar[Div], v.channels[Div] = divAVX512, divScalarAVX512, divChannelsAVX512
	v.scalarLeft[Div], v.channelsLeft[Div] = divScalarLeftAVX512, divChannelsLeftAVX512
	v.binary[Min], v.scalar[Min], v.channels[Min] = minAVX512, minScalarAVX512, minChannelsAVX512
	v.scalarLeft[Min], v.channelsLeft[Min] = minScalarLeftAVX512, minChannelsLeftAVX512
	v.binary[Max], v.scalar[Max], v.channels[Max] = maxAVX512, maxScalarAVX512, maxChannelsAVX512
	v.scalarLeft[Max], v.channelsLeft[Max] = maxScalarLeftAVX512, maxChannelsLeftAVX512
	v.addRelu = addReluAVX512

	v.grad[AbsGrad] = absGradAVX512
	v.grad[SqrtGrad] = sqrtGradAVX512
	v.grad[SquareGrad] = squareGradAVX512
	v.grad[ReciprocalGrad] = reciprocalGradAVX512
	v.grad[SigmoidGrad] = sigmoidGradAVX512
	v.grad[TanhGrad] = tanhGradAVX512
	v.grad[ReluGrad] = reluGradAVX512
	v.grad[HardSwishGrad] = hardSwishGradAVX512
	v.grad[ErfGrad] = erfGradAVX512
	v.grad[GeluGrad] = geluGradAVX512
	v.grad[GeluTanhGrad] = geluTanhGradAVX512
	v.grad[SiluGrad] = siluGradAVX512
	v.grad[SoftplusGrad] = softplusGradAVX512
	v.grad1[LeakyReluGrad] = leakyReluGradAVX512
	v.grad1[EluGrad] = eluGradAVX512
	v.grad2[ClipGrad] = clipGradAVX512
	v.grad2[HardSigmoidGrad] = hardSigmoidGradAVX512

	v.scaleShift, v.prelu, v.preluGrad = scaleShiftChannelsAVX512, preluAVX512, preluGradAVX512
	return &v
}

func avx2() *variant {
	v := generic
	v.name, v.need = "avx2", cpu.FeaturesAVX2
	v.unary[Abs] = absAVX2
	v.unary[Neg] = negAVX2
	v.unary[Sqrt] = sqrtAVX2
	v.unary[Square] = squareAVX2
	v.unary[Reciprocal] = reciprocalAVX2
	v.unary[Relu] = reluAVX2
	v.unary[HardSwish] = hardSwishAVX2
	v.unary[Exp] = expAVX2
	v.unary[Log] = logAVX2
	v.unary[Sigmoid] = sigmoidAVX2
	v.unary[Tanh] = tanhAVX2
	v.unary[Erf] = erfAVX2
	v.unary[Gelu] = geluAVX2
	v.unary[GeluTanh] = geluTanhAVX2
	v.unary[Silu] = siluAVX2
	v.unary[Softplus] = softplusAVX2
	v.unary1[LeakyRelu] = leakyReluAVX2
	v.unary1[Elu] = eluAVX2
	v.unary1[ExpMinus] = expMinusAVX2
	v.unary2[Clip] = clipAVX2
	v.unary2[HardSigmoid] = hardSigmoidAVX2
	v.unary2[ScaleShift] = scaleShiftAVX2

	v.binary[Add], v.scalar[Add], v.channels[Add] = addAVX2, addScalarAVX2, addChannelsAVX2
	v.scalarLeft[Add], v.channelsLeft[Add] = addScalarAVX2, addChannelsAVX2
	v.binary[Sub], v.scalar[Sub], v.channels[Sub] = subAVX2, subScalarAVX2, subChannelsAVX2
	v.scalarLeft[Sub], v.channelsLeft[Sub] = subScalarLeftAVX2, subChannelsLeftAVX2
	v.binary[Mul], v.scalar[Mul], v.channels[Mul] = mulAVX2, mulScalarAVX2, mulChannelsAVX2
	v.scalarLeft[Mul], v.channelsLeft[Mul] = mulScalarAVX2, mulChannelsAVX2
	v.binary[Div], v.scalar[Div], v.channels[Div] = divAVX2, divScalarAVX2, divChannelsAVX2
	v.scalarLeft[Div], v.channelsLeft[Div] = divScalarLeftAVX2, divChannelsLeftAVX2
	v.binary[Min], v.scalar[Min], v.channels[Min] = minAVX2, minScalarAVX2, minChannelsAVX2
	v.scalarLeft[Min], v.channelsLeft[Min] = minScalarLeftAVX2, minChannelsLeftAVX2
	v.binary[Max], v.scalar[Max], v.channels[Max] = maxAVX2, maxScalarAVX2, maxChannelsAVX2
	v.scalarLeft[Max], v.channelsLeft[Max] = maxScalarLeftAVX2, maxChannelsLeftAVX2
	v.addRelu = addReluAVX2

	v.grad[AbsGrad] = absGradAVX2
	v.grad[SqrtGrad] = sqrtGradAVX2
	v.grad[SquareGrad] = squareGradAVX2
	v.grad[ReciprocalGrad] = reciprocalGradAVX2
	v.grad[SigmoidGrad] = sigmoidGradAVX2
	v.grad[TanhGrad] = tanhGradAVX2
	v.grad[ReluGrad] = reluGradAVX2
	v.grad[HardSwishGrad] = hardSwishGradAVX2
	v.grad[ErfGrad] = erfGradAVX2
	v.grad[GeluGrad] = geluGradAVX2
	v.grad[GeluTanhGrad] = geluTanhGradAVX2
	v.grad[SiluGrad] = siluGradAVX2
	v.grad[SoftplusGrad] = softplusGradAVX2
	v.grad1[LeakyReluGrad] = leakyReluGradAVX2
	v.grad1[EluGrad] = eluGradAVX2
	v.grad2[ClipGrad] = clipGradAVX2
	v.grad2[HardSigmoidGrad] = hardSigmoidGradAVX2

	v.scaleShift, v.prelu, v.preluGrad = scaleShiftChannelsAVX2, preluAVX2, preluGradAVX2
	return &v
}

package data

import "math/rand/v2"

// The second seed word of each purpose, so that no two share random numbers.
const (
	streamOrder   = 0x6f72646572 // "order"
	streamSample  = 0x73616d706c65
	streamHoldout = 0x686f6c64
)

// golden is 2⁶⁴ divided by the golden ratio, made odd: the increment of
// SplitMix64 (Steele, Lea, Flood 2014).
const golden = 0x9e3779b97f4a7c15

// mix is the finaliser of SplitMix64: a bijection that spreads every bit.
func mix(x uint64) uint64 {
	x += golden
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// epochSeed is the first seed word of everything random in one epoch.
func epochSeed(seed uint64, epoch int) uint64 { return mix(mix(seed) + uint64(epoch)) }

// seedExample sets p for the transforms of one example in one epoch.
func seedExample(p *rand.PCG, seed uint64, epoch, index int) {
	e := epochSeed(seed, epoch)
	p.Seed(e, mix(e^mix(uint64(index))))
}

// permutation returns 0..n-1 in random order, in buf if that is large enough.
func permutation(buf []int, n int, r *rand.Rand) []int {
	buf = sized(buf, n)
	for i := range buf {
		buf[i] = i
	}
	r.Shuffle(n, func(i, j int) { buf[i], buf[j] = buf[j], buf[i] })
	return buf
}

// Package cpu says which instruction sets the kernels may use.
//
// It answers two questions: does this processor have a feature ([Has]), and
// how far may dispatch go ([Best]). Kernel tables ask for the features they
// need one by one; a level is only the coarse order in which tables are tried.
//
// Features are detected one by one, since machines differ: one with AVX-512 has
// half-precision arithmetic and slow BF16 dot products, another has no half
// precision and fast BF16.
//
// The environment variable NNCF_CPU (generic, avx2 or avx512), read once, caps
// the level, and so does [Cap] while a program runs: they can lower what was
// detected, never raise it. [Assume] lets plans be made, not run, for a machine
// that has more. Builds with the tag noasm, and machines other than
// amd64, have no feature at all.
package cpu

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
)

// Feature is a set of processor features.
type Feature uint32

// The features kernels ask for. A feature is set only if the operating system
// also saves the registers it needs.
const (
	AVX2 Feature = 1 << iota
	FMA
	AVX512F
	AVX512DQ
	AVX512BW
	AVX512VL
	AVX512VNNI
	AVX512VPOPCNTDQ
	AVX512BF16
	AVX512FP16
	AVXVNNI
)

// What a kernel of the level needs to run.
const (
	FeaturesAVX2   = AVX2 | FMA
	FeaturesAVX512 = FeaturesAVX2 | AVX512F | AVX512DQ | AVX512BW | AVX512VL
)

var featureName = [...]string{"avx2", "fma", "avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512vnni", "avx512vpopcntdq", "avx512bf16", "avx512fp16", "avxvnni"}

// String lists the features in a fixed order, joined by "+"; the empty set is "none".
func (f Feature) String() string {
	var name []string
	for i, n := range featureName {
		if f&(1<<i) != 0 {
			name = append(name, n)
		}
	}
	if name == nil {
		return "none"
	}
	return strings.Join(name, "+")
}

// Level is a coarse class of machine; higher levels include lower ones.
type Level int

// The levels, lowest first.
const (
	Generic   Level = iota // plain Go
	LevelAVX2              // 256-bit vectors with fused multiply-add
	LevelAVX512
)

// String returns the name NNCF_CPU knows the level by.
func (l Level) String() string {
	switch l {
	case Generic:
		return "generic"
	case LevelAVX2:
		return "avx2"
	case LevelAVX512:
		return "avx512"
	}
	return fmt.Sprintf("Level(%d)", int(l))
}

// ParseLevel is the inverse of [Level.String].
func ParseLevel(s string) (Level, error) {
	for l := Generic; l <= LevelAVX512; l++ {
		if s == l.String() {
			return l, nil
		}
	}
	return Generic, fmt.Errorf("cpu: got level %q, want generic, avx2 or avx512", s)
}

// Features returns what a level needs.
func (l Level) Features() Feature {
	switch l {
	case LevelAVX2:
		return FeaturesAVX2
	case LevelAVX512:
		return FeaturesAVX512
	}
	return 0
}

var (
	usable    = limit(detect(), os.Getenv("NNCF_CPU"))
	hidden    atomic.Uint32 // by Hide
	capped    atomic.Uint32 // by Cap
	assumed   atomic.Uint32 // by Assume
	errEnvCPU = checkEnv(os.Getenv("NNCF_CPU"))
)

// limit removes the features above the level named s. An unknown or empty
// name removes nothing.
func limit(f Feature, s string) Feature {
	l, err := ParseLevel(s)
	if err != nil {
		return f
	}
	switch l {
	case Generic:
		return 0
	case LevelAVX2:
		return f & FeaturesAVX2
	}
	return f
}

func checkEnv(s string) error {
	if s == "" {
		return nil
	}
	l, err := ParseLevel(s)
	if err != nil {
		return fmt.Errorf("NNCF_CPU: %w", err)
	}
	if need := l.Features(); usable&need != need {
		return fmt.Errorf("NNCF_CPU=%s: this machine lacks %v", s, need&^usable)
	}
	return nil
}

// EnvError reports why NNCF_CPU was not obeyed, or nil. Programs that print
// their settings show it; nothing else depends on it.
func EnvError() error { return errEnvCPU }

// Available returns the features kernels may use now.
func Available() Feature { return usable &^ Feature(hidden.Load()|capped.Load()) }

// Has reports whether all features of f may be used.
func Has(f Feature) bool { return Available()&f == f }

// Best returns the highest level whose features may all be used.
func Best() Level {
	for l := LevelAVX512; l > Generic; l-- {
		if Has(l.Features()) {
			return l
		}
	}
	return Generic
}

// followers are called when Available changes. They are registered while
// packages are initialized, and not later.
var followers []func()

// Follow sets *active to what choose returns whenever the features that may be
// used change. It is for initializers of package variables, with which families
// of kernels hold the variant in use; its result has no meaning.
func Follow[T any](active **T, choose func() *T) struct{} {
	followers = append(followers, func() { *active = choose() })
	return struct{}{}
}

func changed() {
	for _, choose := range followers {
		choose()
	}
}

// Cap lets kernels use at most level l from now on; [LevelAVX512] allows all
// that the machine has. Programs compiled before keep what they chose in part,
// so it is for the start of a process, and for tests that do not run in
// parallel with others that compute.
func Cap(l Level) error {
	if need := l.Features(); (usable&^Feature(hidden.Load()))&need != need {
		return fmt.Errorf("cpu %s: this machine lacks %v", l, need&^usable)
	}
	capped.Store(uint32(usable &^ limit(usable, l.String())))
	changed()
	return nil
}

// Uncap takes back what [Cap] did.
func Uncap() {
	if capped.Swap(0) != 0 {
		changed()
	}
}

// Assume lets plans, and nothing that runs, count on level l until restore is
// called, on a machine that may lack it.
func Assume(l Level) (restore func()) {
	old := assumed.Swap(uint32(l.Features()))
	return func() { assumed.Store(old) }
}

// Plannable reports whether plans may count on all features of f.
func Plannable(f Feature) bool { return (Available()|Feature(assumed.Load()))&f == f }

// Planned returns the highest level that plans may count on. Kernels of a level
// above [Best] must not run.
func Planned() Level {
	for l := LevelAVX512; l > Generic; l-- {
		if Plannable(l.Features()) {
			return l
		}
	}
	return Generic
}

// Hide makes the features in f unavailable until restore is called. It is for
// tests, which must not run in parallel with others that dispatch.
func Hide(f Feature) (restore func()) {
	old := hidden.Load()
	hidden.Store(old | uint32(f))
	changed()
	return func() {
		hidden.Store(old)
		changed()
	}
}

//go:build amd64 && !noasm

package depthwise

var sets = []*Set{avx512Set, avx2Set, genericSet}

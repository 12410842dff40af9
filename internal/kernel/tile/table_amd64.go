//go:build amd64 && !noasm

package tile

var sets = []*Set{avx512Set, avx2Set, genericSet}

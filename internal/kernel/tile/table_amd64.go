//go:build amd64 && !noasm

package tile

var sets = []*Set{genericSet}

//go:build amd64 && !noasm

package depthwise

var sets = []*Set{genericSet}

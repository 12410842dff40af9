//go:build !linux

package tiletest

import "time"

var start = time.Now()

func now() time.Duration { return time.Since(start) }

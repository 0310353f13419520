//go:build unix

package main

import (
	"os"
	"runtime"
	"syscall"
)

// peakMemory returns a finished process's largest resident set in bytes.
func peakMemory(state *os.ProcessState) int64 {
	usage, ok := state.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	if runtime.GOOS == "darwin" {
		return usage.Maxrss // bytes there, kibibytes elsewhere
	}
	return usage.Maxrss << 10
}

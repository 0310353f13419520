// Package host answers one question of every report: on what machine was this
// measured? It is for the tools under bench, and in no binary of the product.
package host

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// Describe returns the processor, the number of cores and the Go version, in one line.
func Describe() string {
	return fmt.Sprintf("%s, %d cores, %s %s/%s", processor(), runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(info)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(name), ":"))
		}
	}
	return runtime.GOARCH
}

//go:build !amd64 || purego

package kernel

// Best is Portable: there is no assembly for this machine, or the tag purego
// leaves it out.
func Best() Level { return Portable }

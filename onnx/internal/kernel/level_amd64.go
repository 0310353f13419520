//go:build !purego

package kernel

import "golang.org/x/sys/cpu"

// Best is the best level that this machine has. A build with the tag purego has
// Portable only.
func Best() Level {
	x := cpu.X86
	switch {
	case !x.HasAVX2 || !x.HasFMA || !x.HasF16C:
		return Portable
	case !x.HasAVX512F || !x.HasAVX512BW || !x.HasAVX512DQ || !x.HasAVX512VL || !x.HasBMI2:
		return AVX2
	case !x.HasAVX512VNNI:
		return AVX512
	}
	return VNNI
}

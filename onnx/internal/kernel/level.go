package kernel

import "fmt"

// Level is a set of instructions. Each includes those before it; the zero value
// is portable Go, which every machine runs.
type Level uint8

// The levels that kernels are written for.
const (
	Portable Level = iota
	AVX2           // AVX2, FMA and F16C
	AVX512         // and AVX-512 F, BW, DQ, VL and BMI2
	VNNI           // and AVX-512 VNNI: dot products of 8-bit integers
)

func (l Level) String() string {
	switch l {
	case Portable:
		return "portable"
	case AVX2:
		return "avx2"
	case AVX512:
		return "avx512"
	case VNNI:
		return "avx512-vnni"
	}
	return fmt.Sprintf("level %d", uint8(l))
}

// Levels lists the levels that this machine and this build have, the best last.
func Levels() []Level {
	var all []Level
	for l := Portable; l <= Best(); l++ {
		all = append(all, l)
	}
	return all
}

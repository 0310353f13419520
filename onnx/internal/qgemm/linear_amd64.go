//go:build amd64 && !purego

package qgemm

import "github.com/blindbox/blindbox/onnx/internal/kernel"

//go:noescape
func narrowU8AVX2(dst []uint8, src []float32, scale, low, high float32, zero int32)

//go:noescape
func narrowU8AVX512(dst []uint8, src []float32, scale, low, high float32, zero int32)

//go:noescape
func narrowS8AVX2(dst []int8, src []float32, scale, low, high float32, zero int32)

//go:noescape
func narrowS8AVX512(dst []int8, src []float32, scale, low, high float32, zero int32)

// narrowVectors quantizes the beginning and says how far it came.
func narrowVectors[T Byte](level kernel.Level, dst []T, src []float32, scale float32, l *limits) (done int) {
	done = len(src) &^ (lanes - 1)
	if level == kernel.Portable || done == 0 {
		return 0
	}
	src = src[:done]
	switch d := any(dst).(type) {
	case []uint8:
		if level == kernel.AVX2 {
			narrowU8AVX2(d, src, scale, l.low, l.high, l.zero)
		} else {
			narrowU8AVX512(d, src, scale, l.low, l.high, l.zero)
		}
	case []int8:
		if level == kernel.AVX2 {
			narrowS8AVX2(d, src, scale, l.low, l.high, l.zero)
		} else {
			narrowS8AVX512(d, src, scale, l.low, l.high, l.zero)
		}
	}
	return done
}

//go:noescape
func widenU8AVX2(dst []float32, src []uint8, scale float32, zero int32)

//go:noescape
func widenU8AVX512(dst []float32, src []uint8, scale float32, zero int32)

//go:noescape
func widenS8AVX2(dst []float32, src []int8, scale float32, zero int32)

//go:noescape
func widenS8AVX512(dst []float32, src []int8, scale float32, zero int32)

// widenVectors gives the beginning back and says how far it came.
func widenVectors[T Byte](level kernel.Level, dst []float32, src []T, scale float32, zero int32) (done int) {
	done = len(src) &^ (lanes - 1)
	if level == kernel.Portable || done == 0 {
		return 0
	}
	switch s := any(src[:done]).(type) {
	case []uint8:
		if level == kernel.AVX2 {
			widenU8AVX2(dst, s, scale, zero)
		} else {
			widenU8AVX512(dst, s, scale, zero)
		}
	case []int8:
		if level == kernel.AVX2 {
			widenS8AVX2(dst, s, scale, zero)
		} else {
			widenS8AVX512(dst, s, scale, zero)
		}
	}
	return done
}

//go:noescape
func extremesAVX2(dst, src []float32)

//go:noescape
func extremesAVX512(dst, src []float32)

// extremeVectors finds the extremes of the beginning, lane by lane, and says how far it
// came.
func extremeVectors(level kernel.Level, lane, src []float32) (done int) {
	done = len(src) &^ (lanes - 1)
	switch {
	case level == kernel.Portable || done == 0:
		return 0
	case level == kernel.AVX2:
		extremesAVX2(lane, src[:done])
	default:
		extremesAVX512(lane, src[:done])
	}
	return done
}

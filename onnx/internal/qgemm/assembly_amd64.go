//go:build amd64 && !purego

package qgemm

import "github.com/blindbox/blindbox/onnx/internal/kernel"

//go:generate go run ./gen -out assembly_amd64.s

//go:noescape
func tileAVX2Wide(t *tile)

//go:noescape
func tileAVX512Wide(t *tile)

//go:noescape
func tileAVX512Narrow(t *tile)

//go:noescape
func tileVNNIWide(t *tile)

//go:noescape
func tileVNNINarrow(t *tile)

// run computes the tile. Every slice must hold what rows, columns, quads and the
// distances say: Mul has checked that.
func (t *tile) run(level kernel.Level) {
	narrow := t.columns == panel
	switch {
	case level == kernel.Portable:
		t.portable()
	case level == kernel.AVX2:
		tileAVX2Wide(t)
	case level == kernel.AVX512 && narrow:
		tileAVX512Narrow(t)
	case level == kernel.AVX512:
		tileAVX512Wide(t)
	case narrow:
		tileVNNINarrow(t)
	default:
		tileVNNIWide(t)
	}
}

//go:noescape
func copyRowU8(dst, src []uint8) int64

//go:noescape
func copyRowS8(dst []uint8, src []int8) int64

// copyRow packs the beginning of a row, says how far it came, and returns the sum.
func copyRow[T Byte](level kernel.Level, dst []uint8, src []T, _ uint8) (done int, sum int32) {
	done = len(src) &^ 31
	if level == kernel.Portable || done == 0 {
		return 0, 0
	}
	_ = dst[done-1]
	switch s := any(src[:done]).(type) {
	case []uint8:
		return done, int32(copyRowU8(dst, s))
	case []int8:
		return done, int32(copyRowS8(dst, s))
	}
	return 0, 0
}

//go:noescape
func interleaveU8(dst, src []uint8, row, quads int, sums []int32)

//go:noescape
func interleaveS8(dst []uint8, src []int8, row, quads int, sums []int32)

// interleave packs whole quads of a whole panel and says how many.
func interleave[T Byte](level kernel.Level, dst []uint8, src []T, row, quads int, sums []int32, _ uint8) (done int) {
	if level == kernel.Portable {
		return 0
	}
	_, _, _ = dst[quads*quad*panel-1], src[(quads*quad-1)*row+panel-1], sums[panel-1]
	switch s := any(src).(type) {
	case []uint8:
		interleaveU8(dst, s, row, quads, sums)
	case []int8:
		interleaveS8(dst, s, row, quads, sums)
	}
	return quads
}

// interleaveSigned does the same with bytes that are signed already.
func interleaveSigned(level kernel.Level, dst, src []uint8, row, quads int, sums []int32) (done int) {
	if level == kernel.Portable {
		return 0
	}
	_, _, _ = dst[quads*quad*panel-1], src[(quads*quad-1)*row+panel-1], sums[panel-1]
	interleaveAsIs(dst, src, row, quads, sums)
	return quads
}

//go:noescape
func interleaveAsIs(dst, src []uint8, row, quads int, sums []int32)

//go:noescape
func scaleAVX2(dst []float32, sums []int32, scale, bias []float32, scaleStep, biasStep int)

//go:noescape
func scaleAVX512(dst []float32, sums []int32, scale, bias []float32, scaleStep, biasStep int)

// lanes is how many numbers an epilogue in assembly takes at a time.
const lanes = 16

// vectors makes per-line numbers readable as vectors: one number becomes as many as
// fit into one, which is read again and again.
func vectors[T any](v []T, none T, same *[lanes]T) (from []T, step int) {
	if len(v) > 1 {
		return v, lanes
	}
	if len(v) == 1 {
		none = v[0]
	}
	for i := range same {
		same[i] = none
	}
	return same[:], 0
}

// scaleVectors does the beginning of a row and says how far it came. No scale is
// multiplication by 1 and no bias the addition of -0: both leave every bit.
func scaleVectors(level kernel.Level, dst []float32, sums []int32, scale, bias []float32) (done int) {
	done = len(sums) &^ (lanes - 1)
	if level == kernel.Portable || done == 0 {
		return 0
	}
	var sameScale, sameBias [lanes]float32
	s, scaleStep := vectors(scale, 1, &sameScale)
	b, biasStep := vectors(bias, negativeZero(), &sameBias)
	if level == kernel.AVX2 {
		scaleAVX2(dst, sums[:done], s, b, scaleStep, biasStep)
	} else {
		scaleAVX512(dst, sums[:done], s, b, scaleStep, biasStep)
	}
	return done
}

//go:noescape
func quantizeU8AVX2(dst []uint8, sums []int32, scale []float32, bias []int32, scaleStep, biasStep int, low, high float32, zero int32)

//go:noescape
func quantizeU8AVX512(dst []uint8, sums []int32, scale []float32, bias []int32, scaleStep, biasStep int, low, high float32, zero int32)

//go:noescape
func quantizeS8AVX2(dst []int8, sums []int32, scale []float32, bias []int32, scaleStep, biasStep int, low, high float32, zero int32)

//go:noescape
func quantizeS8AVX512(dst []int8, sums []int32, scale []float32, bias []int32, scaleStep, biasStep int, low, high float32, zero int32)

// quantVectors does the beginning of a row and says how far it came.
func quantVectors[T Byte](level kernel.Level, dst []T, sums []int32, scale []float32, bias []int32, l *limits) (done int) {
	done = len(sums) &^ (lanes - 1)
	if level == kernel.Portable || done == 0 {
		return 0
	}
	var sameScale [lanes]float32
	var sameBias [lanes]int32
	s, scaleStep := vectors(scale, 1, &sameScale)
	b, biasStep := vectors(bias, 0, &sameBias)
	sums = sums[:done]
	switch d := any(dst).(type) {
	case []uint8:
		if level == kernel.AVX2 {
			quantizeU8AVX2(d, sums, s, b, scaleStep, biasStep, l.low, l.high, l.zero)
		} else {
			quantizeU8AVX512(d, sums, s, b, scaleStep, biasStep, l.low, l.high, l.zero)
		}
	case []int8:
		if level == kernel.AVX2 {
			quantizeS8AVX2(d, sums, s, b, scaleStep, biasStep, l.low, l.high, l.zero)
		} else {
			quantizeS8AVX512(d, sums, s, b, scaleStep, biasStep, l.low, l.high, l.zero)
		}
	}
	return done
}

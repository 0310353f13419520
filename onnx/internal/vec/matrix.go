package vec

import "github.com/blindbox/blindbox/onnx/internal/kernel"

// SumColumns computes dst[j] = sum of src[i*stride+j] over i < rows, added up in
// float64. The error is that of one rounding.
func SumColumns(level kernel.Level, dst, src []float32, rows, stride int) {
	if rows == 0 || len(dst) == 0 {
		clear(dst)
		return
	}
	src = src[:(rows-1)*stride+len(dst)]
	whole := len(dst) &^ 7
	sumColumns(level, dst[:whole], src, rows, stride)
	sumColumnsPortable(dst[whole:], src[whole:], rows, stride)
}

// MaxColumns computes dst[j] = max of src[i*stride+j] over i < rows, at least 1:
// NaN if there is one.
func MaxColumns(level kernel.Level, dst, src []float32, rows, stride int) {
	copy(dst, src[:len(dst)])
	for i := 1; i < rows; i++ {
		larger(level, dst, dst, src[i*stride:])
	}
}

// MinColumns computes the minimum, like MaxColumns.
func MinColumns(level kernel.Level, dst, src []float32, rows, stride int) {
	copy(dst, src[:len(dst)])
	for i := 1; i < rows; i++ {
		smaller(level, dst, dst, src[i*stride:])
	}
}

// turned is how many columns Transpose2D handles before it goes on to the next
// rows: what they become stays in the first-level cache.
const turned = 64

// Transpose2D computes dst[c*dstStride+r] = src[r*srcStride+c] for r < rows and
// c < cols. The slices must not overlap.
func Transpose2D(level kernel.Level, dst []float32, dstStride int, src []float32, srcStride, rows, cols int) {
	if rows == 0 || cols == 0 {
		return
	}
	dst, src = dst[:(cols-1)*dstStride+rows], src[:(rows-1)*srcStride+cols]
	wholeRows, wholeCols := rows&^7, cols&^7
	for c := 0; c < wholeCols; c += turned {
		for r := 0; r < wholeRows; r += 8 {
			n := min(turned, wholeCols-c) / 8
			transpose8(level, dst[c*dstStride+r:], src[r*srcStride+c:], dstStride, srcStride, n)
		}
	}
	if wholeCols < cols {
		turn(dst[wholeCols*dstStride:], src[wholeCols:], dstStride, srcStride, wholeRows, cols-wholeCols)
	}
	for r := wholeRows; r < rows; r++ {
		turn(dst[r:], src[r*srcStride:], dstStride, srcStride, 1, cols)
	}
}

// turn is Transpose2D in portable Go.
func turn(dst, src []float32, dstStride, srcStride, rows, cols int) {
	for r := range rows {
		for c, x := range src[r*srcStride:][:cols] {
			dst[c*dstStride+r] = x
		}
	}
}

func transpose8Portable(dst, src []float32, dstStride, srcStride, blocks int) {
	turn(dst, src, dstStride, srcStride, 8, 8*blocks)
}

func sumColumnsPortable(dst, src []float32, rows, stride int) {
	for j := range dst {
		var sum float64
		for i := range rows {
			sum += float64(src[i*stride+j])
		}
		dst[j] = float32(sum)
	}
}

// Fill sets every element to x.
func Fill[T any](dst []T, x T) {
	const most = 1024 // stays in the first-level cache
	for i := range dst[:min(len(dst), 16)] {
		dst[i] = x
	}
	for done := 16; done < len(dst); {
		done += copy(dst[done:], dst[:min(done, most)])
	}
}

// Gather computes dst[i] = src[i*step]; step may be 0.
func Gather[T any](dst, src []T, step int) {
	if len(dst) == 0 {
		return
	}
	src = src[:(len(dst)-1)*step+1]
	for i := range dst {
		dst[i] = src[i*step]
	}
}

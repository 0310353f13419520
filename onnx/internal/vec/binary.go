package vec

import "github.com/blindbox/blindbox/onnx/internal/kernel"

// Add computes a+b.
func Add(level kernel.Level, dst, a, b []float32) { add(level, dst, a, b) }

// Sub computes a-b.
func Sub(level kernel.Level, dst, a, b []float32) { subtract(level, dst, a, b) }

// Mul computes a*b.
func Mul(level kernel.Level, dst, a, b []float32) { multiply(level, dst, a, b) }

// Div computes a/b.
func Div(level kernel.Level, dst, a, b []float32) { divide(level, dst, a, b) }

// Max computes the larger of a and b, b where they are equal, NaN if either is.
func Max(level kernel.Level, dst, a, b []float32) { larger(level, dst, a, b) }

// Min computes the smaller of a and b, b where they are equal, NaN if either is.
func Min(level kernel.Level, dst, a, b []float32) { smaller(level, dst, a, b) }

// AddRelu computes max(a+b, 0).
func AddRelu(level kernel.Level, dst, a, b []float32) { addRelu(level, dst, a, b) }

// MulAdd computes a*b+c, rounded once.
func MulAdd(level kernel.Level, dst, a, b, c []float32) { multiplyAdd(level, dst, a, b, c) }

// AddScalar computes src+s.
func AddScalar(level kernel.Level, dst, src []float32, s float32) { addScalar(level, dst, src, s) }

// SubScalar computes src-s.
func SubScalar(level kernel.Level, dst, src []float32, s float32) {
	subtractScalar(level, dst, src, s)
}

// ScalarSub computes s-src.
func ScalarSub(level kernel.Level, dst []float32, s float32, src []float32) {
	scalarSubtract(level, dst, src, s)
}

// MulScalar computes src*s.
func MulScalar(level kernel.Level, dst, src []float32, s float32) {
	multiplyScalar(level, dst, src, s)
}

// DivScalar computes src/s.
func DivScalar(level kernel.Level, dst, src []float32, s float32) {
	divideScalar(level, dst, src, s)
}

// ScalarDiv computes s/src.
func ScalarDiv(level kernel.Level, dst []float32, s float32, src []float32) {
	scalarDivide(level, dst, src, s)
}

// MaxScalar computes the larger of src and s, NaN if either is.
func MaxScalar(level kernel.Level, dst, src []float32, s float32) {
	largerScalar(level, dst, src, s)
}

// MinScalar computes the smaller of src and s, NaN if either is.
func MinScalar(level kernel.Level, dst, src []float32, s float32) {
	smallerScalar(level, dst, src, s)
}

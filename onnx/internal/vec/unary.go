package vec

import "github.com/blindbox/blindbox/onnx/internal/kernel"

// Exp computes e^x. Error below 2e-7; 0 from -104 down.
func Exp(level kernel.Level, dst, src []float32) { exp(level, dst, src) }

// Log computes the natural logarithm: -Inf at 0, NaN below. Error below 2e-7.
func Log(level kernel.Level, dst, src []float32) { log(level, dst, src) }

// Tanh computes the hyperbolic tangent. Error below 3e-7.
func Tanh(level kernel.Level, dst, src []float32) { tanh(level, dst, src) }

// Erf computes the error function. Error below 4e-7.
func Erf(level kernel.Level, dst, src []float32) { erf(level, dst, src) }

// Sigmoid computes 1/(1+e^-x). Error below 3e-7 above -88, absolute 2e-38 below.
func Sigmoid(level kernel.Level, dst, src []float32) { sigmoid(level, dst, src) }

// Gelu computes x/2 * (1+erf(x/sqrt 2)). Absolute error below 5e-7, or relative.
func Gelu(level kernel.Level, dst, src []float32) { gelu(level, dst, src) }

// GeluTanh computes x/2 * (1+tanh(sqrt(2/pi) * (x+0.044715 x^3))), the approximation
// that ONNX's Gelu has under that name. Absolute error below 5e-7, or relative.
func GeluTanh(level kernel.Level, dst, src []float32) { geluTanh(level, dst, src) }

// SiLU computes x/(1+e^-x), also known as swish. Error below 4e-7 above -88,
// absolute 2e-36 below.
func SiLU(level kernel.Level, dst, src []float32) { silu(level, dst, src) }

// Softplus computes ln(1+e^x). Error below 4e-7 above -87.3, absolute 2e-38 below.
func Softplus(level kernel.Level, dst, src []float32) { softplus(level, dst, src) }

// Relu computes max(x, 0). Exact.
func Relu(level kernel.Level, dst, src []float32) { relu(level, dst, src) }

// HardSwish computes x * clip(x/6 + 1/2, 0, 1). Error below 2e-7 where x > -2.9,
// absolute 1e-6 below.
func HardSwish(level kernel.Level, dst, src []float32) { hardSwish(level, dst, src) }

// Sqrt computes the square root, correctly rounded.
func Sqrt(level kernel.Level, dst, src []float32) { root(level, dst, src) }

// Reciprocal computes 1/x, correctly rounded.
func Reciprocal(level kernel.Level, dst, src []float32) { reciprocal(level, dst, src) }

// Neg computes -x.
func Neg(level kernel.Level, dst, src []float32) { negate(level, dst, src) }

// Abs computes |x|.
func Abs(level kernel.Level, dst, src []float32) { absolute(level, dst, src) }

// Floor rounds down to whole numbers.
func Floor(level kernel.Level, dst, src []float32) { floor(level, dst, src) }

// Ceil rounds up to whole numbers.
func Ceil(level kernel.Level, dst, src []float32) { ceil(level, dst, src) }

// Round rounds to the nearest whole numbers, halves to even ones.
func Round(level kernel.Level, dst, src []float32) { round(level, dst, src) }

// Clip limits x to low..high; high wins where low is larger. Exact.
func Clip(level kernel.Level, dst, src []float32, low, high float32) {
	clip(level, dst, src, low, high)
}

// LeakyRelu computes x, or alpha*x below 0. Correctly rounded.
func LeakyRelu(level kernel.Level, dst, src []float32, alpha float32) {
	leakyRelu(level, dst, src, alpha)
}

// HardSigmoid computes clip(alpha*x + beta, 0, 1), rounding after each operation.
func HardSigmoid(level kernel.Level, dst, src []float32, alpha, beta float32) {
	hardSigmoid(level, dst, src, alpha, beta)
}

// Elu computes x, or alpha*(e^x - 1) below 0. Error below 3e-7.
func Elu(level kernel.Level, dst, src []float32, alpha float32) { elu(level, dst, src, alpha) }

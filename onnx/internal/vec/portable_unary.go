package vec

import "math"

// each computes dst[i] = f(src[i]).
func each(dst, src []float32, f func(x float32) float32) {
	for i, x := range src[:len(dst)] {
		dst[i] = f(x)
	}
}

// each64 computes dst[i] = f(src[i]) in float64 and rounds.
func each64(dst, src []float32, f func(x float64) float64) {
	for i, x := range src[:len(dst)] {
		dst[i] = float32(f(float64(x)))
	}
}

func expPortable(dst, src []float32)   { each64(dst, src, math.Exp) }
func logPortable(dst, src []float32)   { each64(dst, src, math.Log) }
func tanhPortable(dst, src []float32)  { each64(dst, src, math.Tanh) }
func erfPortable(dst, src []float32)   { each64(dst, src, math.Erf) }
func rootPortable(dst, src []float32)  { each64(dst, src, math.Sqrt) }
func floorPortable(dst, src []float32) { each64(dst, src, math.Floor) }
func ceilPortable(dst, src []float32)  { each64(dst, src, math.Ceil) }
func roundPortable(dst, src []float32) { each64(dst, src, math.RoundToEven) }

func absolutePortable(dst, src []float32) { each64(dst, src, math.Abs) }

func negatePortable(dst, src []float32) {
	each(dst, src, func(x float32) float32 { return -x })
}

func reciprocalPortable(dst, src []float32) {
	each(dst, src, func(x float32) float32 { return 1 / x })
}

// logistic is numerator / (1 + e^-x).
func logistic(numerator, x float64) float64 { return numerator / (1 + math.Exp(-x)) }

// finite is x, but the lowest number instead of -Inf: a factor for what goes to 0
// there.
func finite(x float64) float64 { return math.Max(x, -math.MaxFloat32) }

func sigmoidPortable(dst, src []float32) {
	each64(dst, src, func(x float64) float64 { return logistic(1, x) })
}

func siluPortable(dst, src []float32) {
	each64(dst, src, func(x float64) float64 { return logistic(finite(x), x) })
}

func geluPortable(dst, src []float32) {
	each64(dst, src, func(x float64) float64 { return finite(x) / 2 * math.Erfc(-x/math.Sqrt2) })
}

func geluTanhPortable(dst, src []float32) {
	c := 2 * math.Sqrt(2/math.Pi)
	each64(dst, src, func(x float64) float64 { return logistic(finite(x), c*x*(1+0.044715*x*x)) })
}

func softplusPortable(dst, src []float32) {
	each64(dst, src, func(x float64) float64 { return math.Max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) })
}

func reluPortable(dst, src []float32) {
	each(dst, src, func(x float32) float32 { return above(0, x) })
}

// above is x, or low where x is below it.
func above(low, x float32) float32 {
	if low > x {
		return low
	}
	return x
}

// below is x, or high where x is above it.
func below(high, x float32) float32 {
	if high < x {
		return high
	}
	return x
}

func clipPortable(dst, src []float32, low, high float32) {
	each(dst, src, func(x float32) float32 { return below(high, above(low, x)) })
}

func hardSwishPortable(dst, src []float32) {
	each(dst, src, func(x float32) float32 {
		sixth := float32(1.0 / 6)
		return above(-3, x) * below(1, above(0, float32(x*sixth)+0.5))
	})
}

func hardSigmoidPortable(dst, src []float32, alpha, beta float32) {
	each(dst, src, func(x float32) float32 { return below(1, above(0, float32(x*alpha)+beta)) })
}

func leakyReluPortable(dst, src []float32, alpha float32) {
	each(dst, src, func(x float32) float32 {
		if x < 0 {
			return x * alpha
		}
		return x
	})
}

func eluPortable(dst, src []float32, alpha float32) {
	each(dst, src, func(x float32) float32 {
		if x > 0 {
			return x
		}
		return float32(math.Expm1(float64(x))) * alpha
	})
}

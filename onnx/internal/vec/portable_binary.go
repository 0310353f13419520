package vec

// zip computes dst[i] = f(a[i], b[i]).
func zip(dst, a, b []float32, f func(x, y float32) float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = f(a[i], b[i])
	}
}

func addPortable(dst, a, b []float32) {
	zip(dst, a, b, func(x, y float32) float32 { return x + y })
}

func subtractPortable(dst, a, b []float32) {
	zip(dst, a, b, func(x, y float32) float32 { return x - y })
}

func multiplyPortable(dst, a, b []float32) {
	zip(dst, a, b, func(x, y float32) float32 { return x * y })
}

func dividePortable(dst, a, b []float32) {
	zip(dst, a, b, func(x, y float32) float32 { return x / y })
}

// larger2 is the larger of x and y, y where they are equal, NaN if either is.
func larger2(x, y float32) float32 {
	if x > y || x != x {
		return x
	}
	return y
}

// smaller2 is the smaller of x and y, y where they are equal, NaN if either is.
func smaller2(x, y float32) float32 {
	if x < y || x != x {
		return x
	}
	return y
}

func largerPortable(dst, a, b []float32)  { zip(dst, a, b, larger2) }
func smallerPortable(dst, a, b []float32) { zip(dst, a, b, smaller2) }

func addReluPortable(dst, a, b []float32) {
	zip(dst, a, b, func(x, y float32) float32 { return above(0, x+y) })
}

// fma is x*y + z. The product is exact in float64.
func fma(x, y, z float32) float32 { return float32(float64(x)*float64(y) + float64(z)) }

func multiplyAddPortable(dst, a, b, c []float32) {
	a, b, c = a[:len(dst)], b[:len(dst)], c[:len(dst)]
	for i := range dst {
		dst[i] = fma(a[i], b[i], c[i])
	}
}

func addScalarPortable(dst, src []float32, s float32) {
	each(dst, src, func(x float32) float32 { return x + s })
}

func subtractScalarPortable(dst, src []float32, s float32) {
	each(dst, src, func(x float32) float32 { return x - s })
}

func scalarSubtractPortable(dst, src []float32, s float32) {
	each(dst, src, func(x float32) float32 { return s - x })
}

func multiplyScalarPortable(dst, src []float32, s float32) {
	each(dst, src, func(x float32) float32 { return x * s })
}

func divideScalarPortable(dst, src []float32, s float32) {
	each(dst, src, func(x float32) float32 { return x / s })
}

func scalarDividePortable(dst, src []float32, s float32) {
	each(dst, src, func(x float32) float32 { return s / x })
}

func largerScalarPortable(dst, src []float32, s float32) {
	each(dst, src, func(x float32) float32 { return larger2(x, s) })
}

func smallerScalarPortable(dst, src []float32, s float32) {
	each(dst, src, func(x float32) float32 { return smaller2(x, s) })
}

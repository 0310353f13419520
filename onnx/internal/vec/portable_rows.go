package vec

import "math"

func sumPortable(src []float32) float32 {
	var sum float64
	for _, x := range src {
		sum += float64(x)
	}
	return float32(sum)
}

func sumSquaresAboutPortable(src []float32, center float32) float32 {
	var sum float64
	for _, x := range src {
		d := float64(x - center)
		sum += d * d
	}
	return float32(sum)
}

func dotPortable(a, b []float32) float32 {
	b = b[:len(a)]
	var sum float64
	for i, x := range a {
		sum += float64(x) * float64(b[i])
	}
	return float32(sum)
}

func largestPortable(src []float32) float32 {
	all := float32(math.Inf(-1))
	for _, x := range src {
		all = larger2(all, x)
	}
	return all
}

func smallestPortable(src []float32) float32 {
	all := float32(math.Inf(1))
	for _, x := range src {
		all = smaller2(all, x)
	}
	return all
}

func sumExpPortable(src []float32, largest float32) float32 {
	var sum float64
	for _, x := range src {
		sum += math.Exp(float64(x - largest))
	}
	return float32(sum)
}

func expSumPortable(dst, src []float32, largest float32) float32 {
	src = src[:len(dst)]
	var sum float64
	for i, x := range src {
		e := math.Exp(float64(x - largest))
		dst[i] = float32(e)
		sum += e
	}
	return float32(sum)
}

func scaleAddLargestPortable(dst, src, mask []float32, scale float32) float32 {
	src, mask = src[:len(dst)], mask[:len(dst)]
	for i, x := range src {
		dst[i] = fma(x, scale, mask[i])
	}
	return largestPortable(dst)
}

func scaleLargestPortable(dst, src []float32, scale float32) float32 {
	multiplyScalarPortable(dst, src, scale)
	return largestPortable(dst)
}

func subtractTwicePortable(dst, src []float32, s, t float32) {
	each(dst, src, func(x float32) float32 { return x - s - t })
}

func addSumPortable(dst, a, b []float32) float32 {
	addPortable(dst, a, b)
	return sumPortable(dst)
}

func normalPortable(dst, src, gamma, beta []float32, center, factor float32) {
	src, gamma, beta = src[:len(dst)], gamma[:len(dst)], beta[:len(dst)]
	for i, x := range src {
		dst[i] = fma(float32(x-center)*factor, gamma[i], beta[i])
	}
}

func normalScalePortable(dst, src, gamma []float32, center, factor float32) {
	src, gamma = src[:len(dst)], gamma[:len(dst)]
	for i, x := range src {
		dst[i] = float32(float32(x-center)*factor) * gamma[i]
	}
}

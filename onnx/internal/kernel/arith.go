package kernel

// Number is what arithmetic works on.
type Number interface{ float32 | int64 }

// Zip2 computes dst[i] = f(a[i*stepA], b[i*stepB]) for every i of dst.
type Zip2[T, R any] func(dst []R, a []T, stepA int, b []T, stepB int)

// Add computes sums.
func Add[T Number](dst, a []T, stepA int, b []T, stepB int) {
	if stepA == 1 && stepB == 1 {
		a, b = a[:len(dst)], b[:len(dst)]
		for i := range dst {
			dst[i] = a[i] + b[i]
		}
		return
	}
	for i := range dst {
		dst[i] = a[i*stepA] + b[i*stepB]
	}
}

// Sub computes differences.
func Sub[T Number](dst, a []T, stepA int, b []T, stepB int) {
	if stepA == 1 && stepB == 1 {
		a, b = a[:len(dst)], b[:len(dst)]
		for i := range dst {
			dst[i] = a[i] - b[i]
		}
		return
	}
	for i := range dst {
		dst[i] = a[i*stepA] - b[i*stepB]
	}
}

// Mul computes products.
func Mul[T Number](dst, a []T, stepA int, b []T, stepB int) {
	if stepA == 1 && stepB == 1 {
		a, b = a[:len(dst)], b[:len(dst)]
		for i := range dst {
			dst[i] = a[i] * b[i]
		}
		return
	}
	for i := range dst {
		dst[i] = a[i*stepA] * b[i*stepB]
	}
}

// Div computes quotients. Integer divisors must not be zero.
func Div[T Number](dst, a []T, stepA int, b []T, stepB int) {
	if stepA == 1 && stepB == 1 {
		a, b = a[:len(dst)], b[:len(dst)]
		for i := range dst {
			dst[i] = a[i] / b[i]
		}
		return
	}
	for i := range dst {
		dst[i] = a[i*stepA] / b[i*stepB]
	}
}

// Each makes a Zip2 of a function of two elements.
func Each[T, R any](f func(a, b T) R) Zip2[T, R] {
	return func(dst []R, a []T, stepA int, b []T, stepB int) {
		for i := range dst {
			dst[i] = f(a[i*stepA], b[i*stepB])
		}
	}
}

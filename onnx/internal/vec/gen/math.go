package main

import (
	"math"

	"github.com/mmcloughlin/avo/operand"
)

// The functions of calculus, each reduced to a short interval around 0 or 1 and
// a polynomial there. The polynomials are minimax approximations found with the
// Remez exchange algorithm at 160 bits; the comment beside each names the
// interval and the error before its coefficients were rounded.

// Parts of ln 2: the first has 15 bits, so that its product with an exponent is
// exact (W. J. Cody, W. Waite, Software Manual for the Elementary Functions, 1980).
const (
	ln2High = 0.693145751953125
	ln2Low  = 1.42860682030941723212e-6
)

// A number of size 3 * 2^22 has no bits behind the point: adding magic rounds to
// whole numbers, and leaves them in the lowest bits.
const magic = 3 << 22

// Numbers that are not normal take a processor up to a hundred times longer. Whoever
// sends them must not slow others down, nor learn from the time what is in a tensor: so
// functions take them for 0, and multiply no two small numbers.

// flushed is x, or 0 where it is so small that half of it, or of a multiple, may not be a
// normal number.
func (m *machine) flushed(x vector) vector { return m.atLeast(0x1p-124, x) }

// atLeast is x, or 0 where its size is below least.
func (m *machine) atLeast(least float64, x vector) vector {
	return m.where(m.compare(notLess, m.and(x, m.bits(allButTop)), m.number(least)), x)
}

// squareable is the least number that the cube of is of use beside it, and normal.
const squareable = 0x1p-40

// reduced is x = n*ln 2 + r with whole n and |r| <= ln 2 / 2, for |x| < 2^20. The
// lowest bits of shifted hold n+bias.
func (m *machine) reduced(x vector, bias float64) (shifted, n, r vector) {
	shifted = m.fma(x, m.number(math.Log2E), m.number(magic+bias))
	n = m.sub(shifted, m.number(magic+bias))
	r = m.fnma(n, m.number(ln2High), x)
	return shifted, n, m.fnma(n, m.number(ln2Low), r)
}

// smallExp is e^r for |r| <= ln 2 / 2, error 2.1e-9.
func (m *machine) smallExp(r vector) vector {
	return m.polynomial(r, 1, 1.00000003, 0.499999942, 0.166664354, 0.041668011, 0.00837389728, 0.0013842689)
}

// smallExpm1 is e^r - 1 for |r| <= ln 2 / 2: r + r*r*p(r), error 1.4e-8 r.
func (m *machine) smallExpm1(r vector) vector {
	p := m.polynomial(r, 0.500000006, 0.166665433, 0.0416662829, 0.00836655893, 0.0013946403)
	large := m.atLeast(squareable, r)
	return m.fma(m.mul(large, large), p, r)
}

// exponent is 2^e, where the lowest bits of shifted hold e+127.
func (m *machine) exponent(shifted vector) vector { return m.shift(m.VPSLLD, 23, shifted) }

// scaleAVX512 is x * 2^n, rounded once.
func (m *machine) scaleAVX512(x, n vector) vector {
	d := m.vector()
	m.VSCALEFPS(n, x, d)
	return d
}

// exp is e^x: 0 where that is no normal number, infinite from 88.73 up. What is 0 is not
// computed: see expNegative.
func (m *machine) exp(x vector) vector {
	zero := m.compare(less, x, m.number(leastLog))
	x = m.choose(zero, m.load(m.bits(0)), m.min(m.load(m.number(89)), x))
	shifted, n, r := m.reduced(x, 2*127)
	p := m.smallExp(r)
	if m.avx512 {
		return m.choose(zero, m.load(m.bits(0)), m.scaleAVX512(p, n))
	}
	// 2^n is not always a number, so its factors are: 2^64 or its inverse, and the
	// quotient.
	factor := m.choose(x, m.number(0x1p-64), m.number(0x1p64)) // by the sign
	e := m.mul(m.mul(p, m.subInt(m.exponent(shifted), factor)), factor)
	return m.choose(zero, m.load(m.bits(0)), e)
}

// expNegative is e^x for x <= 0, the same bits as exp where that is a normal number,
// and 0 below: numbers that are not normal take a processor many times longer, and
// masked scores, and activations far from 0, would all be such.
func (m *machine) expNegative(x vector) vector {
	tiny := m.compare(less, x, m.number(leastLog))
	shifted, n, r := m.reduced(m.max(m.load(m.number(leastLog)), x), 127+64)
	p := m.smallExp(r)
	if m.avx512 {
		return m.choose(tiny, m.load(m.bits(0)), m.scaleAVX512(p, n))
	}
	return m.choose(tiny, m.load(m.bits(0)), m.mul(m.mul(p, m.exponent(shifted)), m.number(0x1p-64)))
}

// leastLog is above the logarithm of the smallest normal number.
const leastLog = -87.3365

// expm1 is e^x - 1 for x between -87 and 88, or NaN.
func (m *machine) expm1(x vector) vector {
	shifted, _, r := m.reduced(x, 127)
	s := m.exponent(shifted)
	return m.fma(s, m.smallExpm1(r), m.sub(s, m.number(1)))
}

// clamped keeps x between low and high; NaN stays NaN.
func (m *machine) clamped(x operand.Op, low, high float64) vector {
	return m.min(m.load(m.number(high)), m.max(m.load(m.number(low)), x))
}

// log1p is ln(1+f) for f between sqrt(1/2)-1 and sqrt(2)-1:
// f - f*f/2 + f*f*f*p(f), relative error 6e-9. To that it adds n ln 2.
func (m *machine) log1p(f, n vector) vector {
	p := m.polynomial(f, 0.333333317, -0.25000821, 0.200012269, -0.166233574,
		0.142017582, -0.131601821, 0.127615754, -0.076344952)
	large := m.atLeast(squareable, f)
	square := m.mul(large, large)
	small := m.mul(m.mul(large, square), p)
	small = m.fma(n, m.number(ln2Low), small)
	small = m.fnma(square, m.number(0.5), small)
	return m.fma(n, m.number(ln2High), m.add(f, small))
}

// Bits of float32 numbers.
const (
	signBit   = 0x80000000
	allButTop = 0x7fffffff
	fraction  = 0x007fffff
	rootHalf  = 0x3f3504f3 // sqrt(1/2)
	smallest  = 0x00800000 // 2^-126, the smallest normal number
	infinity  = 0x7f800000
	notNumber = 0x7fc00000
)

// log is the natural logarithm.
func (m *machine) log(x vector) vector {
	tiny := m.compare(less, x, m.bits(smallest))
	y := m.choose(tiny, m.mul(x, m.number(1<<23)), x)
	offset := m.subInt(y, m.bits(rootHalf))
	n := m.fromInt(m.shift(m.VPSRAD, 23, offset))
	n = m.choose(tiny, m.sub(n, m.number(23)), n)
	f := m.sub(m.addInt(m.and(offset, m.bits(fraction)), m.bits(rootHalf)), m.number(1))
	y = m.log1p(f, n)
	y = m.choose(m.compare(equal, x, m.bits(0)), m.bits(signBit|infinity), y)
	y = m.choose(m.compare(less, x, m.bits(0)), m.bits(notNumber), y)
	y = m.choose(m.compare(unordered, x, x), x, y)
	return m.choose(m.compare(equal, x, m.bits(infinity)), x, y)
}

// tanh is (e^2a - 1) / (e^2a + 1) of a = |x|, with the sign of x.
func (m *machine) tanh(x vector) vector {
	sign := m.and(x, m.bits(signBit))
	a := m.xor(x, sign)
	e := m.expm1(m.min(m.load(m.number(20)), m.add(a, a)))
	return m.or(m.div(e, m.add(e, m.number(2))), sign)
}

// logistic is factor / (1 + e^-x), where factor is 1 if nil. Below 0 that is
// factor * e^x / (1 + e^x): the power is at most 1.
func (m *machine) logistic(factor operand.Op, x vector) vector {
	e := m.expNegative(m.or(x, m.bits(signBit)))
	top := m.choose(m.compare(less, x, m.bits(0)), e, m.load(m.number(1)))
	if factor != nil {
		top = m.mul(top, factor)
	}
	return m.div(top, m.add(e, m.number(1)))
}

// finite is x, but the lowest number instead of -infinity: a factor for what
// goes to 0 there.
func (m *machine) finite(x vector) vector {
	return m.max(m.load(m.number(-math.MaxFloat32)), x)
}

// erf is 1 - e^(-a*q(a)) of a = |x|, with the sign of x; q is the logarithm of
// 1-erf, divided by -a, on 0..4.1, error 1.2e-8 erf. From there on erf rounds to 1.
func (m *machine) erf(x vector) vector {
	sign := m.and(x, m.bits(signBit))
	a := m.min(m.load(m.number(4.1)), m.xor(x, sign))
	q := m.polynomial(a, 1.12837918, 0.63661865, 0.102787181, -0.0191964225, -6.59012691e-05,
		0.00155966389, -0.000567799386, 9.78590521e-05, -6.89562342e-06)
	e := m.expm1(m.xor(m.mul(a, q), m.bits(signBit)))
	return m.xor(m.xor(e, m.bits(signBit)), sign)
}

// gelu is max(x, 0) - a*e^w(a), where a = |x| and w is the logarithm of
// erfc(a / sqrt 2) / 2 on 0..5.6: the error of gelu is 2.3e-8 (a + 0.3). Beyond
// that w falls; from 11.5 on e^w is 0, and a stays there.
func (m *machine) gelu(x vector) vector {
	a := m.min(m.load(m.number(11.5)), m.and(x, m.bits(allButTop)))
	w := m.polynomial(a, -0.693147032, -0.797891199, -0.318255319, -0.03651375, 0.00507513457,
		-0.00023121716, -7.26634219e-05, 1.54042023e-05, -9.69194934e-07)
	return m.fnma(a, m.expNegative(w), m.max(m.load(m.bits(0)), x))
}

// geluTanh is x/2 * (1 + tanh u) = x / (1 + e^-2u), u = sqrt(2/pi) * (x + 0.044715 x^3).
func (m *machine) geluTanh(x vector) vector {
	c := 2 * math.Sqrt(2/math.Pi)
	large := m.atLeast(squareable, x)
	factor := m.fma(m.mul(large, large), m.number(c*0.044715), m.number(c))
	return m.logistic(m.finite(x), m.mul(x, factor))
}

// softplus is ln(1 + e^x) = max(x, 0) + ln(1 + y), y = e^-|x|. Above sqrt 2,
// 1+y = 2 * (1 + (y-1)/2).
func (m *machine) softplus(x vector) vector {
	y := m.expNegative(m.or(x, m.bits(signBit)))
	large := m.compare(greater, y, m.number(math.Sqrt2-1))
	f := m.choose(large, m.mul(m.sub(y, m.number(1)), m.number(0.5)), y)
	n := m.choose(large, m.number(1), m.number(0))
	return m.add(m.max(m.load(m.bits(0)), x), m.log1p(f, n))
}

// elu is x above 0, alpha * (e^x - 1) below.
func (m *machine) elu(x, alpha vector) vector {
	e := m.expm1(m.max(m.load(m.number(-87)), m.min(m.load(m.bits(0)), x)))
	return m.choose(m.compare(greater, x, m.bits(0)), x, m.mul(e, alpha))
}

// larger is the larger of a and b, NaN if either is.
func (m *machine) larger(a, b vector) vector {
	return m.choose(m.compare(unordered, a, a), a, m.max(a, b))
}

// smaller is the smaller of a and b, NaN if either is.
func (m *machine) smaller(a, b vector) vector {
	return m.choose(m.compare(unordered, a, a), a, m.min(a, b))
}

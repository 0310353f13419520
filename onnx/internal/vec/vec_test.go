package vec

import (
	"fmt"
	"math"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// unaryCase is a function of one slice with what it must compute.
type unaryCase struct {
	name string
	run  func(level kernel.Level, dst, src []float32)
	want func(x float64) float64

	relative float64 // bound of the error; 0: exact
	absolute float64 // or below this
}

var unaryCases = []unaryCase{
	{"Exp", Exp, math.Exp, 2e-7, 2e-38},
	{"Log", Log, math.Log, 2e-7, 0},
	{"Tanh", Tanh, math.Tanh, 3e-7, 5e-38},
	{"Erf", Erf, math.Erf, 4e-7, 6e-38},
	{"Sigmoid", Sigmoid, func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }, 3e-7, 2e-38},
	{"Gelu", Gelu, exactGelu, 5e-7, 5e-7},
	{"GeluTanh", GeluTanh, func(x float64) float64 {
		x = math.Max(x, -1e9)
		return x / (1 + math.Exp(-2*math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
	}, 5e-7, 5e-7},
	{"SiLU", SiLU, func(x float64) float64 { return math.Max(x, -1e9) / (1 + math.Exp(-x)) }, 4e-7, 2e-36},
	{"Softplus", Softplus, func(x float64) float64 {
		return math.Max(x, 0) + math.Log1p(math.Exp(-math.Abs(x)))
	}, 4e-7, 2e-38},
	{"Elu", func(level kernel.Level, dst, src []float32) { Elu(level, dst, src, 0.75) }, func(x float64) float64 {
		if x > 0 {
			return x
		}
		return 0.75 * math.Expm1(x)
	}, 3e-7, 5e-38},
	{"HardSwish", HardSwish, func(x float64) float64 {
		return math.Max(x, -4) * math.Min(1, math.Max(0, x/6+0.5))
	}, 2e-7, 1e-6},
	{"HardSigmoid", func(level kernel.Level, dst, src []float32) { HardSigmoid(level, dst, src, 0.25, 0.5) },
		func(x float64) float64 { return math.Min(1, math.Max(0, float64(float32(x/4+0.5)))) }, 0, 0},
	{"Relu", Relu, func(x float64) float64 { return math.Max(x, 0) }, 0, 0},
	{"LeakyRelu", func(level kernel.Level, dst, src []float32) { LeakyRelu(level, dst, src, 0.125) },
		func(x float64) float64 {
			if x < 0 {
				return x / 8
			}
			return x
		}, 0, 0},
	{"Clip", func(level kernel.Level, dst, src []float32) { Clip(level, dst, src, -2, 3) },
		func(x float64) float64 { return math.Min(3, math.Max(-2, x)) }, 0, 0},
	{"Sqrt", Sqrt, math.Sqrt, 0, 0},
	{"Reciprocal", Reciprocal, func(x float64) float64 { return 1 / x }, 0, 0},
	{"Neg", Neg, func(x float64) float64 { return -x }, 0, 0},
	{"Abs", Abs, math.Abs, 0, 0},
	{"Floor", Floor, math.Floor, 0, 0},
	{"Ceil", Ceil, math.Ceil, 0, 0},
	{"Round", Round, math.RoundToEven, 0, 0},
	{"AddScalar", func(level kernel.Level, dst, src []float32) { AddScalar(level, dst, src, 1.5) },
		func(x float64) float64 { return x + 1.5 }, 0, 0},
	{"SubScalar", func(level kernel.Level, dst, src []float32) { SubScalar(level, dst, src, 1.5) },
		func(x float64) float64 { return x - 1.5 }, 0, 0},
	{"ScalarSub", func(level kernel.Level, dst, src []float32) { ScalarSub(level, dst, 1.5, src) },
		func(x float64) float64 { return 1.5 - x }, 0, 0},
	{"MulScalar", func(level kernel.Level, dst, src []float32) { MulScalar(level, dst, src, -0.3125) },
		func(x float64) float64 { return x * -0.3125 }, 0, 0},
	{"DivScalar", func(level kernel.Level, dst, src []float32) { DivScalar(level, dst, src, 3) },
		func(x float64) float64 { return x / 3 }, 0, 0},
	{"ScalarDiv", func(level kernel.Level, dst, src []float32) { ScalarDiv(level, dst, 3, src) },
		func(x float64) float64 { return 3 / x }, 0, 0},
	{"MaxScalar", func(level kernel.Level, dst, src []float32) { MaxScalar(level, dst, src, 0.5) },
		func(x float64) float64 { return math.Max(x, 0.5) }, 0, 0},
	{"MinScalar", func(level kernel.Level, dst, src []float32) { MinScalar(level, dst, src, 0.5) },
		func(x float64) float64 { return math.Min(x, 0.5) }, 0, 0},
}

func exactGelu(x float64) float64 { return math.Max(x, -1e9) / 2 * math.Erfc(-x/math.Sqrt2) }

// samples covers all float32 numbers evenly by their bits, and densely those
// around which functions bend.
func samples(step uint32) []float32 {
	s := append([]float32{}, specials...)
	for b := uint64(0); b < 1<<32; b += uint64(step) {
		s = append(s, math.Float32frombits(uint32(b)))
	}
	for x := float32(-110); x < 110; x += float32(step) / (1 << 21) {
		s = append(s, x)
	}
	return s
}

var specials = []float32{
	0, float32(math.Copysign(0, -1)), 1, -1, 0.5, -0.5, 1.5, 2.5, -2.5,
	float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()),
	math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32, 0x1p-126, -0x1p-126, 0x1.fffffcp-127,
	math.MaxFloat32, -math.MaxFloat32, 88.72283, 88.722839, 88.8, -87.33655, -103.97, -103.98, -104, -150,
	0.99999994, 1.0000001, 0.70710677, 0.7071068, 8388607.5, 8388609, 16777216, 1e10, -1e10,
}

// off returns how far got is from want, in units of the bound.
func off(c unaryCase, got float32, want float64) float64 {
	rounded := float32(want)
	if got == rounded || got != got && want != want {
		return 0
	}
	if math.IsInf(float64(rounded), 0) && math.Abs(float64(got)) > math.MaxFloat32*(1-c.relative) {
		return 0 // on the edge of the range
	}
	err := math.Abs(float64(got) - want)
	bound := math.Max(c.relative*math.Abs(want), c.absolute)
	if c.relative > 0 {
		bound = math.Max(bound, 0x1p-149) // one denormal
	}
	if bound == 0 || math.IsNaN(err) {
		return math.Inf(1)
	}
	return err / bound
}

// dense is the distance between the bits of samples where many are wanted.
const dense = 1<<13 + 3

func TestUnaryAgainstFloat64(t *testing.T) {
	src := samples(dense)
	dst, want := make([]float32, len(src)), make([]float64, len(src))
	for _, c := range unaryCases {
		for i, x := range src {
			want[i] = c.want(float64(x))
		}
		for _, level := range kernel.Levels() {
			c.run(level, dst, src)
			worst, at := 0.0, 0
			for i := range src {
				if e := off(c, dst[i], want[i]); e > worst {
					worst, at = e, i
				}
			}
			if worst > 1 {
				t.Errorf("%s, %v: %g of the bound at %g: got %g, want %g", c.name, level, worst, src[at], dst[at], want[at])
			}
			t.Logf("%s, %v: %.2f of the bound at %g", c.name, level, worst, src[at])
		}
	}
}

// TestUnaryFormsAgree: the vector forms compute the same bits.
func TestUnaryFormsAgree(t *testing.T) {
	levels := kernel.Levels()
	if len(levels) < 3 {
		t.Skip("there is only one vector form here")
	}
	src := samples(dense * 4)
	a, b := make([]float32, len(src)), make([]float32, len(src))
	for _, c := range unaryCases {
		c.run(kernel.AVX2, a, src)
		c.run(kernel.AVX512, b, src)
		for i := range src {
			if math.Float32bits(a[i]) != math.Float32bits(b[i]) && (a[i] == a[i] || b[i] == b[i]) {
				t.Errorf("%s(%g): %g with AVX2, %g with AVX-512", c.name, src[i], a[i], b[i])
				break
			}
		}
	}
}

// TestUnaryIndependentOfPlace: every length and place gives an element the same
// value, in place or not, and nothing beside the slice changes.
func TestUnaryIndependentOfPlace(t *testing.T) {
	src := append(samples(1<<27), samples(1 << 26)[len(specials):]...)
	for _, c := range unaryCases {
		for _, level := range kernel.Levels() {
			whole := make([]float32, len(src))
			c.run(level, whole, src)
			for n := range 70 {
				from := n * 3 % 40
				if err := sameAt(func(dst, src []float32) { c.run(level, dst, src) }, whole, src, from, n); err != nil {
					t.Errorf("%s, %v: %v", c.name, level, err)
					break
				}
			}
		}
	}
}

// sameAt runs f on a part of src, in place and between guards, and compares.
func sameAt(f func(dst, src []float32), whole, src []float32, from, n int) error {
	const guard = 1234.5
	buffer := make([]float32, n+32)
	for i := range buffer {
		buffer[i] = guard
	}
	part := buffer[16 : 16+n]
	copy(part, src[from:from+n])
	f(part, part)
	for i, got := range part {
		if want := whole[from+i]; math.Float32bits(got) != math.Float32bits(want) {
			return fmt.Errorf("%d elements from %d: element %d of %g is %g, alone %g", n, from, i, src[from+i], got, want)
		}
	}
	for i, x := range buffer {
		if (i < 16 || i >= 16+n) && x != guard {
			return fmt.Errorf("%d elements: wrote beside the slice", n)
		}
	}
	return nil
}

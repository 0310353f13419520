package vec

import (
	"math"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

type binaryCase struct {
	name string
	run  func(level kernel.Level, dst, a, b []float32)
	want func(a, b float64) float64
}

var binaryCases = []binaryCase{
	{"Add", Add, func(a, b float64) float64 { return a + b }},
	{"Sub", Sub, func(a, b float64) float64 { return a - b }},
	{"Mul", Mul, func(a, b float64) float64 { return a * b }},
	{"Div", Div, func(a, b float64) float64 { return a / b }},
	{"Max", Max, func(a, b float64) float64 { return max(a, b) }},
	{"Min", Min, func(a, b float64) float64 { return min(a, b) }},
	{"AddRelu", AddRelu, func(a, b float64) float64 { return math.Max(a+b, 0) }},
	{"MulAdd", func(level kernel.Level, dst, a, b []float32) { MulAdd(level, dst, a, b, a) },
		func(a, b float64) float64 { return a*b + a }},
}

// pairs are all pairs of specials, and of numbers of very different sizes.
func pairs() (a, b []float32) {
	all := append(samples(1 << 27)[:len(specials)+32], 3, 7)
	for _, x := range all {
		for _, y := range all {
			a, b = append(a, x), append(b, y)
		}
	}
	return a, b
}

func TestBinaryAgainstFloat64(t *testing.T) {
	a, b := pairs()
	dst := make([]float32, len(a))
	for _, c := range binaryCases {
		for _, level := range kernel.Levels() {
			c.run(level, dst, a, b)
			for i := range a {
				want := float32(c.want(float64(a[i]), float64(b[i])))
				if dst[i] != want && (dst[i] == dst[i] || want == want) {
					t.Errorf("%s, %v: (%g, %g) gives %g, want %g", c.name, level, a[i], b[i], dst[i], want)
					break
				}
			}
		}
	}
}

// TestBinaryIndependentOfPlace: each operand may be the destination.
func TestBinaryIndependentOfPlace(t *testing.T) {
	a, b := pairs()
	for _, c := range binaryCases {
		for _, level := range kernel.Levels() {
			whole := make([]float32, len(a))
			c.run(level, whole, a, b)
			for n := range 140 {
				from := n * 5 % 40
				first := func(dst, a []float32) { c.run(level, dst, a, b[from:]) }
				second := func(dst, b []float32) { c.run(level, dst, a[from:], b) }
				if err := sameAt(first, whole, a, from, n); err != nil {
					t.Fatalf("%s, %v, into a: %v", c.name, level, err)
				}
				if err := sameAt(second, whole, b, from, n); err != nil {
					t.Fatalf("%s, %v, into b: %v", c.name, level, err)
				}
			}
		}
	}
}

// TestShortSourcesPanic: lengths are checked before anything is read.
func TestShortSourcesPanic(t *testing.T) {
	for _, level := range kernel.Levels() {
		for name, run := range map[string]func(){
			"Exp": func() { Exp(level, make([]float32, 17), make([]float32, 16)) },
			"Add": func() { Add(level, make([]float32, 17), make([]float32, 17), make([]float32, 16)) },
			"Dot": func() { Dot(level, make([]float32, 17), make([]float32, 16)) },
		} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s, %v: no panic", name, level)
					}
				}()
				run()
			}()
		}
	}
}

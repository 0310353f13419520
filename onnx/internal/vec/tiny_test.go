package vec

import (
	"math"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// TestTinyPowersAreZero: a power below the smallest normal number is 0. Processors take
// twenty times longer for such numbers, and every masked score would be one.
func TestTinyPowersAreZero(t *testing.T) {
	src := []float32{-87.34, -90, -95.5, -103, -104, -105, -1e4, -math.MaxFloat32, float32(math.Inf(-1))}
	for _, level := range kernel.Levels()[1:] {
		for _, x := range src {
			row, dst := make([]float32, 37), make([]float32, 37)
			for i := range row {
				row[i] = x
			}
			if sum := expSum(level, dst, row, 0); sum != 0 {
				t.Errorf("%s: the sum of powers of %g is %g", level, x, sum)
			}
			if sum := sumExp(level, row, 0); sum != 0 {
				t.Errorf("%s: the sum of powers of %g alone is %g", level, x, sum)
			}
			for i, v := range dst {
				if v != 0 {
					t.Errorf("%s: power %d of %g is %g", level, i, x, v)
				}
			}
			if Sigmoid(level, dst, row); dst[0] != 0 {
				t.Errorf("%s: sigmoid of %g is %g", level, x, dst[0])
			}
			if Gelu(level, dst, row); dst[0] != 0 {
				t.Errorf("%s: gelu of %g is %g", level, x, dst[0])
			}
		}
		row := []float32{float32(math.NaN()), float32(math.Inf(1)), 0}
		if sum := expSum(level, make([]float32, 1), row[:1], 0); sum == sum {
			t.Errorf("%s: the power of NaN is %g", level, sum)
		}
	}
}

// TestTinyNumbersAreZero: functions take numbers that are not normal for 0, since these
// take up to a hundred times longer: a way to slow a box down, and to learn from the time
// what a tensor holds.
func TestTinyNumbersAreZero(t *testing.T) {
	for _, level := range kernel.Levels()[1:] {
		for name, f := range map[string]func(kernel.Level, []float32, []float32){
			"Exp": Exp, "Tanh": Tanh, "Erf": Erf, "Sigmoid": Sigmoid, "Gelu": Gelu, "GeluTanh": GeluTanh, "SiLU": SiLU,
			"Softplus": Softplus, "HardSwish": HardSwish,
			"Elu": func(level kernel.Level, dst, src []float32) { Elu(level, dst, src, 1) },
		} {
			want := make([]float32, 1)
			f(level, want, []float32{0})
			for _, x := range []float32{math.SmallestNonzeroFloat32, 1e-42, 1e-39, 0x1p-126, 0x1.fp-125} {
				src, dst := []float32{x, -x}, make([]float32, 2)
				if f(level, dst, src); dst[0] != want[0] || dst[1] != want[0] {
					t.Errorf("%s, %s: %v of %v, expected that of 0, %g", name, level, dst, src, want[0])
				}
			}
			for _, x := range []float32{0x1p-123, 1e-30, 1e-20} { // squares of which are not normal
				dst := make([]float32, 1)
				if f(level, dst, []float32{x}); want[0] == 0 && dst[0] == 0 {
					t.Errorf("%s, %s: %g is lost", name, level, x)
				}
			}
		}
	}
}

// TestMaskedOutIsNothing: rows with all masked out, or with infinities, as the operators
// by themselves have it.
func TestMaskedOutIsNothing(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, level := range kernel.Levels() {
		for _, c := range []struct {
			row  []float32
			nans bool
		}{
			{[]float32{-inf, -inf, -inf}, true}, {[]float32{nan, 1, 2}, true}, {[]float32{1, 2, nan}, true}, {[]float32{inf, 1}, true},
			{[]float32{-inf, 1, -inf}, false}, {[]float32{-1e30, -1e30}, false}, {[]float32{-math.MaxFloat32, 0}, false},
		} {
			dst := make([]float32, len(c.row))
			Softmax(level, dst, c.row, 1, len(c.row))
			sum := float32(0)
			for _, v := range dst {
				sum += v
			}
			if (sum != sum) != c.nans || !c.nans && math.Abs(float64(sum)-1) > 1e-6 {
				t.Errorf("%s: softmax of %v is %v", level, c.row, dst)
			}
		}
	}
}

// TestLargeOffsets: what all elements of a row share takes little from the rest.
func TestLargeOffsets(t *testing.T) {
	for _, n := range []int{7, 768, 100_003} {
		row, dst, gamma := make([]float32, n), make([]float32, n), make([]float32, n)
		for i := range row {
			row[i], gamma[i] = 4096+float32(i%5)/4, 1
		}
		mean, variance := 0.0, 0.0
		for _, v := range row {
			mean += float64(v) / float64(n)
		}
		for _, v := range row {
			variance += (float64(v) - mean) * (float64(v) - mean) / float64(n)
		}
		for _, level := range kernel.Levels() {
			LayerNorm(level, dst, row, 1, n, Norm{Gamma: gamma})
			for i, got := range dst {
				if want := (float64(row[i]) - mean) / math.Sqrt(variance); math.Abs(float64(got)-want) > 1e-3 {
					t.Fatalf("%s: element %d of %d is %g, expected %g", level, i, n, got, want)
				}
			}
		}
	}
}

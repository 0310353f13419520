package vec

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

var lengths = []int{1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 100, 127, 128, 129, 300, 5000}

func random(rng *rand.Rand, n int, scale float64) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = float32(rng.NormFloat64() * scale)
	}
	return s
}

// eachLength runs a check on three random rows of each length at each level.
func eachLength(t *testing.T, check func(level kernel.Level, src []float32, n int)) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, n := range lengths {
		src := random(rng, 3*n, 4)
		for _, level := range kernel.Levels() {
			check(level, src, n)
		}
	}
}

// near fails where got is further than bound from want, relative to scale.
func near(t *testing.T, what string, level kernel.Level, n int, got []float32, want []float64, bound, scale float64) {
	t.Helper()
	for i, w := range want {
		if e := math.Abs(float64(got[i])-w) / math.Max(scale, math.Abs(w)); !(e <= bound) {
			t.Errorf("%s, %v, rows of %d: element %d is %g, want %g", what, level, n, i, got[i], w)
			return
		}
	}
}

// softmax64 is the softmax of scale*src + mask.
func softmax64(src, mask []float32, scale float64) []float64 {
	out := make([]float64, len(src))
	top, sum := math.Inf(-1), 0.0
	for i, x := range src {
		out[i] = float64(x) * scale
		if mask != nil {
			out[i] += float64(mask[i])
		}
		top = math.Max(top, out[i])
	}
	for i := range out {
		out[i] = math.Exp(out[i] - top)
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

func TestSoftmax(t *testing.T) {
	eachLength(t, func(level kernel.Level, src []float32, n int) {
		mask := append([]float32{}, src[:n]...)
		if n > 2 {
			mask[1] = float32(math.Inf(-1))
		}
		plain, scaled, masked, logs := make([]float32, 3*n), make([]float32, 3*n), make([]float32, 3*n), make([]float32, 3*n)
		Softmax(level, plain, src, 3, n)
		SoftmaxMasked(level, scaled, src, 3, n, 0.125, nil)
		SoftmaxMasked(level, masked, src, 3, n, 0.125, mask)
		LogSoftmax(level, logs, src, 3, n)
		for r := range 3 {
			row := src[r*n : (r+1)*n]
			want := softmax64(row, nil, 1)
			near(t, "Softmax", level, n, plain[r*n:], want, 1e-6, 1e-3)
			near(t, "scaled", level, n, scaled[r*n:], softmax64(row, nil, 0.125), 1e-6, 1e-3)
			near(t, "masked", level, n, masked[r*n:], softmax64(row, mask, 0.125), 1e-6, 1e-3)
			for i := range want {
				want[i] = math.Log(want[i])
			}
			near(t, "LogSoftmax", level, n, logs[r*n:], want, 1e-6, 1)
		}
		same := append([]float32{}, src...)
		Softmax(level, same, same, 3, n)
		for i := range plain {
			if same[i] != plain[i] {
				t.Fatalf("%v, rows of %d: in place %g, else %g", level, n, same[i], plain[i])
			}
		}
	})
}

// TestSoftmaxColumns: a column gives what it gives as a row.
func TestSoftmaxColumns(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	for _, shape := range [][2]int{{1, 5}, {4, 1}, {7, 255}, {16, 256}, {3, 600}} {
		n, stride := shape[0], shape[1]
		src := random(rng, n*stride, 4)
		turned, want := make([]float32, n*stride), make([]float32, n*stride)
		Transpose2D(kernel.Portable, turned, n, src, stride, n, stride)
		for _, level := range kernel.Levels() {
			for _, logarithm := range []bool{false, true} {
				if logarithm {
					LogSoftmax(level, turned, turned, stride, n)
				} else {
					Softmax(level, turned, turned, stride, n)
				}
				Transpose2D(level, want, stride, turned, n, stride, n)
				got := append([]float32{}, src...)
				SoftmaxColumns(level, got, got, n, stride, logarithm)
				wide := make([]float64, len(want))
				for i, x := range want {
					wide[i] = float64(x)
				}
				near(t, "SoftmaxColumns", level, n, got, wide, 1e-6, 1)
				Transpose2D(level, turned, n, src, stride, n, stride)
			}
		}
	}
}

func TestSoftmaxOfSpecials(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, level := range kernel.Levels() {
		for _, src := range [][]float32{{1, nan, 2}, {1, inf, 2}, {-inf, -inf, -inf}} {
			Softmax(level, src, src, 1, 3)
			if src[1] == src[1] {
				t.Errorf("%v: %v", level, src)
			}
		}
		far := []float32{1e30, -1e30, 1e30, -inf}
		Softmax(level, far, far, 1, 4)
		if far[0] != 0.5 || far[1] != 0 || far[2] != 0.5 || far[3] != 0 {
			t.Errorf("%v: %v", level, far)
		}
	}
}

// layerNorm64 is the normalisation of a row, with its mean or around 0.
func layerNorm64(src []float32, by Norm, center bool) []float64 {
	mean, squares := 0.0, 0.0
	if center {
		for _, x := range src {
			mean += float64(x)
		}
		mean /= float64(len(src))
	}
	for _, x := range src {
		squares += (float64(x) - mean) * (float64(x) - mean)
	}
	factor := 1 / math.Sqrt(squares/float64(len(src))+float64(by.Epsilon))
	out := make([]float64, len(src))
	for i, x := range src {
		out[i] = (float64(x) - mean) * factor * float64(by.Gamma[i])
		if by.Beta != nil {
			out[i] += float64(by.Beta[i])
		}
	}
	return out
}

func TestNorms(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	eachLength(t, func(level kernel.Level, src []float32, n int) {
		b := random(rng, 3*n, 2)
		sum, total, dst := make([]float32, 3*n), make([]float32, 3*n), make([]float32, 3*n)
		for i := range sum {
			sum[i] = src[i] + b[i]
		}
		for _, by := range []Norm{
			{Gamma: random(rng, n, 1), Beta: random(rng, n, 1), Epsilon: 1e-5},
			{Gamma: random(rng, n, 1), Epsilon: 1e-3},
		} {
			check := func(what string, src []float32, center bool) {
				for r := range 3 {
					near(t, what, level, n, dst[r*n:], layerNorm64(src[r*n:(r+1)*n], by, center), 2e-6, 1)
				}
			}
			LayerNorm(level, dst, src, 3, n, by)
			check("LayerNorm", src, true)
			RMSNorm(level, dst, src, 3, n, by)
			check("RMSNorm", src, false)
			LayerNormAdd(level, dst, total, src, b, 3, n, by)
			check("LayerNormAdd", sum, true)
			RMSNormAdd(level, dst, dst, src, b, 3, n, by)
			check("RMSNormAdd", sum, false)
			for i := range sum {
				if total[i] != sum[i] {
					t.Fatalf("%v: sum %g, want %g", level, total[i], sum[i])
				}
			}
		}
	})
}

// TestLayerNormFarFromZero: a mean much larger than the deviation does not take
// the digits away.
func TestLayerNormFarFromZero(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	src := random(rng, 768, 1)
	by := Norm{Gamma: make([]float32, len(src))}
	for i := range src {
		src[i], by.Gamma[i] = src[i]+1000, 1
	}
	dst := make([]float32, len(src))
	for _, level := range kernel.Levels() {
		LayerNorm(level, dst, src, 1, len(src), by)
		near(t, "LayerNorm", level, len(src), dst, layerNorm64(src, by, true), 1e-4, 1)
	}
}

func TestReductions(t *testing.T) {
	eachLength(t, func(level kernel.Level, src []float32, n int) {
		got := make([]float32, 3)
		for _, c := range []struct {
			name string
			run  func(level kernel.Level, dst, src []float32, n int)
			want func(row []float32) float64
		}{
			{"Sum", Sum, func(row []float32) float64 { return sum64(row, func(x float64) float64 { return x }) }},
			{"SumOfSquares", SumOfSquares, func(row []float32) float64 { return sum64(row, func(x float64) float64 { return x * x }) }},
			{"Mean", Mean, func(row []float32) float64 {
				return sum64(row, func(x float64) float64 { return x }) / float64(len(row))
			}},
			{"MaxRow", MaxRow, func(row []float32) float64 { return float64(largestPortable(row)) }},
			{"MinRow", MinRow, func(row []float32) float64 { return float64(smallestPortable(row)) }},
		} {
			c.run(level, got, src, n)
			var want []float64
			scale := 0.0
			for r := range 3 {
				row := src[r*n : (r+1)*n]
				want = append(want, c.want(row))
				scale = math.Max(scale, sum64(row, math.Abs))
			}
			near(t, c.name, level, n, got, want, 3e-7, scale)
		}
		dot := Dot(level, src[:n], src[n:2*n])
		exact := 0.0
		for i := range n {
			exact += float64(src[i]) * float64(src[n+i])
		}
		near(t, "Dot", level, n, []float32{dot}, []float64{exact}, 3e-7, 16*float64(n))
	})
}

func sum64(row []float32, f func(x float64) float64) (sum float64) {
	for _, x := range row {
		sum += f(float64(x))
	}
	return sum
}

// TestLongSumsKeepTheirDigits: adding in one float32 would lose three of them.
func TestLongSumsKeepTheirDigits(t *testing.T) {
	src := make([]float32, 1<<20)
	for i := range src {
		src[i] = 0.1
	}
	got := make([]float32, 1)
	want := float64(len(src)) * float64(float32(0.1))
	for _, level := range kernel.Levels() {
		Sum(level, got, src, len(src))
		near(t, "Sum", level, len(src), got, []float64{want}, 2e-6, 1)
	}
}

func TestReductionsOfSpecials(t *testing.T) {
	nan := float32(math.NaN())
	got := make([]float32, 1)
	for _, level := range kernel.Levels() {
		for n := 1; n < 100; n++ {
			for at := range n {
				row := make([]float32, n)
				row[at] = nan
				MaxRow(level, got, row, n)
				if got[0] == got[0] {
					t.Fatalf("%v: largest of %d with NaN at %d is %g", level, n, at, got[0])
				}
				row[at] = -1
				MinRow(level, got, row, n)
				if got[0] != -1 {
					t.Fatalf("%v: smallest of %d with -1 at %d is %g", level, n, at, got[0])
				}
			}
		}
		MaxRow(level, got, nil, 0)
		if !math.IsInf(float64(got[0]), -1) {
			t.Errorf("%v: largest of none is %g", level, got[0])
		}
	}
}

func TestArgMax(t *testing.T) {
	nan := float32(math.NaN())
	got := make([]int64, 1)
	for _, level := range kernel.Levels() {
		for _, c := range []struct {
			row         []float32
			first, last int64
		}{
			{[]float32{1}, 0, 0},
			{[]float32{1, 3, 3, 2}, 1, 2},
			{[]float32{1, nan, 9, nan}, 1, 1},
			{append(make([]float32, 40), 1, 0, 1, 0), 40, 42},
		} {
			ArgMax(level, got, c.row, len(c.row), false)
			if got[0] != c.first {
				t.Errorf("%v: first largest of %v is %d", level, c.row, got[0])
			}
			ArgMax(level, got, c.row, len(c.row), true)
			if got[0] != c.last {
				t.Errorf("%v: last largest of %v is %d", level, c.row, got[0])
			}
			negative := make([]float32, len(c.row))
			Neg(level, negative, c.row)
			ArgMin(level, got, negative, len(c.row), false)
			if got[0] != c.first {
				t.Errorf("%v: first smallest of %v is %d", level, negative, got[0])
			}
		}
	}
}

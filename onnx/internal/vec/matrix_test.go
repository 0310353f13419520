package vec

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

func TestTranspose2D(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for range 300 {
		rows, cols := rng.IntN(40), rng.IntN(200)
		srcStride, dstStride := cols+rng.IntN(3), rows+rng.IntN(3)
		src := random(rng, rows*srcStride, 1)
		want := make([]float32, cols*dstStride)
		for r := range rows {
			for c := range cols {
				want[c*dstStride+r] = src[r*srcStride+c]
			}
		}
		for _, level := range kernel.Levels() {
			got := make([]float32, len(want))
			Transpose2D(level, got, dstStride, src, srcStride, rows, cols)
			if !slices.Equal(got, want) {
				t.Fatalf("%v: %d x %d, strides %d and %d", level, rows, cols, srcStride, dstStride)
			}
		}
	}
}

func TestColumns(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	for range 200 {
		rows, cols := 1+rng.IntN(30), rng.IntN(100)
		stride := cols + rng.IntN(3)
		src := random(rng, rows*stride, 1)
		sum, top, bottom := make([]float32, cols), make([]float32, cols), make([]float32, cols)
		for j := range cols {
			total := 0.0
			top[j], bottom[j] = float32(math.Inf(-1)), float32(math.Inf(1))
			for i := range rows {
				x := src[i*stride+j]
				total += float64(x)
				top[j], bottom[j] = max(top[j], x), min(bottom[j], x)
			}
			sum[j] = float32(total)
		}
		got := make([]float32, cols)
		for _, level := range kernel.Levels() {
			SumColumns(level, got, src, rows, stride)
			if !slices.Equal(got, sum) {
				t.Fatalf("%v: sums of %d x %d: %v, want %v", level, rows, cols, got, sum)
			}
			MaxColumns(level, got, src, rows, stride)
			if !slices.Equal(got, top) {
				t.Fatalf("%v: maxima of %d x %d: %v, want %v", level, rows, cols, got, top)
			}
			MinColumns(level, got, src, rows, stride)
			if !slices.Equal(got, bottom) {
				t.Fatalf("%v: minima of %d x %d: %v, want %v", level, rows, cols, got, bottom)
			}
		}
	}
}

func TestSumColumnsOfNoRows(t *testing.T) {
	got := []float32{1, 2}
	SumColumns(kernel.Best(), got, nil, 0, 2)
	if got[0] != 0 || got[1] != 0 {
		t.Errorf("%v", got)
	}
}

func TestFillAndGather(t *testing.T) {
	for _, n := range []int{0, 1, 15, 16, 17, 33, 1024, 5000} {
		dst := make([]int64, n)
		Fill(dst, 7)
		if slices.ContainsFunc(dst, func(x int64) bool { return x != 7 }) {
			t.Errorf("%d elements: %v", n, dst)
		}
	}
	src := []float32{0, 1, 2, 3, 4, 5, 6}
	dst := make([]float32, 3)
	Gather(dst, src, 3)
	if !slices.Equal(dst, []float32{0, 3, 6}) {
		t.Errorf("%v", dst)
	}
	Gather(dst, src[5:], 0)
	if !slices.Equal(dst, []float32{5, 5, 5}) {
		t.Errorf("%v", dst)
	}
	Gather(dst[:0], nil, 3)
}

package op

import (
	"math"
	"math/cmplx"
	"math/rand/v2"
	"testing"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// naiveDFT is the definition.
func naiveDFT(x []complex128, sign float64) []complex128 {
	out := make([]complex128, len(x))
	for k := range out {
		for i, v := range x {
			out[k] += v * cmplx.Rect(1, sign*2*math.Pi*float64(i*k%len(x))/float64(len(x)))
		}
	}
	return out
}

func parts(x []complex128) []float64 {
	var out []float64
	for _, v := range x {
		out = append(out, real(v), imag(v))
	}
	return out
}

// TestTransforms compares every length with the definition, and turns them back.
func TestTransforms(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for n := 1; n <= 40; n++ {
		x := make([]complex128, n)
		for i := range x {
			x[i] = complex(rng.NormFloat64(), rng.NormFloat64())
		}
		in := tensor.Of(parts(x), 1, int64(n), 2)
		spectrum := mustCompute(t, "DFT", newest, nil, in)
		holdsNear(t, spectrum, tensor.Of(parts(naiveDFT(x, -1)), 1, int64(n), 2), 1e-11)
		holdsNear(t, mustCompute(t, "DFT", newest, attrs{"inverse": 1}, spectrum), in, 1e-11)
		holdsNear(t, mustCompute(t, "DFT", 17, attrs{"axis": 1}, in), spectrum, 0)
	}
}

func TestRealTransforms(t *testing.T) {
	for _, n := range []int64{2, 4, 6, 16} {
		x := make([]float64, n)
		for i := range x {
			x[i] = math.Sin(float64(i*i)) + 1
		}
		in := tensor.Of(x, 1, n, 1)
		half := mustCompute(t, "DFT", newest, attrs{"onesided": 1}, in)
		whole := mustCompute(t, "DFT", newest, nil, in)
		holdsNear(t, half, numbered(t, tensor.Float64, []int64{1, n/2 + 1, 2}, asFloats(whole)[:n+2]...), 0)
		holdsNear(t, mustCompute(t, "DFT", newest, attrs{"onesided": 1, "inverse": 1}, half), in, 1e-12)
	}
}

// TestTransformsAlongAnyAxis: columns, with a length that cuts or fills.
func TestTransformsAlongAnyAxis(t *testing.T) {
	in := tensor.Of([]float64{1, 2, 3, 4, 5, 6}, 3, 2, 1)
	axis := tensor.Scalar[int64](0)
	for length, columns := range map[int64][2][]complex128{2: {{1, 3}, {2, 4}}, 4: {{1, 3, 5, 0}, {2, 4, 6, 0}}} {
		want := numbered(t, tensor.Float64, []int64{length, 2, 2}, make([]float64, length*4)...)
		for c, column := range columns {
			for k, v := range naiveDFT(column, -1) {
				copy(tensor.Data[float64](want)[(k*2+c)*2:], []float64{real(v), imag(v)})
			}
		}
		holdsNear(t, mustCompute(t, "DFT", newest, nil, in, tensor.Scalar(length), axis), want, 1e-12)
	}
	refused(t, "cannot be transformed", "DFT", newest, nil, 1, in, nil, tensor.Scalar[int64](2))
	refused(t, "cannot be transformed", "DFT", newest, nil, 1, in, nil, tensor.Scalar[int64](5))
	refused(t, "a transform of length 0", "DFT", newest, nil, 1, in, tensor.Scalar[int64](0))
	refused(t, "a transform of length", "DFT", newest, nil, 1, in, tensor.Scalar[int64](math.MaxInt64))
	refused(t, "not one number or two", "DFT", newest, nil, 1, tensor.Of([]float64{1, 2, 3}, 1, 3))
	refused(t, "before operator set 20", "DFT", 17, nil, 1, in, nil, axis)
}

func TestFrames(t *testing.T) {
	x := make([]float64, 9)
	for i := range x {
		x[i] = float64(i)
	}
	signal, step, window := tensor.Of(x, 1, 9, 1), tensor.Scalar[int64](3), tensor.List(1.0, 2, 1, 0)
	got := mustCompute(t, "STFT", newest, nil, signal, step, window)
	var want []float64
	for _, begin := range []float64{0, 3} {
		frame := naiveDFT([]complex128{complex(begin, 0), complex(2*begin+2, 0), complex(begin+2, 0), 0}, -1)
		want = append(want, parts(frame[:3])...)
	}
	holdsNear(t, got, numbered(t, tensor.Float64, []int64{1, 2, 3, 2}, want...), 1e-12)
	all := mustCompute(t, "STFT", newest, attrs{"onesided": 0}, signal, step, nil, tensor.Scalar[int64](4))
	if all.Shape[1] != 2 || all.Shape[2] != 4 {
		t.Errorf("shape %v", all.Shape)
	}
	refused(t, "at least 1 apart", "STFT", newest, nil, 1, signal, tensor.Scalar[int64](0), window)
	refused(t, "neither a window nor a frame length", "STFT", newest, nil, 1, signal, step)
	refused(t, "a frame has 10", "STFT", newest, nil, 1, signal, step, nil, tensor.Scalar[int64](10))
	refused(t, "a frame has 3", "STFT", newest, nil, 1, signal, step, window, tensor.Scalar[int64](3))
	refused(t, "expected frames of", "STFT", newest, nil, 1, signal, step, nil, tensor.Scalar[int64](-1))
	refused(t, "expected [batch length 1]", "STFT", newest, nil, 1, tensor.List(x...), step, window)
}

func TestEinsum(t *testing.T) {
	a, b := counted[float32](2, 3), counted[float32](3, 2)
	cube := counted[float32](2, 2, 3)
	eq := func(s string) attrs { return attrs{"equation": s} }
	for _, typ := range numberTypes() {
		x := numbered(t, typ, []int64{2, 2}, 1, 2, 3, 4)
		holdsNear(t, mustCompute(t, "Einsum", newest, eq("ij,jk"), x, x), numbered(t, typ, []int64{2, 2}, 7, 10, 15, 22), 0)
	}
	sameTensor(t, mustCompute(t, "Einsum", newest, eq("ij,jk->ik"), a, b), []int64{2, 2}, tensor.Data[float32](mustCompute(t, "MatMul", newest, nil, a, b)))
	sameTensor(t, mustCompute(t, "Einsum", newest, eq("ij -> ji"), a), []int64{3, 2}, []float32{0, 3, 1, 4, 2, 5})
	sameTensor(t, mustCompute(t, "Einsum", newest, eq("ij->"), a), []int64{}, []float32{15})
	sameTensor(t, mustCompute(t, "Einsum", newest, eq("ii->i"), counted[float32](3, 3)), []int64{3}, []float32{0, 4, 8})
	sameTensor(t, mustCompute(t, "Einsum", newest, eq("...ij,...jk->...ik"), cube, b), []int64{2, 2, 2}, []float32{10, 13, 28, 40, 46, 67, 64, 94})
	sameTensor(t, mustCompute(t, "Einsum", newest, eq("a...->..."), cube), []int64{2, 3}, []float32{6, 8, 10, 12, 14, 16})
	for s, want := range map[string]string{"ij,jk->iz": "index z", "ij,jk->ii": "index i", "i1,jk->": "not letters", "ij": "has 1 terms", "ijk,jk->i": "has rank 2",
		"ij,ij->i": "and"} {
		refused(t, want, "Einsum", newest, eq(s), 1, a, b)
	}
}

func TestDeterminants(t *testing.T) {
	in := tensor.Of([]float64{0, 2, 3, 4, 1, 2, 2, 4}, 2, 2, 2)
	holdsNear(t, mustCompute(t, "Det", newest, nil, in), tensor.List[float64](-6, 0), 1e-12)
	three := tensor.Of([]float64{2, 0, 1, 1, 3, 2, 1, 1, 4}, 3, 3)
	holdsNear(t, mustCompute(t, "Det", newest, nil, three), tensor.Scalar[float64](18), 1e-12)
	refused(t, "square matrices", "Det", newest, nil, 1, tensor.Of([]float64{1, 2}, 1, 2))
	refused(t, "expected matrices", "Det", newest, nil, 1, tensor.List[float64](1))
}

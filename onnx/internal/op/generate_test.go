package op

import (
	"math"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/tensor"
)

func TestRanges(t *testing.T) {
	for _, typ := range append(signedTypes(), floatTypes()...) {
		at := func(v float64) *tensor.Tensor { return numbered(t, typ, nil, v) }
		holdsNear(t, mustCompute(t, "Range", newest, nil, at(1), at(8), at(3)), rowOf(t, typ, 1, 4, 7), 0)
		holdsNear(t, mustCompute(t, "Range", newest, nil, at(3), at(-3), at(-2)), rowOf(t, typ, 3, 1, -1), 0)
		holdsNear(t, mustCompute(t, "Range", newest, nil, at(3), at(3), at(1)), rowOf(t, typ), 0)
		holdsNear(t, mustCompute(t, "Range", newest, nil, at(3), at(9), at(-1)), rowOf(t, typ), 0)
		refused(t, "never end", "Range", newest, nil, 1, at(0), at(1), at(0))
	}
	for _, c := range [][4]int64{{math.MinInt64, math.MaxInt64, 1, math.MaxInt64}, {math.MaxInt64, math.MinInt64, math.MinInt64, 2},
		{0, 10, 4, 3}, {10, 0, -5, 2}} {
		if n, err := countInts(c[0], c[1], c[2]); err != nil || n != c[3] {
			t.Errorf("%v: %d, %v", c, n, err)
		}
	}
	refused(t, "never ends", "Range", newest, nil, 1, tensor.Scalar(0.0), tensor.Scalar(math.Inf(1)), tensor.Scalar(1.0))
	refused(t, "never ends", "Range", newest, nil, 1, tensor.Scalar(0.0), tensor.Scalar(math.NaN()), tensor.Scalar(1.0))
}

func TestEyes(t *testing.T) {
	like := counted[float32](2, 3)
	sameTensor(t, mustCompute(t, "EyeLike", newest, nil, like), []int64{2, 3}, []float32{1, 0, 0, 0, 1, 0})
	sameTensor(t, mustCompute(t, "EyeLike", newest, attrs{"k": 2, "dtype": 6}, like), []int64{2, 3}, []int32{0, 0, 1, 0, 0, 0})
	sameTensor(t, mustCompute(t, "EyeLike", newest, attrs{"k": -1, "dtype": 9}, like), []int64{2, 3}, []bool{false, false, false, true, false, false})
	for _, k := range []int{math.MaxInt64, math.MinInt64} {
		sameTensor(t, mustCompute(t, "EyeLike", newest, attrs{"k": k}, like), []int64{2, 3}, make([]float32, 6))
	}
	refused(t, "expected a matrix", "EyeLike", newest, nil, 1, tensor.List[float32](1))
	refused(t, "are not numbers", "EyeLike", newest, attrs{"dtype": 8}, 1, like)
}

func TestWindows(t *testing.T) {
	five := tensor.Scalar[int64](5)
	for op, want := range map[string][]float32{"HannWindow": {0, 0.5, 1, 0.5, 0}, "HammingWindow": {0.0869565, 0.5434783, 1, 0.5434783, 0.0869565},
		"BlackmanWindow": {0, 0.34, 1, 0.34, 0}} {
		nearTensor(t, mustCompute(t, op, newest, attrs{"periodic": 0}, five), []int64{5}, want)
		nearTensor(t, mustCompute(t, op, newest, nil, tensor.Scalar[int32](4)), []int64{4}, want[:4])
		refused(t, "expected 0 or more", op, newest, nil, 1, tensor.Scalar[int64](-1))
		refused(t, "are not numbers", op, newest, attrs{"output_datatype": 8}, 1, five)
	}
}

func TestMelEdges(t *testing.T) {
	in := func(bands, length, rate int64, low, high float32) []*tensor.Tensor {
		return []*tensor.Tensor{tensor.Scalar(bands), tensor.Scalar(length), tensor.Scalar(rate), tensor.Scalar(low), tensor.Scalar(high)}
	}
	got := mustCompute(t, "MelWeightMatrix", newest, nil, in(2, 8, 16, 0, 8)...)
	sameTensor(t, got, []int64{5, 2}, []float32{0, 0, 1, 0, 0, 1, 0, 0, 0, 0})
	for _, bad := range [][]*tensor.Tensor{in(2, 8, 0, 0, 8), in(2, 8, 16, 0, 80), in(2, 8, 16, -900, 8)} {
		refused(t, "outside of the spectrum", "MelWeightMatrix", newest, nil, 1, bad...)
	}
	refused(t, "expected 0 or more bands", "MelWeightMatrix", newest, nil, 1, in(-1, 8, 16, 0, 8)...)
}

func TestLosses(t *testing.T) {
	logs := tensor.Of([]float32{-1, -2, -3, -4, -5, -6}, 2, 3)
	target, weights := tensor.List[int64](0, 2), tensor.List[float32](1, 1, 3)
	nearTensor(t, mustCompute(t, "NegativeLogLikelihoodLoss", newest, nil, logs, target), []int64{}, []float32{3.5})
	nearTensor(t, mustCompute(t, "NegativeLogLikelihoodLoss", newest, nil, logs, target, weights), []int64{}, []float32{19. / 4})
	nearTensor(t, mustCompute(t, "NegativeLogLikelihoodLoss", newest, attrs{"reduction": "sum"}, logs, target, weights), []int64{}, []float32{19})
	nearTensor(t, mustCompute(t, "NegativeLogLikelihoodLoss", newest, attrs{"reduction": "none", "ignore_index": -7}, logs, tensor.List[int32](1, -7)),
		[]int64{2}, []float32{2, 0})
	refused(t, "element 1 is not one of 3 classes", "NegativeLogLikelihoodLoss", newest, nil, 1, logs, tensor.List[int64](0, 3))
	refused(t, "element 0 is not one of 3 classes", "NegativeLogLikelihoodLoss", newest, nil, 1, logs, tensor.List[int64](-1, 0))
	refused(t, "expected [2]", "NegativeLogLikelihoodLoss", newest, nil, 1, logs, tensor.List[int64](0))
	refused(t, "input 2: has shape [], expected 3 elements", "NegativeLogLikelihoodLoss", newest, nil, 1, logs, target, tensor.Scalar[float32](1))
	out, err := compute("SoftmaxCrossEntropyLoss", newest, nil, 2, logs, target)
	if err != nil {
		t.Fatal(err)
	}
	e := math.E
	all := math.Log(1 + 1/e + 1/e/e)
	nearTensor(t, out[0], []int64{}, []float32{float32(all + 1)})
	nearTensor(t, out[1], []int64{2, 3}, []float32{float32(-all), float32(-all - 1), float32(-all - 2), float32(-all), float32(-all - 1), float32(-all - 2)})
}

// TestRandomNumbersAreNumpys: numpy.random.RandomState(0) draws these.
func TestRandomNumbersAreNumpys(t *testing.T) {
	s := newTwister(0)
	for _, want := range []float64{0.5488135039273248, 0.7151893663724195, 0.6027633760716439} {
		if got := s.Float64(); got != want {
			t.Errorf("%v, want %v", got, want)
		}
	}
	for range 2000 {
		s.Float64()
	}
	shape := attrs{"shape": []int64{4}, "seed": 0.0, "dtype": 11}
	holdsNear(t, mustCompute(t, "RandomNormal", newest, shape), tensor.List(1.764052345967664, 0.4001572083672233, 0.9787379841057392, 2.240893199201458), 1e-12)
	shape["low"], shape["high"] = 2.0, 4.0
	holdsNear(t, mustCompute(t, "RandomUniform", newest, shape), tensor.List(3.0976270078546495, 3.430378732744839, 3.2055267521432878, 3.0897663659937937), 1e-12)
}

func TestRandomNumbersWithoutASeedDiffer(t *testing.T) {
	like := counted[float32](50)
	for _, op := range []string{"RandomNormalLike", "RandomUniformLike"} {
		a, b := mustCompute(t, op, newest, nil, like), mustCompute(t, op, newest, nil, like)
		if slices.Equal(tensor.Data[float32](a), tensor.Data[float32](b)) {
			t.Errorf("%s draws the same twice", op)
		}
	}
	half := make([]float64, 64)
	for i := range half {
		half[i] = 0.5
	}
	a, b := mustCompute(t, "Bernoulli", newest, attrs{"dtype": 9}, tensor.List(half...)), mustCompute(t, "Bernoulli", newest, attrs{"dtype": 9}, tensor.List(half...))
	if slices.Equal(tensor.Data[bool](a), tensor.Data[bool](b)) {
		t.Error("Bernoulli draws the same twice")
	}
	refused(t, "cannot be drawn", "RandomNormal", newest, attrs{"shape": []int64{1}, "dtype": 7}, 1)
	refused(t, "negative", "RandomNormal", newest, attrs{"shape": []int64{-1}}, 1)
}

func TestDrawnClasses(t *testing.T) {
	rows := tensor.Of([]float32{0, -1000, -1000, -1000, -1000, 0}, 2, 3)
	sameTensor(t, mustCompute(t, "Multinomial", newest, attrs{"sample_size": 3}, rows), []int64{2, 3}, []int32{0, 0, 0, 2, 2, 2})
	refused(t, "at least one class", "Multinomial", newest, nil, 1, numbered(t, tensor.Float32, []int64{2, 0}))
	refused(t, "samples of type", "Multinomial", newest, attrs{"sample_size": -1}, 1, rows)
	certain := tensor.List[float32](0, 1)
	sameTensor(t, mustCompute(t, "Bernoulli", newest, nil, certain), []int64{2}, []float32{0, 1})
}

func TestDropout(t *testing.T) {
	x, half, yes := counted[float32](4), tensor.Scalar[float32](0.5), tensor.Scalar(true)
	sameTensor(t, mustCompute(t, "Dropout", newest, nil, x), []int64{4}, []float32{0, 1, 2, 3})
	out, err := compute("Dropout", newest, attrs{"seed": 0}, 2, x, half, yes)
	if err != nil {
		t.Fatal(err)
	}
	sameTensor(t, out[0], []int64{4}, []float32{0, 2, 4, 6}) // RandomState(0): all four are above 0.5
	sameTensor(t, out[1], []int64{4}, []bool{true, true, true, true})
	out, err = compute("Dropout", 7, nil, 2, x)
	if err != nil {
		t.Fatal(err)
	}
	sameTensor(t, out[1], []int64{4}, []float32{1, 1, 1, 1})
	refused(t, "less than 1", "Dropout", newest, nil, 1, x, tensor.Scalar[float32](1), yes)
	refused(t, "is for training", "Dropout", 6, nil, 1, x)
	refused(t, "before operator set 12", "Dropout", 11, nil, 2, x, half)
}

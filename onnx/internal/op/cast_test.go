package op

import (
	"math"
	"testing"

	"github.com/blindbox/blindbox/onnx/tensor"
)

func castTo(t *testing.T, to tensor.DataType, in *tensor.Tensor) *tensor.Tensor {
	t.Helper()
	return mustCompute(t, "Cast", newest, attrs{"to": int(to)}, in)
}

// TestCastsBetweenAllTypes: 0 and 1 are numbers of every type.
func TestCastsBetweenAllTypes(t *testing.T) {
	all := append(storedTypes(), tensor.Bool)
	for _, from := range all {
		for _, to := range all {
			one := castTo(t, to, rowOf(t, from, 1, 1))
			holdsNear(t, one, rowOf(t, to, 1, 1), 0)
			like := mustCompute(t, "CastLike", newest, nil, rowOf(t, from, 1, 1), rowOf(t, to, 1))
			holdsNear(t, like, one, 0)
		}
		text := castTo(t, tensor.String, rowOf(t, from, 1))
		sameTensor(t, text, []int64{1}, []string{"1"})
		holdsNear(t, castTo(t, from, text), rowOf(t, from, 1), 0)
	}
}

func TestCasts(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	sameTensor(t, castTo(t, tensor.Int8, tensor.List[int16](200, -129)), []int64{2}, []int8{-56, 127})
	sameTensor(t, castTo(t, tensor.Int64, tensor.List(1.9, -1.9, nan)), []int64{3}, []int64{1, -1, math.MinInt64})
	sameTensor(t, castTo(t, tensor.Uint8, tensor.List(-1.0, 300.0)), []int64{2}, []uint8{255, 44})
	sameTensor(t, castTo(t, tensor.Int4, tensor.List(7.0, 8.0, -9.0)), []int64{3}, []tensor.I4{7, -8, 7})
	sameTensor(t, castTo(t, tensor.Uint4, tensor.List(15.0, 16.0, -1.0)), []int64{3}, []tensor.U4{15, 0, 15})
	sameTensor(t, castTo(t, tensor.Int2, tensor.List(1.0, 2.0, -3.0)), []int64{3}, []tensor.I2{1, -2, 1})
	sameTensor(t, castTo(t, tensor.Uint2, tensor.List(3.0, 4.0)), []int64{2}, []tensor.U2{3, 0})
	sameTensor(t, castTo(t, tensor.Bool, tensor.List(0.5, 0, nan)), []int64{3}, []bool{true, false, true})
	sameTensor(t, castTo(t, tensor.Uint64, tensor.List[uint64](math.MaxUint64)), []int64{1}, []uint64{math.MaxUint64})
	sameTensor(t, castTo(t, tensor.Int64, tensor.List[uint64](math.MaxUint64)), []int64{1}, []int64{-1})
	sameTensor(t, castTo(t, tensor.Float16, tensor.List(1e6, inf)), []int64{2}, []tensor.F16{0x7c00, 0x7c00})
}

func TestCastsThatSaturate(t *testing.T) {
	in := tensor.List[float32](1e6)
	for to, want := range map[tensor.DataType][2]float64{tensor.Float8E4M3FN: {448, math.NaN()}, tensor.Float8E4M3FNUZ: {240, math.NaN()},
		tensor.Float8E5M2: {57344, math.Inf(1)}, tensor.Float8E5M2FNUZ: {57344, math.NaN()}} {
		for i, saturate := range []int{1, 0} {
			got := mustCompute(t, "Cast", newest, attrs{"to": int(to), "saturate": saturate}, in)
			holdsNear(t, castTo(t, tensor.Float64, got), tensor.List(want[i]), 0)
		}
	}
	for mode, want := range map[string]float32{"up": 4, "down": 2, "nearest": 2} {
		got := mustCompute(t, "Cast", newest, attrs{"to": int(tensor.Float8E8M0), "round_mode": mode}, tensor.List[float32](2.5))
		holdsNear(t, castTo(t, tensor.Float32, got), tensor.List(want), 0)
	}
}

func TestNumbersAsText(t *testing.T) {
	sameTensor(t, castTo(t, tensor.String, tensor.List[float32](0.1, -2.5, 1e-5, 1e20, 100)), []int64{5}, []string{"0.1", "-2.5", "1e-05", "1e+20", "100"})
	sameTensor(t, castTo(t, tensor.String, tensor.List(math.NaN(), math.Inf(1), math.Inf(-1), 0.1)), []int64{4}, []string{"NaN", "INF", "-INF", "0.1"})
	sameTensor(t, castTo(t, tensor.String, tensor.List[int64](math.MinInt64)), []int64{1}, []string{"-9223372036854775808"})
	sameTensor(t, castTo(t, tensor.Float32, tensor.List("3.14", "1E8", "+INF", "-inf")), []int64{4},
		[]float32{3.14, 1e8, float32(math.Inf(1)), float32(math.Inf(-1))})
	sameTensor(t, castTo(t, tensor.Int64, tensor.List("-9223372036854775808", "100.5")), []int64{2}, []int64{math.MinInt64, 100})
	refused(t, `element 1 is "Hello"`, "Cast", newest, attrs{"to": 1}, 1, tensor.List("1", "Hello"))
}

func TestCastRefuses(t *testing.T) {
	one := tensor.List[float32](1)
	refused(t, `attribute "to" is required`, "Cast", newest, nil, 1, one)
	refused(t, "no type to cast to", "Cast", newest, attrs{"to": int(tensor.Complex64)}, 1, one)
	refused(t, "no type to cast to", "Cast", newest, attrs{"to": 99}, 1, one)
	refused(t, "cannot be cast", "Cast", newest, attrs{"to": 1}, 1, tensor.List[complex64](1))
	refused(t, "is not known", "Cast", 13, attrs{"to": 1, "saturate": 1}, 1, one)
	sameTensor(t, mustCompute(t, "Cast", 1, attrs{"to": "DOUBLE"}, one), []int64{1}, []float64{1})
	refused(t, "no type to cast to", "Cast", 1, attrs{"to": "NONE"}, 1, one)
}

package op

import (
	"math"
	"testing"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// TestFloatFunctions holds every function of floats to itself in another precision, and
// the results for some numbers to known ones.
func TestFloatFunctions(t *testing.T) {
	for name, f := range floatFunctions() {
		for _, typ := range floatTypes() {
			in := rowOf(t, typ, 0.25, 0.5, 1, 1.5, -0.5)
			want := asFloats(in)
			for i, x := range want {
				want[i] = f(x)
			}
			tolerance := map[tensor.DataType]float64{tensor.Float64: 0, tensor.Float32: 1e-6, tensor.Float16: 1e-3, tensor.BFloat16: 1e-2}[typ]
			holdsNear(t, mustCompute(t, name, newest, nil, in), rowOf(t, typ, want...), tolerance)
		}
		refused(t, "expected float32 or", name, newest, nil, 1, tensor.List[int64](1))
	}
	for _, c := range []struct {
		op      string
		x, want float64
	}{
		{"Round", 2.5, 2}, {"Round", -1.5, -2}, {"Softplus", 1000, 1000}, {"Softplus", -1000, 0}, {"Sigmoid", -1000, 0}, {"Mish", 1, 0.86509838},
		{"HardSwish", 4, 4}, {"HardSwish", -4, 0}, {"Softsign", -3, -0.75}, {"Log", 0, math.Inf(-1)}, {"Erf", 0.5, 0.5204999},
	} {
		holdsNear(t, mustCompute(t, c.op, newest, nil, tensor.List(c.x)), tensor.List(c.want), 1e-7)
	}
}

func TestSignedFunctions(t *testing.T) {
	for _, typ := range append(signedTypes(), floatTypes()...) {
		in := rowOf(t, typ, -3, 0, 5)
		for op, want := range map[string][]float64{"Abs": {3, 0, 5}, "Neg": {3, 0, -5}, "Sign": {-1, 0, 1}, "Relu": {0, 0, 5}} {
			holdsNear(t, mustCompute(t, op, newest, nil, in), rowOf(t, typ, want...), 0)
		}
	}
	for _, typ := range unsignedTypes() {
		in := rowOf(t, typ, 0, 5)
		holdsNear(t, mustCompute(t, "Abs", newest, nil, in), in, 0)
		holdsNear(t, mustCompute(t, "Sign", newest, nil, in), rowOf(t, typ, 0, 1), 0)
		refused(t, "is "+typ.String(), "Neg", newest, nil, 1, in)
	}
	sameTensor(t, mustCompute(t, "Abs", newest, nil, tensor.List[int64](math.MinInt64)), []int64{1}, []int64{math.MinInt64})
}

func TestQuestionsAboutFloats(t *testing.T) {
	for _, typ := range floatTypes() {
		in := rowOf(t, typ, 1, math.NaN(), math.Inf(1), math.Inf(-1))
		sameTensor(t, mustCompute(t, "IsNaN", newest, nil, in), []int64{4}, []bool{false, true, false, false})
		sameTensor(t, mustCompute(t, "IsInf", newest, nil, in), []int64{4}, []bool{false, false, true, true})
		sameTensor(t, mustCompute(t, "IsInf", newest, attrs{"detect_negative": 0}, in), []int64{4}, []bool{false, false, true, false})
		sameTensor(t, mustCompute(t, "IsInf", newest, attrs{"detect_positive": 0}, in), []int64{4}, []bool{false, false, false, true})
	}
	sameTensor(t, mustCompute(t, "Not", newest, nil, tensor.List(true, false)), []int64{2}, []bool{false, true})
	refused(t, "is int64", "IsNaN", newest, nil, 1, tensor.List[int64](1))
	refused(t, "is float32", "Not", newest, nil, 1, tensor.List[float32](1))
}

// TestOldHints: the first operator sets had an attribute about memory.
func TestOldHints(t *testing.T) {
	hint := attrs{"consumed_inputs": []int64{0}}
	sameTensor(t, mustCompute(t, "Relu", 1, hint, tensor.List[float32](-1, 1)), []int64{2}, []float32{0, 1})
	sameTensor(t, mustCompute(t, "Sum", 1, hint, tensor.List[float32](-1, 1)), []int64{2}, []float32{-1, 1})
	refused(t, "is not known", "Relu", 6, hint, 1, tensor.List[float32](1))
}

func TestActivations(t *testing.T) {
	in := tensor.List[float64](-2, -0.5, 0, 0.5, 2)
	for _, c := range []struct {
		op   string
		at   attrs
		want []float64
	}{
		{"LeakyRelu", nil, []float64{-0.02, -0.005, 0, 0.5, 2}},
		{"LeakyRelu", attrs{"alpha": 0.5}, []float64{-1, -0.25, 0, 0.5, 2}},
		{"Elu", attrs{"alpha": 2.0}, []float64{-1.7293294, -0.7869387, 0, 0.5, 2}},
		{"Celu", attrs{"alpha": 2.0}, []float64{-1.2642411, -0.4423984, 0, 0.5, 2}},
		{"Selu", nil, []float64{-1.5201665, -0.6917582, 0, 0.5253505, 2.101402}},
		{"HardSigmoid", nil, []float64{0.1, 0.4, 0.5, 0.6, 0.9}},
		{"ThresholdedRelu", attrs{"alpha": 0.5}, []float64{0, 0, 0, 0, 2}},
		{"Gelu", nil, []float64{-0.0455003, -0.1542688, 0, 0.3457312, 1.9544997}},
		{"Gelu", attrs{"approximate": "tanh"}, []float64{-0.0454023, -0.154286, 0, 0.345714, 1.9545977}},
		{"Swish", attrs{"alpha": 2.0}, []float64{-0.0359724, -0.1344707, 0, 0.3655293, 1.9640276}},
		{"Shrink", attrs{"bias": 0.25, "lambd": 1.0}, []float64{-1.75, 0, 0, 0, 1.75}},
	} {
		holdsNear(t, mustCompute(t, c.op, newest, c.at, in), tensor.List(c.want...), 1e-6)
	}
	refused(t, "expected one of", "Gelu", newest, attrs{"approximate": "other"}, 1, in)
	sameTensor(t, mustCompute(t, "Shrink", newest, attrs{"bias": 1.0, "lambd": 1.5}, tensor.List[int8](-3, 1, 3)), []int64{3}, []int8{-2, 0, 2})
}

func TestClipTypes(t *testing.T) {
	for _, typ := range numberTypes() {
		in := rowOf(t, typ, 1, 5, 9)
		low, high := numbered(t, typ, nil, 2), numbered(t, typ, []int64{1}, 6)
		holdsNear(t, mustCompute(t, "Clip", newest, nil, in, low, high), rowOf(t, typ, 2, 5, 6), 0)
		holdsNear(t, mustCompute(t, "Clip", newest, nil, in, nil, high), rowOf(t, typ, 1, 5, 6), 0)
		holdsNear(t, mustCompute(t, "Clip", newest, nil, in, low), rowOf(t, typ, 2, 5, 9), 0)
		holdsNear(t, mustCompute(t, "Clip", newest, nil, in, high, low), rowOf(t, typ, 2, 2, 2), 0)
	}
	in := tensor.List[float32](-3, 0, 3)
	sameTensor(t, mustCompute(t, "Clip", 6, attrs{"min": -1.0, "max": 1.0}, in), []int64{3}, []float32{-1, 0, 1})
	refused(t, "before operator set 11", "Clip", 6, nil, 1, in, in)
	refused(t, "expected a scalar", "Clip", newest, nil, 1, in, in)
}

func TestSlopes(t *testing.T) {
	x := tensor.Of([]float32{-1, 2, -3, -4}, 1, 2, 2)
	sameTensor(t, mustCompute(t, "PRelu", newest, nil, x, tensor.List[float32](2, 3)), []int64{1, 2, 2}, []float32{-2, 2, -6, -12})
	sameTensor(t, mustCompute(t, "PRelu", 6, nil, x, tensor.List[float32](2, 3)), []int64{1, 2, 2}, []float32{-2, 2, -9, -12}) // one a channel
	sameTensor(t, mustCompute(t, "PRelu", newest, nil, tensor.List[int32](-2, 2), tensor.List[int32](3)), []int64{2}, []int32{-6, 2})
	refused(t, "does not broadcast", "PRelu", newest, nil, 1, x, tensor.List[float32](1, 2, 3))
}

package op

import (
	"math"
	"testing"

	"github.com/blindbox/blindbox/onnx/tensor"
)

func TestCausalConvolution(t *testing.T) {
	x := make([]float32, 12)
	for i := range x {
		x[i] = float32(math.Sin(float64(i * i)))
	}
	line := tensor.Of(x[:6], 1, 2, 3)
	kernel, bias := tensor.Of([]float32{1, 2, 3, 4}, 2, 1, 2), tensor.List[float32](10, 20)
	out, err := compute("CausalConvWithState", newest+1, nil, 2, line, kernel, bias)
	if err != nil {
		t.Fatal(err)
	}
	holdsNear(t, out[0], tensor.Of([]float32{10 + 2*x[0], 10 + x[0] + 2*x[1], 10 + x[1] + 2*x[2],
		20 + 4*x[3], 20 + 3*x[3] + 4*x[4], 20 + 3*x[4] + 4*x[5]}, 1, 2, 3), 1e-6)
	sameTensor(t, out[1], []int64{1, 2, 1}, []float32{x[2], x[5]})
}

func TestStatesRefuse(t *testing.T) {
	f := func(shape ...int64) *tensor.Tensor { return counted[float32](shape...) }
	refused(t, "expected [3 1 2]", "CausalConvWithState", 27, nil, 2, f(1, 3, 4), f(2, 1, 2))
	refused(t, "has shape [3 1 0]", "CausalConvWithState", 27, nil, 2, f(1, 3, 4), f(3, 1, 0))
	refused(t, "expected [1 3 1]", "CausalConvWithState", 27, nil, 2, f(1, 3, 4), f(3, 1, 2), nil, f(1, 3, 2))
}

func TestShiftsOfSignedIntegers(t *testing.T) {
	x, by := tensor.List[int8](-128, 64, 5, -1, 5), tensor.List[int8](1, 1, -1, 100, 8)
	sameTensor(t, mustCompute(t, "BitShift", 28, attrs{"direction": "LEFT"}, x, by), []int64{5}, []int8{0, -128, 0, 0, 0})
	sameTensor(t, mustCompute(t, "BitShift", 28, attrs{"direction": "RIGHT"}, x, by), []int64{5}, []int8{-64, 32, 0, -1, 0})
	refused(t, "is int8", "BitShift", 27, attrs{"direction": "LEFT"}, 1, x, by)
}

func TestGatedSwish(t *testing.T) {
	a, b := tensor.List[float64](0, 2), tensor.List[float64](3, 0.5)
	holdsNear(t, mustCompute(t, "SwiGLU", 28, nil, a, b), tensor.List(0, 0.8807970779778823), 1e-12)
	refused(t, "expected [2]", "SwiGLU", 28, nil, 1, a, tensor.List[float64](1))
}

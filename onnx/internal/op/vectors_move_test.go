package op

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/narrow"
	"github.com/blindbox/blindbox/onnx/tensor"
)

func TestActivationsAgreeWithFloat64(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	x := noise(rng, 3, 70)
	for _, c := range []struct {
		op string
		at attrs
	}{
		{"LeakyRelu", attrs{"alpha": 0.3}}, {"Elu", attrs{"alpha": 0.3}}, {"HardSigmoid", attrs{"alpha": 0.3, "beta": 0.4}},
		{"Gelu", nil}, {"Gelu", attrs{"approximate": "tanh"}}, {"Swish", nil}, {"Swish", attrs{"alpha": 0.3}},
	} {
		onEachLevelWith(t, c.op, c.at, inFloat64With(t, c.op, c.at, x), x)
	}
	low, high := tensor.Scalar(float32(-0.3)), tensor.Scalar(float32(0.2))
	for _, in := range [][]*tensor.Tensor{{x}, {x, low}, {x, nil, high}, {x, low, high}} {
		onEachLevel(t, "Clip", inFloat64(t, "Clip", in...), in...)
	}
}

// permutations are all orders of 0 to n-1.
func permutations(n int) [][]int64 {
	if n == 0 {
		return [][]int64{{}}
	}
	var all [][]int64
	for _, p := range permutations(n - 1) {
		for i := range n {
			all = append(all, slices.Insert(slices.Clone(p), i, int64(n-1)))
		}
	}
	return all
}

// TestTransposedVectors: float32 moves as int32 does, which has no loops of its own.
func TestTransposedVectors(t *testing.T) {
	for _, shape := range [][]int64{{9, 17}, {3, 8, 20}, {2, 5, 1, 6}, {2, 3, 16, 8}, {300, 300}} {
		x, ints := counted[float32](shape...), counted[int32](shape...)
		for _, perm := range permutations(len(shape)) {
			want := mustCompute(t, "Transpose", newest, attrs{"perm": perm}, ints)
			floats := make([]float32, want.Len())
			for i, v := range tensor.Data[int32](want) {
				floats[i] = float32(v)
			}
			onEachLevelWith(t, "Transpose", attrs{"perm": perm}, tensor.Of(floats, want.Shape...), x)
		}
	}
}

// TestCastVectors: each element is what a cast of it alone gives.
func TestCastVectors(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	x := noise(rng, 1000)
	halves, shorts := make([]tensor.F16, x.Len()), make([]tensor.BF16, x.Len())
	longs, ints := make([]int64, x.Len()), make([]int32, x.Len())
	for i, v := range tensor.Data[float32](x) {
		halves[i], shorts[i] = narrow.F16FromFloat32(v), narrow.BF16FromFloat32(v)
		longs[i], ints[i] = int64(v*(1<<40)), int32(v*(1<<28))
	}
	for _, level := range kernel.Levels() {
		to := func(want tensor.DataType, v *tensor.Tensor) *tensor.Tensor {
			out, err := computeOn(&kernel.On{Context: t.Context(), Level: level, Threads: 2}, "Cast", 13, attrs{"to": int(want)}, 1, v)
			if err != nil {
				t.Fatal(err)
			}
			return out[0]
		}
		sameTensor(t, to(tensor.Float16, x), x.Shape, halves)
		sameTensor(t, to(tensor.BFloat16, x), x.Shape, shorts)
		sameTensor(t, to(tensor.Float16, to(tensor.Float32, tensor.Of(halves, 1000))), x.Shape, halves)
		sameTensor(t, to(tensor.BFloat16, to(tensor.Float32, tensor.Of(shorts, 1000))), x.Shape, shorts)
		for i, v := range tensor.Data[float32](to(tensor.Float32, tensor.Of(longs, 1000))) {
			if v != float32(longs[i]) {
				t.Fatalf("%v: %d becomes %g", level, longs[i], v)
			}
		}
		for i, v := range tensor.Data[float32](to(tensor.Float32, tensor.Of(ints, 1000))) {
			if v != float32(ints[i]) {
				t.Fatalf("%v: %d becomes %g", level, ints[i], v)
			}
		}
	}
}

package op

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// onEachLevel computes with every kind of instructions, on one thread and on three.
// How exact the loops are is tested in package vec.
func onEachLevel(t *testing.T, op string, want *tensor.Tensor, in ...*tensor.Tensor) {
	t.Helper()
	onEachLevelWith(t, op, nil, want, in...)
}

func onEachLevelWith(t *testing.T, op string, at attrs, want *tensor.Tensor, in ...*tensor.Tensor) {
	t.Helper()
	for _, level := range kernel.Levels() {
		for _, threads := range []int{1, 3} {
			on := &kernel.On{Context: t.Context(), Level: level, Threads: threads}
			out, err := computeOn(on, op, newest, at, 1, in...)
			if err != nil {
				t.Fatalf("%s, %v: %v", op, level, err)
			}
			nearTensor(t, out[0], want.Shape, tensor.Data[float32](want))
		}
	}
}

// inFloat64 is what an operator gives for the same numbers as float64.
func inFloat64(t *testing.T, op string, in ...*tensor.Tensor) *tensor.Tensor {
	t.Helper()
	return inFloat64With(t, op, nil, in...)
}

func inFloat64With(t *testing.T, op string, at attrs, in ...*tensor.Tensor) *tensor.Tensor {
	t.Helper()
	wide := make([]*tensor.Tensor, len(in))
	for i, v := range in {
		if wide[i] = v; v == nil || v.Type != tensor.Float32 {
			continue
		}
		data := make([]float64, v.Len())
		for j, x := range tensor.Data[float32](v) {
			data[j] = float64(x)
		}
		wide[i] = tensor.Of(data, v.Shape...)
	}
	out := mustCompute(t, op, newest, at, wide...)
	data := make([]float32, out.Len())
	for i, x := range tensor.Data[float64](out) {
		data[i] = float32(x)
	}
	return tensor.Of(data, out.Shape...)
}

func TestVectorsAgreeWithFloat64(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	x := noise(rng, 3, 7, 1501)
	for i, v := range tensor.Data[float32](x) {
		tensor.Data[float32](x)[i] = float32(math.Abs(float64(v))) + 0.1 // what logarithms and roots take
	}
	for op := range vectors() {
		onEachLevel(t, op, inFloat64(t, op, x), x)
	}
	for _, op := range []string{"Neg", "Abs", "Relu", "Tanh", "Erf", "Sigmoid", "Round"} {
		y := noise(rng, 40)
		onEachLevel(t, op, inFloat64(t, op, y), y)
	}
}

func TestVectorPairsBroadcast(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for op := range vectorPairs() {
		for _, shapes := range [][2][]int64{
			{{3, 17000}, {3, 17000}}, {{2, 3, 40}, {40}}, {{40}, {2, 3, 40}}, {{2, 3, 40}, {3, 1}}, {{2, 3, 1}, {3, 40}},
			{{2, 3, 40}, {}}, {{}, {2, 3, 40}}, {{5, 1}, {1, 6}}, {{1}, {1}}, {{2, 1, 4}, {1, 3, 4}}, {{0, 3}, {3}},
		} {
			a, b := noise(rng, shapes[0]...), noise(rng, shapes[1]...)
			onEachLevel(t, op, inFloat64(t, op, a, b), a, b)
		}
	}
}

func TestManyOperandsAsVectors(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	in := []*tensor.Tensor{noise(rng, 5), noise(rng, 4, 1), noise(rng, 3, 4, 5)}
	for _, op := range []string{"Max", "Min", "Sum", "Mean"} {
		onEachLevel(t, op, inFloat64(t, op, in...), in...)
	}
}

// TestUsualPowers: squares have a loop of their own.
func TestUsualPowers(t *testing.T) {
	x := tensor.Of([]float32{0.25, 2, 9}, 3)
	for _, shape := range [][]int64{{}, {1}, {1, 1}} {
		want := []int64{3}
		if len(shape) == 2 {
			want = []int64{1, 3}
		}
		for exponent, powers := range map[float32][]float32{2: {0.0625, 4, 81}, 0.5: {0.5, float32(math.Sqrt2), 3}, 3: {0.015625, 8, 729}} {
			nearTensor(t, mustCompute(t, "Pow", newest, nil, x, tensor.Of([]float32{exponent}, shape...)), want, powers)
		}
	}
}

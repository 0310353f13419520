package op

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// TestReductionsAgreeWithFloat64: all sets of axes, beside each other or not.
func TestReductionsAgreeWithFloat64(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for op := range vectorReductions() {
		for _, shape := range [][]int64{{3, 4, 5}, {2, 1, 33, 70}, {1, 1}, {5}} {
			x := noise(rng, shape...)
			for set := range 1 << len(shape) {
				axes := []int64{}
				for i := range shape {
					if set>>i&1 == 1 {
						axes = append(axes, int64(i))
					}
				}
				at, over := attrs{"noop_with_empty_axes": 1}, tensor.Of(axes, int64(len(axes)))
				onEachLevelWith(t, op, at, inFloat64With(t, op, at, x, over), x, over)
			}
		}
	}
}

// TestNormsAgreeWithFloat64: with and without summands, and with all results.
func TestNormsAgreeWithFloat64(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	x, scale, bias := noise(rng, 3, 5, 40), noise(rng, 40), noise(rng, 40)
	for _, in := range [][]*tensor.Tensor{{x, scale, bias}, {x, scale}, {x, noise(rng, 1), bias}, {x, scale, noise(rng, 1)}} {
		onEachLevel(t, "LayerNormalization", inFloat64(t, "LayerNormalization", in...), in...)
		if len(in) == 2 {
			onEachLevel(t, "RMSNormalization", inFloat64(t, "RMSNormalization", in...), in...)
		}
	}
	var all [][]*tensor.Tensor
	for _, level := range []kernel.Level{kernel.Portable, kernel.Best()} {
		// A scale that has to be repeated goes the general way.
		for _, s := range []*tensor.Tensor{tensor.Of([]float32{2}, 1), tensor.Of(slices.Repeat([]float32{2}, 200), 5, 40)} {
			out, err := computeOn(&kernel.On{Context: t.Context(), Level: level}, "LayerNormalization", newest, attrs{"axis": 1}, 3, x, s)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, out)
		}
	}
	for _, out := range all[1:] {
		for i, v := range out {
			nearTensor(t, v, all[0][i].Shape, tensor.Data[float32](all[0][i]))
		}
	}
}

func TestSoftmaxAgreesWithFloat64(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	x := noise(rng, 3, 5, 40)
	for _, op := range []string{"Softmax", "LogSoftmax"} {
		for axis := range 3 {
			at := attrs{"axis": axis}
			onEachLevelWith(t, op, at, inFloat64With(t, op, at, x), x)
		}
	}
}

// TestArgAsVectors: the first or the last of equal elements.
func TestArgAsVectors(t *testing.T) {
	x := tensor.Of([]float32{1, 3, 3, 2, 0, -1, 0, -1}, 2, 4)
	for _, c := range []struct {
		op   string
		last int
		want []int64
	}{
		{"ArgMax", 0, []int64{1, 0}}, {"ArgMax", 1, []int64{2, 2}}, {"ArgMin", 0, []int64{0, 1}}, {"ArgMin", 1, []int64{0, 3}},
	} {
		at := attrs{"axis": 1, "keepdims": 0, "select_last_index": c.last}
		sameTensor(t, mustCompute(t, c.op, newest, at, x), []int64{2}, c.want)
	}
}

func TestMatrices(t *testing.T) {
	for _, c := range []struct {
		shape []int64
		set   []bool
		want  string
	}{
		{[]int64{2, 3, 4}, []bool{false, false, true}, "{6 4 1} true"},
		{[]int64{2, 3, 4}, []bool{false, true, false}, "{2 3 4} true"},
		{[]int64{2, 3, 4}, []bool{true, true, false}, "{1 6 4} true"},
		{[]int64{2, 1, 4}, []bool{true, false, true}, "{1 8 1} true"},
		{[]int64{2, 3, 4}, []bool{true, false, true}, "{1 2 3} false"},
		{[]int64{}, []bool{}, "{1 1 1} true"},
	} {
		l, ok := matrices(c.shape, c.set)
		if got := fmt.Sprint(l, ok); got != c.want {
			t.Errorf("%v, %v: %s, want %s", c.shape, c.set, got, c.want)
		}
	}
}

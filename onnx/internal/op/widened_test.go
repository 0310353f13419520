package op

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// TestLayersOf16Bits: the layers give what those of float32 give for the same numbers,
// rounded once.
func TestLayersOf16Bits(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	layers := map[string]struct {
		op      string
		at      attrs
		outputs int
		in      []*tensor.Tensor
	}{
		"Conv":          {"Conv", nil, 1, []*tensor.Tensor{noise(rng, 1, 3, 7, 7), noise(rng, 5, 3, 3, 3), noise(rng, 5)}},
		"ConvTranspose": {"ConvTranspose", attrs{"strides": []int64{2, 2}}, 1, []*tensor.Tensor{noise(rng, 1, 3, 5, 5), noise(rng, 3, 4, 3, 3)}},
		"pool":          {"GlobalAveragePool", nil, 1, []*tensor.Tensor{noise(rng, 2, 3, 7, 7)}},
		"maximum":       {"MaxPool", attrs{"kernel_shape": []int64{2, 2}}, 1, []*tensor.Tensor{noise(rng, 1, 3, 5, 5)}},
		"product":       {"MatMul", nil, 1, []*tensor.Tensor{noise(rng, 2, 5, 70), noise(rng, 70, 9)}},
		"Gemm":          {"Gemm", attrs{"alpha": 0.5, "transB": 1}, 1, []*tensor.Tensor{noise(rng, 5, 70), noise(rng, 9, 70), noise(rng, 9)}},
		"RNN":           {"RNN", attrs{"hidden_size": 4}, 2, []*tensor.Tensor{noise(rng, 3, 2, 5), noise(rng, 1, 4, 5), noise(rng, 1, 4, 4)}},
		"GRU":           {"GRU", attrs{"hidden_size": 4}, 2, []*tensor.Tensor{noise(rng, 3, 2, 5), noise(rng, 1, 12, 5), noise(rng, 1, 12, 4)}},
		"LSTM": {"LSTM", attrs{"hidden_size": 4}, 3, []*tensor.Tensor{noise(rng, 3, 2, 5), noise(rng, 1, 16, 5), noise(rng, 1, 16, 4),
			noise(rng, 1, 32), tensor.List[int32](3, 1), noise(rng, 1, 2, 4), noise(rng, 1, 2, 4), noise(rng, 1, 12)}},
	}
	for _, typ := range []tensor.DataType{tensor.Float16, tensor.BFloat16} {
		cast := func(v *tensor.Tensor, to tensor.DataType) *tensor.Tensor {
			if v.Type == tensor.Int32 {
				return v
			}
			return mustCompute(t, "Cast", 13, attrs{"to": int(to)}, v)
		}
		for name, c := range layers {
			var short, wide []*tensor.Tensor
			for _, v := range c.in {
				s := cast(v, typ)
				short, wide = append(short, s), append(wide, cast(s, tensor.Float32))
			}
			want, err := compute(c.op, 14, c.at, c.outputs, wide...)
			if err != nil {
				t.Fatal(err)
			}
			got, err := compute(c.op, 14, c.at, c.outputs, short...)
			if err != nil {
				t.Fatalf("%s of %s: %v", name, typ, err)
			}
			for i := range want {
				if got[i].Type != typ {
					t.Errorf("%s of %s gives %s", name, typ, got[i].Type)
				}
				nearTensor(t, cast(got[i], tensor.Float32), want[i].Shape, tensor.Data[float32](cast(cast(want[i], typ), tensor.Float32)))
			}
		}
	}
}

// TestLayersOfOneType: no operand may be of another one.
func TestLayersOfOneType(t *testing.T) {
	x := tensor.Of(make([]tensor.F16, 9), 1, 1, 3, 3)
	if _, err := compute("Conv", 14, nil, 1, x, allOnes(1, 1, 2, 2)); err == nil || !strings.Contains(err.Error(), "is float32, expected float16") {
		t.Errorf("got %v", err)
	}
}

package op

import (
	"math"
	"testing"

	"github.com/blindbox/blindbox/onnx/tensor"
)

func TestLinearAttention(t *testing.T) {
	at := attrs{"q_num_heads": 2, "kv_num_heads": 1, "scale": 1.0, "update_rule": "linear"}
	q, k := tensor.Of([]float32{1, 2, 3, 4}, 1, 2, 2), tensor.Of([]float32{1, 2}, 1, 2, 1)
	v := tensor.Of([]float32{10, 1, 20, 2}, 1, 2, 2)
	check := func(y, state []float32, in ...*tensor.Tensor) {
		t.Helper()
		out, err := compute("LinearAttention", 27, at, 2, in...)
		if err != nil {
			t.Fatal(err)
		}
		nearTensor(t, out[0], []int64{1, 2, 4}, y)
		nearTensor(t, out[1], []int64{1, 1, 1, 2}, state)
	}
	check([]float32{10, 1, 20, 2, 150, 15, 200, 20}, []float32{50, 5}, q, k, v)
	past := tensor.Of([]float32{2, 4}, 1, 1, 1, 2)
	check([]float32{12, 5, 24, 10, 156, 27, 208, 36}, []float32{52, 9}, q, k, v, past)
	at["update_rule"] = "gated"
	half := float32(-math.Ln2)
	gate := tensor.Of([]float32{half, half}, 1, 2, 1)
	check([]float32{11, 3, 22, 6, 136.5, 16.5, 182, 22}, []float32{45.5, 5.5}, q, k, v, past, gate)
	at["update_rule"] = "delta"
	one := tensor.Of([]float32{1, 0.5}, 1, 2, 1)
	check([]float32{10, 1, 20, 2, 30, 3, 40, 4}, []float32{10, 1}, q, k, v, nil, nil, one)
	no := func(want string, rule string, in ...*tensor.Tensor) {
		t.Helper()
		at["update_rule"] = rule
		refused(t, want, "LinearAttention", 27, at, 2, in...)
	}
	no("input 4: is required", "gated", q, k, v)
	no("input 5: is required", "delta", q, k, v)
	no("input 4: is not expected", "linear", q, k, v, nil, gate)
	no("input 3: has shape [1 1 2 1], expected [1 1 1 2]", "linear", q, k, v, counted[float32](1, 1, 2, 1))
	no("which is not 2 heads", "linear", counted[float32](1, 2, 3), k, v)
	no("does not go with those before", "linear", q, counted[float32](1, 3, 1), v)
	no("does not go with 1 heads", "gated", q, k, v, nil, counted[float32](1, 2, 3))
	no("input 4: has shape [1 1 1], expected [1 2 -1]", "gated", q, k, v, nil, counted[float32](1, 1, 1))
	no("expected of rank 3", "linear", q, k, counted[float32](2, 2))
	no("input 1: is float16", "linear", q, tensor.Of(make([]tensor.F16, 2), 1, 2, 1), v)
	refused(t, "has 1 outputs, expected 2", "LinearAttention", 27, at, 1, q, k, v)
	at["kv_num_heads"] = 0
	no("has 2 heads of queries and 0 of keys", "linear", q, k, v)
}

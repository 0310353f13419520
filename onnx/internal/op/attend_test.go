package op

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/blindbox/blindbox/onnx/tensor"
)

func randomFloats(rng *rand.Rand, shape ...int64) *tensor.Tensor {
	t := counted[float32](shape...)
	for i := range tensor.Data[float32](t) {
		tensor.Data[float32](t)[i] = rng.Float32()*2 - 1
	}
	return t
}

// TestAttentionAgreesWithItself: with all results the scores are computed one by one,
// with one result by the kernel.
func TestAttentionAgreesWithItself(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 2))
	for range 60 {
		batch, heads, group := 1+rng.Int64N(3), 1+rng.Int64N(2), 1+rng.Int64N(2)
		queries, keys, past := 1+rng.Int64N(5), 1+rng.Int64N(6), rng.Int64N(4)
		dim, values := 1+rng.Int64N(5), 1+rng.Int64N(5)
		in := []*tensor.Tensor{randomFloats(rng, batch, heads*group, queries, dim), randomFloats(rng, batch, heads, keys, dim), randomFloats(rng, batch, heads, keys, values), nil, nil, nil}
		at := attrs{"is_causal": rng.IntN(2)}
		opset := int64(23 + rng.IntN(3))
		if opset == 25 {
			at["left_window_size"], at["right_window_size"] = rng.IntN(5)-1, rng.IntN(5)-1
		}
		if past > 0 {
			in[4], in[5] = randomFloats(rng, batch, heads, past, dim), randomFloats(rng, batch, heads, past, values)
		}
		switch shape := [][]int64{{batch, 1, queries, keys + past}, {heads * group, 1, keys + past}, {queries, keys}}[rng.IntN(3)]; rng.IntN(3) {
		case 0:
			in[3] = randomFloats(rng, shape...)
		case 1:
			in[3] = mustCompute(t, "Greater", 13, nil, randomFloats(rng, shape...), tensor.Scalar[float32](-0.3))
		}
		if past == 0 && opset > 23 && rng.IntN(2) == 0 {
			lengths := make([]int64, batch)
			for i := range lengths {
				lengths[i] = rng.Int64N(keys + 1)
			}
			in = append(in, tensor.List(lengths...))
		}
		one, err := compute("Attention", opset, at, 1, in...)
		if err != nil {
			t.Fatal(err)
		}
		all, err := compute("Attention", opset, at, 4, in...)
		if err != nil {
			t.Fatal(err)
		}
		nearTensor(t, one[0], all[0].Shape, tensor.Data[float32](all[0]))
	}
}

func TestAttention(t *testing.T) {
	q := tensor.Of([]float32{1, 0, 0, 1}, 1, 2, 2)
	v := tensor.Of([]float32{1, 2, 3, 4}, 1, 2, 2)
	at := attrs{"q_num_heads": 1, "kv_num_heads": 1, "scale": math.Ln2}
	want := []float32{5.0 / 3, 8.0 / 3, 7.0 / 3, 10.0 / 3}
	nearTensor(t, mustCompute(t, "Attention", 23, at, q, q, v), []int64{1, 2, 2}, want)
	at["is_causal"] = 1
	nearTensor(t, mustCompute(t, "Attention", 23, at, q, q, v), []int64{1, 2, 2}, []float32{1, 2, want[2], want[3]})
	none := tensor.Of([]bool{false, false, true, true}, 2, 2)
	delete(at, "is_causal")
	nearTensor(t, mustCompute(t, "Attention", 23, at, q, q, v, none), []int64{1, 2, 2}, []float32{0, 0, want[2], want[3]})
	halves := mustCompute(t, "Cast", 13, attrs{"to": int(tensor.Float16)}, q)
	if got := mustCompute(t, "Attention", 23, at, halves, halves, halves); got.Type != tensor.Float16 {
		t.Errorf("attention of float16 is %s", got.Type)
	}
}

func TestAttentionRefuses(t *testing.T) {
	q := counted[float32](1, 2, 3, 4)
	flat := counted[float32](1, 3, 8)
	no := func(want string, opset int64, at attrs, outputs int, in ...*tensor.Tensor) {
		t.Helper()
		refused(t, want, "Attention", opset, at, outputs, in...)
	}
	no("which is not 0 heads", 23, nil, 1, flat, flat, flat)
	no("which is not 3 heads", 23, attrs{"q_num_heads": 3, "kv_num_heads": 1}, 1, flat, flat, flat)
	no("the attributes say 3 heads", 23, attrs{"q_num_heads": 3}, 1, q, q, q)
	no("has -1 heads", 23, attrs{"q_num_heads": -1}, 1, q, q, q)
	no("expected 0 to 3", 23, attrs{"qk_matmul_output_mode": 4}, 1, q, q, q)
	no("windows of -2", 25, attrs{"left_window_size": -2}, 1, q, q, q)
	no(`"left_window_size" is not known`, 24, attrs{"left_window_size": 1}, 1, q, q, q)
	no("expected rank 3 or 4", 23, nil, 1, counted[float32](2, 2), q, q)
	no("input 0 has", 23, attrs{"q_num_heads": 2, "kv_num_heads": 2}, 1, q, flat, flat)
	no("size of heads", 23, nil, 1, q, counted[float32](1, 2, 3, 5), q)
	no("number of keys and values", 23, nil, 1, q, q, counted[float32](1, 2, 2, 4))
	no("batch", 23, nil, 1, q, counted[float32](2, 2, 3, 4), q)
	no("has 3 heads, the queries 2", 23, nil, 1, q, counted[float32](1, 3, 3, 4), counted[float32](1, 3, 3, 4))
	no("has 0 heads", 23, nil, 1, counted[float32](1, 1, 3, 4), counted[float32](1, 0, 3, 4), counted[float32](1, 0, 3, 4))
	no("past keys without past values", 23, nil, 1, q, q, q, nil, q)
	no("input 4: has shape [1 3 8], expected of rank 4", 23, nil, 1, q, q, q, nil, flat, flat)
	no("expected at most 6", 23, nil, 1, q, q, q, nil, nil, nil, tensor.List[int64](1))
	no("exclude each other", 24, nil, 1, q, q, q, nil, q, q, tensor.List[int64](1))
	no("4 of 3 keys", 24, nil, 1, q, q, q, nil, nil, nil, tensor.List[int64](4))
	no("has 2 entries for a batch of 1", 24, nil, 1, q, q, q, nil, nil, nil, tensor.List[int64](1, 1))
	no("does not broadcast", 23, nil, 1, q, q, q, counted[float32](3, 4))
	no("does not broadcast", 23, nil, 1, q, q, q, counted[float32](2, 3))
	no("does not broadcast", 23, nil, 1, q, q, q, tensor.Scalar[float32](1))
	no("input 3: is string", 23, nil, 1, q, q, q, tensor.List("a"))
	no("input 1: is float16", 23, nil, 1, q, tensor.Of(make([]tensor.F16, 24), 1, 2, 3, 4), q)
	no("input 0: is float64", 23, nil, 1, tensor.Of(make([]float64, 24), 1, 2, 3, 4), q, q)
}

func TestRotaryEmbedding(t *testing.T) {
	x := tensor.Of([]float32{1, 2, 3, 4}, 1, 1, 4)
	cos, sin := tensor.Of([]float32{0, 1}, 1, 1, 2), tensor.Of([]float32{1, 0}, 1, 1, 2)
	at := attrs{"num_heads": 1}
	nearTensor(t, mustCompute(t, "RotaryEmbedding", 23, at, x, cos, sin), []int64{1, 1, 4}, []float32{-3, 2, 1, 4})
	at["interleaved"] = 1
	nearTensor(t, mustCompute(t, "RotaryEmbedding", 23, at, x, cos, sin), []int64{1, 1, 4}, []float32{-2, 1, 3, 4})
	table := [2]*tensor.Tensor{tensor.Of([]float32{1, 0}, 2, 1), tensor.Of([]float32{0, 1}, 2, 1)}
	part := attrs{"rotary_embedding_dim": 2}
	four := counted[float32](1, 1, 2, 3)
	nearTensor(t, mustCompute(t, "RotaryEmbedding", 23, part, four, table[0], table[1], tensor.Of([]int64{1, 0}, 1, 2)), []int64{1, 1, 2, 3}, []float32{-1, 0, 2, 3, 4, 5})
	no := func(want string, at attrs, in ...*tensor.Tensor) {
		t.Helper()
		refused(t, want, "RotaryEmbedding", 23, at, 1, in...)
	}
	no("position 2 is outside of 2", part, four, table[0], table[1], tensor.Of([]int64{1, 2}, 1, 2))
	no("position -1 is outside of 2", part, four, table[0], table[1], tensor.Of([]int64{1, -1}, 1, 2))
	no("input 3: has shape [1 1], expected [1 2]", part, four, table[0], table[1], tensor.Of([]int64{1}, 1, 1))
	no("expected positions of rank 2", part, four, table[0], table[1], tensor.List[int64](1))
	no("input 2: has shape [1 1], expected [2 1]", part, four, table[0], counted[float32](1, 1), tensor.Of([]int64{1, 0}, 1, 2))
	no("input 1: has shape [1 1 2], expected [1 2 1]", part, four, cos, sin)
	no("which are no pairs", nil, four, table[0], table[1])
	no(`"rotary_embedding_dim" is 4`, attrs{"rotary_embedding_dim": 4}, four, table[0], table[1])
	no("and the second even", attrs{"rotary_embedding_dim": 3}, four, table[0], table[1])
	no("which is not 0 heads", nil, x, cos, sin)
	no("which is not 3 heads", attrs{"num_heads": 3}, x, cos, sin)
	no("expected rank 3 or 4", nil, counted[float32](2, 2), cos, sin)
	no("input 1: is float16, but", nil, x, tensor.Of(make([]tensor.F16, 2), 1, 1, 2), sin)
}

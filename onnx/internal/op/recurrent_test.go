package op

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// noise is a tensor of random numbers.
func noise(rng *rand.Rand, shape ...int64) *tensor.Tensor {
	n, _ := tensor.Count(shape)
	data := make([]float32, n)
	for i := range data {
		data[i] = float32(rng.NormFloat64()) / 2
	}
	return tensor.Of(data, shape...)
}

// TestBidirectionalIsBothDirections: each half is what one direction gives, in both
// layouts, with lengths and initial states.
func TestBidirectionalIsBothDirections(t *testing.T) {
	const steps, batch, input, hidden = 4, 3, 5, 6
	rng := rand.New(rand.NewPCG(1, 2))
	for op, gates := range map[string]int64{"RNN": 1, "GRU": 3, "LSTM": 4} {
		outputs := 2
		x := noise(rng, steps, batch, input)
		in := []*tensor.Tensor{x, noise(rng, 2, gates*hidden, input), noise(rng, 2, gates*hidden, hidden),
			noise(rng, 2, 2*gates*hidden), tensor.Of([]int32{4, 0, 2}, batch), noise(rng, 2, batch, hidden)}
		if op == "LSTM" {
			outputs = 3
			in = append(in, noise(rng, 2, batch, hidden), noise(rng, 2, 3*hidden))
		}
		both, err := compute(op, 14, attrs{"hidden_size": hidden, "direction": "bidirectional"}, outputs, in...)
		if err != nil {
			t.Fatal(err)
		}
		first, err := compute(op, 14, attrs{"hidden_size": hidden, "direction": "bidirectional", "layout": 1}, outputs, batchFirst(in)...)
		if err != nil {
			t.Fatal(err)
		}
		for d, direction := range []string{"forward", "reverse"} {
			one := slices.Clone(in)
			for i, v := range in {
				if i != 0 && i != recurrentLengths {
					one[i] = directionOf(v, d)
				}
			}
			alone, err := compute(op, 14, attrs{"direction": direction}, outputs, one...)
			if err != nil {
				t.Fatal(err)
			}
			for s := range steps {
				for b := range batch {
					want := tensor.Data[float32](alone[0])[(s*batch+b)*hidden:][:hidden]
					got := tensor.Data[float32](both[0])[((s*2+d)*batch+b)*hidden:][:hidden]
					turned := tensor.Data[float32](first[0])[((b*steps+s)*2+d)*hidden:][:hidden]
					if !slices.Equal(got, want) || !slices.Equal(turned, want) {
						t.Fatalf("%s, %s, step %d of sequence %d: %v and %v, want %v", op, direction, s, b, got, turned, want)
					}
				}
			}
			for i := 1; i < outputs; i++ {
				if got, want := directionOf(both[i], d), alone[i]; !slices.Equal(tensor.Data[float32](got), tensor.Data[float32](want)) {
					t.Errorf("%s, %s, result %d differs", op, direction, i)
				}
			}
		}
	}
}

// directionOf is one of two slices along the first dimension.
func directionOf(v *tensor.Tensor, d int) *tensor.Tensor {
	data := tensor.Data[float32](v)
	n := len(data) / 2
	return tensor.Of(data[d*n:(d+1)*n], append([]int64{1}, v.Shape[1:]...)...)
}

// batchFirst swaps the first two dimensions of X and the states.
func batchFirst(in []*tensor.Tensor) []*tensor.Tensor {
	in = slices.Clone(in)
	for i, v := range in {
		if i == 0 || i == recurrentH || i == recurrentC {
			a, b, n := int(v.Shape[0]), int(v.Shape[1]), int(v.Shape[2])
			data := make([]float32, 0, a*b*n)
			for j := range b {
				for k := range a {
					data = append(data, tensor.Data[float32](v)[(k*b+j)*n:][:n]...)
				}
			}
			in[i] = tensor.Of(data, v.Shape[1], v.Shape[0], v.Shape[2])
		}
	}
	return in
}

// TestPackedRecurrent: weights laid out before give the same as weights laid out in a
// run, and are not read.
func TestPackedRecurrent(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	in := []*tensor.Tensor{noise(rng, 3, 2, 4), noise(rng, 1, 20, 4), noise(rng, 1, 20, 5), noise(rng, 1, 40), nil, nil, nil, noise(rng, 1, 15)}
	o, err := New(nodeOf("LSTM", 14, nil, len(in), 3), Table(), nil)
	if err != nil {
		t.Fatal(err)
	}
	packed, unread, err := o.(Packer).Pack(&kernel.On{Level: kernel.Best()}, func(i int) *tensor.Tensor { return in[i] }, infosOf(in))
	if err != nil || !slices.Equal(unread, []int{1, 2, 3, 7}) {
		t.Fatalf("unread %v, %v", unread, err)
	}
	infos, err := o.Infer(infosOf(in))
	if err != nil {
		t.Fatal(err)
	}
	want, err := run(testOn(t), o, in, infos)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range unread {
		clear(tensor.Data[float32](in[i]))
	}
	got, err := run(testOn(t), packed, in, infos)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if !slices.Equal(tensor.Data[float32](got[i]), tensor.Data[float32](want[i])) {
			t.Errorf("result %d: %v, want %v", i, tensor.Data[float32](got[i]), tensor.Data[float32](want[i]))
		}
	}
	if p, _, _ := o.(Packer).Pack(&kernel.On{Level: kernel.Best()}, func(i int) *tensor.Tensor { return nil }, infosOf(in)); p != nil {
		t.Error("packed what is not known")
	}
}

// TestRecurrentActivations: each name, with its parameters in the order of those that
// have them.
func TestRecurrentActivations(t *testing.T) {
	x := []float32{-2, -0.25, 0, 0.25, 2}
	for name, f := range map[string]func(x float64) float64{
		"Relu":            func(x float64) float64 { return max(x, 0) },
		"tanh":            math.Tanh,
		"Sigmoid":         func(x float64) float64 { return 1 / (1 + math.Exp(-x)) },
		"Softplus":        func(x float64) float64 { return math.Log1p(math.Exp(x)) },
		"Softsign":        func(x float64) float64 { return x / (1 + math.Abs(x)) },
		"Affine":          func(x float64) float64 { return 0.3*x + 0.7 },
		"LeakyRelu":       func(x float64) float64 { return max(x, 0.3*x) },
		"ThresholdedRelu": func(x float64) float64 { return x * math.Floor(min(1, max(0, x+0.7))) },
		"ScaledTanh":      func(x float64) float64 { return 0.3 * math.Tanh(0.7*x) },
		"HardSigmoid":     func(x float64) float64 { return min(1, max(0, 0.3*x+0.7)) },
		"Elu":             func(x float64) float64 { return max(x, 0.3*math.Expm1(min(x, 0))) },
	} {
		want := make([]float32, len(x))
		for i, v := range x {
			want[i] = float32(f(float64(v)))
		}
		n := int64(len(x))
		w, r := tensor.Of(slices.Repeat([]float32{0}, 25), 1, n, n), tensor.Of(slices.Repeat([]float32{0}, 25), 1, n, n)
		for i := range x {
			tensor.Data[float32](w)[i*len(x)+i] = 1
		}
		at := attrs{"activations": []string{name}, "activation_alpha": []float32{0.3}, "activation_beta": []float32{0.7}}
		nearTensor(t, mustCompute(t, "RNN", 14, at, tensor.Of(x, 1, 1, n), w, r), []int64{1, 1, 1, n}, want)
	}
}

func TestRecurrentWithoutSteps(t *testing.T) {
	h := tensor.Of([]float32{1, 2}, 1, 1, 2)
	out, err := compute("GRU", 14, nil, 2, tensor.Of([]float32{}, 0, 1, 3), noise(rand.New(rand.NewPCG(5, 6)), 1, 6, 3),
		noise(rand.New(rand.NewPCG(7, 8)), 1, 6, 2), nil, nil, h)
	if err != nil {
		t.Fatal(err)
	}
	sameTensor(t, out[1], []int64{1, 1, 2}, []float32{1, 2})
}

func TestRecurrentRefuses(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	x, w, r := noise(rng, 2, 1, 3), noise(rng, 1, 4, 3), noise(rng, 1, 4, 4)
	long := tensor.Of([]int32{3}, 1)
	refused(t, "expected 0 to 2", "RNN", 14, nil, 1, x, w, r, nil, long)
	refused(t, "has 4 rows, expected 16", "LSTM", 14, nil, 1, x, w, r)
	refused(t, "expected 5 in dimension 2", "RNN", 14, attrs{"hidden_size": 5}, 1, x, w, r)
	refused(t, "expected 3 dimensions", "RNN", 14, nil, 1, noise(rng, 2, 3), w, r)
	refused(t, "is not known", "RNN", 14, attrs{"activations": []string{"Sine"}}, 1, x, w, r)
	refused(t, "has 2 names, expected 1", "RNN", 14, attrs{"activations": []string{"Tanh", "Tanh"}}, 1, x, w, r)
	refused(t, "expected 0 or more", "RNN", 14, attrs{"clip": -1.0}, 1, x, w, r)
	refused(t, "direction", "RNN", 14, attrs{"direction": "up"}, 1, x, w, r)
	refused(t, "layout", "RNN", 13, attrs{"layout": 1}, 1, x, w, r)
	refused(t, "no element at a step", "RNN", 14, nil, 1, tensor.Of([]float32{}, 2, 1, 0), tensor.Of([]float32{}, 1, 4, 0), r)
	o, err := New(nodeOf("LSTM", 14, attrs{"hidden_size": math.MaxInt64}, 3, 1), Table(), nil)
	if err != nil {
		t.Fatal(err)
	}
	open := unranked(tensor.Float32)
	if _, err := o.Infer([]*Info{&open, &open, &open}); err == nil {
		t.Error("a hidden size that overflows is taken")
	}
}

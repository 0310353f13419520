package op

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

func TestFusedMatMul(t *testing.T) {
	n := quantNode{op: "FusedMatMul", domain: "com.microsoft", attrs: []graph.Attribute{
		intAttribute("transA", 1), intAttribute("transB", 1), {Name: "alpha", Kind: graph.Float, F: 2}}}
	a, b := tensor.Of([]float32{1, 2, 3, 4, 5, 6}, 3, 2), tensor.Of([]float32{1, 0, 1, 0, 1, 0}, 2, 3)
	for _, fixed := range [][]int{nil, {1}} {
		n.fixed = fixed
		out, err := n.run(&kernel.On{Level: kernel.Best()}, a, b)
		y := must(t, out, err)[0]
		// A turned is 2 x 3: (1 3 5; 2 4 6); B turned is 3 x 2: (1 0; 0 1; 1 0).
		for i, want := range []float32{12, 6, 16, 8} {
			if got := tensor.Data[float32](y)[i]; got != want {
				t.Errorf("fixed %v: element %d is %v, want %v", fixed, i, got, want)
			}
		}
	}
	n.attrs = []graph.Attribute{intAttribute("transBatchA", 1)}
	if _, err := n.run(&kernel.On{}, a, b); err == nil {
		t.Error("a transposed stack is accepted")
	}
}

func TestContribGelu(t *testing.T) {
	x := []float32{-2, -0.5, 0, 1, 3}
	out, err := quantNode{op: "Gelu", domain: "com.microsoft"}.run(&kernel.On{}, tensor.List(x...))
	for i, got := range tensor.Data[float32](must(t, out, err)[0]) {
		want := float64(x[i]) / 2 * (1 + math.Erf(float64(x[i])/math.Sqrt2))
		if math.Abs(float64(got)-want) > 1e-6 {
			t.Errorf("gelu(%v) is %v, want %v", x[i], got, want)
		}
	}
}

// TestDynamicQuantizeMatMul: the same bits as its two halves give.
func TestDynamicQuantizeMatMul(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 10))
	x := make([]float32, 2*5*19)
	for i := range x {
		x[i] = rng.Float32()*4 - 2
	}
	a, b, scaleB, zeroB, bias := tensor.Of(x, 2, 5, 19), quantBytes(rng, true, 19, 21), quantFloats(rng, 21), quantBytes(rng, true, 21), quantFloats(rng, 21)
	for _, level := range kernel.Levels() {
		on := &kernel.On{Level: level}
		out, err := quantNode{op: "DynamicQuantizeLinear", opset: 11, outputs: 3}.run(on, a)
		q := must(t, out, err)
		out, err = quantNode{op: "MatMulIntegerToFloat", domain: "com.microsoft"}.run(on, q[0], b, q[1], scaleB, q[2], zeroB, bias)
		want := tensor.Data[float32](must(t, out, err)[0])
		for _, fixed := range [][]int{nil, {1, 3}, {1}} {
			n := quantNode{op: "DynamicQuantizeMatMul", domain: "com.microsoft", fixed: fixed}
			out, err = n.run(on, a, b, scaleB, zeroB, bias)
			if got := tensor.Data[float32](must(t, out, err)[0]); !slices.Equal(got, want) {
				t.Errorf("%s, fixed %v: got %v, want %v", level, fixed, got, want)
			}
		}
	}
	if _, err := (quantNode{op: "DynamicQuantizeMatMul", domain: "com.microsoft"}).run(&kernel.On{}, b, b, scaleB); err == nil {
		t.Error("A of int8 is accepted")
	}
}

package onnx

import (
	"fmt"
	"runtime"
	"testing"

	pb "github.com/blindbox/blindbox/onnx/onnxtest"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// TestManyFactorsBehindOneConvolution: factors are moved into weights, but not so often
// that loading takes a copy of the weights for each.
func TestManyFactorsBehindOneConvolution(t *testing.T) {
	const factors, size = 1000, 64 * 1024
	w := make([]float32, size)
	w[0] = 1
	graph := join(pb.Input("x", 1, 1, 64, 1, 1), pb.Initializer(pb.Floats("w", []int64{1024, 64, 1, 1}, w...)),
		pb.Initializer(pb.Floats("one", []int64{1}, -1)), pb.Node("", "Conv", of("x", "w"), of("v0")))
	for i := range factors {
		graph = join(graph, pb.Node("", "Mul", of(fmt.Sprint("v", i), "one"), of(fmt.Sprint("v", i+1))))
	}
	model := pb.Model(graph, pb.OpenOutput(fmt.Sprint("v", factors), 1))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	s := mustLoad(t, model)
	runtime.ReadMemStats(&after)
	if taken := after.TotalAlloc - before.TotalAlloc; taken > 32<<20 {
		t.Errorf("loading takes %d MB, the weights are %d kB", taken>>20, 4*size>>10)
	}
	x := make([]float32, 64)
	x[0] = 3
	out, err := s.Run(t.Context(), map[string]*tensor.Tensor{"x": tensor.Of(x, 1, 64, 1, 1)})
	if err != nil {
		t.Fatal(err)
	}
	if got := tensor.Data[float32](out[fmt.Sprint("v", factors)]); got[0] != 3 || got[1] != 0 {
		t.Errorf("%v", got[:4])
	}
}

// TestChannelsThatAreNotThere: where channels do not fill their block, what is computed
// for the rest of it must not reach the others.
func TestChannelsThatAreNotThere(t *testing.T) {
	fill := func(n int, v float32) []float32 {
		d := make([]float32, n)
		for i := range d {
			d[i] = v
		}
		return d
	}
	s := mustLoad(t, pb.Model(pb.Input("x", 1, 1, 24, 2, 2), pb.Initializer(pb.Floats("a", []int64{24, 24, 1, 1}, fill(24*24, 1)...)),
		pb.Initializer(pb.Floats("b", []int64{24, 24, 1, 1}, fill(24*24, 2)...)),
		pb.Node("", "Conv", of("x", "a"), of("p")), pb.Node("", "Conv", of("x", "b"), of("q")), pb.Node("", "Div", of("p", "q"), of("d")),
		pb.Node("", "Conv", of("d", "a"), of("y")), pb.OpenOutput("y", 1)))
	out, err := s.Run(t.Context(), map[string]*tensor.Tensor{"x": tensor.Of(fill(96, 1), 1, 24, 2, 2)})
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range tensor.Data[float32](out["y"]) {
		if v != 12 {
			t.Fatalf("element %d is %v, expected 12", i, v)
		}
	}
}

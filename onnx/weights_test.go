package onnx

import (
	"testing"

	pb "github.com/blindbox/blindbox/onnx/onnxtest"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// TestWeights: who keeps a session knows what it keeps.
func TestWeights(t *testing.T) {
	graph := func(readers int) []byte {
		g := append(pb.Input("x", 1, "n", 64), pb.Initializer(pb.Floats("w", []int64{64, 64}, make([]float32, 64*64)...))...)
		for i := range readers {
			g = append(g, pb.Node("", "MatMul", []string{"x", "w"}, []string{string(rune('a' + i))})...)
		}
		return append(g, pb.OpenOutput("a", 1)...)
	}
	for readers, most := range []int64{0, 2 * 4 * 64 * 64, 3 * 4 * 64 * 64} {
		if readers == 0 {
			continue
		}
		m, err := Parse(pb.Model(graph(readers)), DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		s, err := NewSession(m)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Weights(); got < 4*64*64 || got > most {
			t.Errorf("%d readers: %d bytes, expected from %d to %d", readers, got, 4*64*64, most)
		}
	}
}

// TestWeightsOfConvolutions: those that Winograd's form transforms are four times as many.
func TestWeightsOfConvolutions(t *testing.T) {
	const channels = 64
	filters := pb.Floats("w", []int64{channels, channels, 3, 3}, make([]float32, 9*channels*channels)...)
	s := mustLoad(t, pb.Model(pb.Input("x", 1, 1, channels, 32, 32), pb.Initializer(filters),
		pb.Node("", "Conv", of("x", "w"), of("y")), pb.OpenOutput("y", 1)))
	if got, least := s.Weights(), int64(4*36*channels*channels); got < least || got > least+least/4 {
		t.Errorf("%d bytes, expected %d and a little", got, least)
	}
}

// TestFewFiltersDoNotFillMemory: a filter takes a whole block of them, so weights would
// become 16 times as many.
func TestFewFiltersDoNotFillMemory(t *testing.T) {
	const channels, size = 1 << 21, 4 << 21
	s := mustLoad(t, pb.Model(pb.Input("x", 1, 1, channels, 1, 1), pb.Initializer(pb.Floats("w", []int64{1, channels, 1, 1}, make([]float32, channels)...)),
		pb.Node("", "Conv", of("x", "w"), of("y")), pb.Node("", "Relu", of("y"), of("z")), pb.OpenOutput("z", 1)))
	if got := s.Weights(); got > 6*size+64<<20 {
		t.Errorf("%d bytes of %d", got, size)
	}
	if _, err := s.Run(t.Context(), map[string]*tensor.Tensor{"x": tensor.Of(make([]float32, channels), 1, channels, 1, 1)}); err != nil {
		t.Error(err)
	}
}

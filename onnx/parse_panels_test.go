package onnx

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/gemm"
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	pb "github.com/blindbox/blindbox/onnx/onnxtest"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// factor is a matrix that has a rest beside whole panels.
func factor(k, n int64) []float32 {
	v := make([]float32, k*n)
	for i := range v {
		v[i] = float32(i%251-125) / 64
	}
	return v
}

// inPanels says whether a stored matrix lies as a product reads it.
func inPanels(t *tensor.Tensor) bool {
	return tensor.Panels(t, gemm.PanelWidth(kernel.Best())) != nil
}

// TestFactorsComeInPanels: a weight that is only multiplied with from the right is laid
// out as it comes, if the nodes are known by then. Whatever else a node does with it, or
// wherever the nodes stand, the answer is the same bit by bit.
func TestFactorsComeInPanels(t *testing.T) {
	const k, n = 130, 143
	w := pb.Initializer(pb.Floats("w", []int64{k, n}, factor(k, n)...))
	product := pb.Node("", "MatMul", []string{"x", "w"}, []string{"y"})
	ends := slices.Concat(pb.Input("x", 1, 3, k), pb.OpenOutput("y", 1))
	run := func(file []byte) ([]float32, bool) {
		m, err := ParseFrom(bytes.NewReader(file), DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		lies := inPanels(m.graph.Stored[0].Tensor)
		if m, err = ParseFrom(bytes.NewReader(file), DefaultLimits()); err != nil {
			t.Fatal(err)
		}
		s, err := NewSession(m)
		if err != nil {
			t.Fatal(err)
		}
		out, err := s.Run(t.Context(), map[string]*tensor.Tensor{"x": tensor.Of(factor(3, k), 3, k)})
		if err != nil {
			t.Fatal(err)
		}
		return tensor.Data[float32](out["y"]), lies
	}
	want, lies := run(pb.Model(w, product, ends))
	if lies {
		t.Error("in panels before its nodes are known")
	}
	more := func(op string, in ...string) []byte {
		return slices.Concat(pb.Node("", op, in, []string{"z"}), pb.OpenOutput("z", 1))
	}
	for name, c := range map[string]struct {
		file []byte
		lies bool
	}{
		"alone":                 {pb.Model(product, w, ends), true},
		"twice":                 {pb.Model(product, more("MatMul", "x", "w"), w, ends), true},
		"added before":          {pb.Model(more("Neg", "w"), product, w, ends), false},
		"added as well":         {pb.Model(product, more("Neg", "w"), w, ends), false},
		"on the left as well":   {pb.Model(product, more("MatMul", "w", "v"), w, pb.Initializer(pb.Floats("v", []int64{n, 2}, factor(n, 2)...)), ends), false},
		"added behind":          {pb.Model(product, w, more("Neg", "w"), ends), true},
		"an output of the file": {pb.Model(product, w, pb.OpenOutput("w", 1), ends), true},
	} {
		got, lies := run(c.file)
		if lies != c.lies {
			t.Errorf("%s: in panels: %v", name, lies)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: another answer", name)
		}
	}
}

// TestMirrorsInPanels: of two factors, one is recognized as the transpose of the other
// as they lie, and what differs is another matrix, wherever the bit is.
func TestMirrorsInPanels(t *testing.T) {
	for name, at := range map[string]int{"nowhere": -1, "first": 0, "in the second band": 40*words + 7, "last": wide*words - 1} {
		table, turned := embedding()
		if at >= 0 {
			turned[at] = math.Nextafter32(turned[at], 2)
		}
		m, err := ParseFrom(bytes.NewReader(pb.Model(
			pb.Node("", "MatMul", []string{"x", "table"}, []string{"y"}), pb.Node("", "MatMul", []string{"y", "turned"}, []string{"z"}),
			pb.Initializer(pb.Floats("table", []int64{words, wide}, table...)), pb.Initializer(pb.Floats("turned", []int64{wide, words}, turned...)),
			pb.Input("x", 1, "n", words), pb.OpenOutput("z", 1))), DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		first, second := m.graph.Stored[0], m.graph.Stored[1]
		if !inPanels(first.Tensor) || at >= 0 && !inPanels(second.Tensor) {
			t.Errorf("%s: not in panels", name)
		}
		if mirrored := second.Mirrored == first.Tensor; mirrored != (at < 0) {
			t.Errorf("%s: mirrored: %t", name, mirrored)
		}
		if at >= 0 && !slices.Equal(tensor.Data[float32](second.Tensor), turned) {
			t.Errorf("%s: has other elements", name)
		}
	}
}

package onnx

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"testing"

	pb "github.com/blindbox/blindbox/onnx/onnxtest"
	"github.com/blindbox/blindbox/onnx/tensor"
)

const words, wide = 2056, 514 // a vocabulary with a rest for each panel, and as many rows

// embedding is a matrix of words rows, and its transpose.
func embedding() (table, turned []float32) {
	table, turned = make([]float32, words*wide), make([]float32, words*wide)
	for i := range table {
		table[i] = float32(i%8191-4096) / 4096
		turned[i%wide*words+i/wide] = table[i]
	}
	return table, turned
}

// languageModel reads rows of one matrix and multiplies by the other.
func languageModel(table, turned []float32, more ...[]byte) []byte {
	return pb.Model(slices.Concat([][]byte{
		pb.Initializer(pb.Floats("table", []int64{words, wide}, table...)), pb.Initializer(pb.Floats("turned", []int64{wide, words}, turned...)),
		pb.Node("", "Gather", []string{"table", "i"}, []string{"rows"}),
		pb.Node("", "MatMul", []string{"rows", "turned"}, []string{"scores"}),
		pb.Input("i", 7, "n"), pb.Output("rows", 1, "n", wide), pb.Output("scores", 1, "n", words),
	}, more)...)
}

// TestEmbeddingIsThereOnce: a matrix that is stored a second time, transposed, is read
// from where the product has it.
func TestEmbeddingIsThereOnce(t *testing.T) {
	table, turned := embedding()
	s := mustLoad(t, languageModel(table, turned))
	if n := s.program.FixedBytes(); n > 1<<10 {
		t.Errorf("%d bytes of weights beside the product's", n)
	}
	checkScores(t, s, table, turned)
}

// TestMirrorsThatOthersRead: the transpose is made where it is more than the right side
// of one product.
func TestMirrorsThatOthersRead(t *testing.T) {
	table, turned := embedding()
	for name, other := range map[string][]byte{
		"as an output": pb.Node("", "Identity", []string{"turned"}, []string{"z"}),
		"on the left":  pb.Node("", "MatMul", []string{"turned", "table"}, []string{"z"}),
		"twice":        pb.Node("", "MatMul", []string{"rows", "turned"}, []string{"z"}),
	} {
		t.Run(name, func(t *testing.T) {
			checkScores(t, mustLoad(t, languageModel(table, turned, other, pb.OpenOutput("z", 1))), table, turned)
		})
	}
	m, err := Parse(languageModel(table, turned), DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSession(m, WithoutFusion())
	if err != nil {
		t.Fatal(err)
	}
	checkScores(t, s, table, turned)
}

// checkScores runs with indices from both ends of the table and of panels.
func checkScores(t *testing.T, s *Session, table, turned []float32) {
	t.Helper()
	picked := []int64{0, 31, 32, -1, words - 9}
	out, err := s.Run(t.Context(), map[string]*tensor.Tensor{"i": tensor.List(picked...)})
	if err != nil {
		t.Fatal(err)
	}
	rows, scores := tensor.Data[float32](out["rows"]), tensor.Data[float32](out["scores"])
	for k, i := range picked {
		row := rows[k*wide : (k+1)*wide]
		if !slices.Equal(row, table[(i+words)%words*wide:][:wide]) {
			t.Errorf("row %d is another one", i)
		}
		for _, c := range []int{0, 7, words / 2, words - 1} {
			want := float64(0)
			for r, v := range row {
				want += float64(v) * float64(turned[r*words+c])
			}
			if got := float64(scores[k*words+c]); math.Abs(got-want) > 1e-3 {
				t.Errorf("score %d of row %d is %g, want %g", c, i, got, want)
			}
		}
	}
	if _, err := s.Run(t.Context(), map[string]*tensor.Tensor{"i": tensor.List[int64](words)}); err == nil {
		t.Error("a row that is not there")
	}
}

// TestNearlyTransposed: what differs in a single bit is another matrix, wherever the
// bit is.
func TestNearlyTransposed(t *testing.T) {
	for name, at := range map[string]int{"nowhere": -1, "first": 0, "in the second band": 40*words + 7, "last": wide*words - 1} {
		t.Run(name, func(t *testing.T) {
			table, turned := embedding()
			if at >= 0 {
				turned[at] = math.Nextafter32(turned[at], 2)
			}
			m, err := ParseFrom(bytes.NewReader(languageModel(table, turned)), DefaultLimits())
			if err != nil {
				t.Fatal(err)
			}
			stored := m.graph.Stored[1]
			if mirrored := stored.Mirrored == m.graph.Stored[0].Tensor; mirrored != (at < 0) {
				t.Errorf("mirrored: %t", mirrored)
			}
			if at >= 0 && !slices.Equal(tensor.Data[float32](stored.Tensor), turned) {
				t.Error("has other elements")
			}
		})
	}
}

// TestSearchForMirrorsEnds: matrices that agree until the end of a band cost a look at
// half of their elements each, so a model may have a few of them compared, not all with
// all.
func TestSearchForMirrorsEnds(t *testing.T) {
	const rows, columns = 2 * band, mirrorElements / (2 * band)
	for alike, found := range map[int]bool{2: true, 2*mirrorLooks + 1: false} {
		data := make([]float32, rows*columns)
		var fields [][]byte
		for i := range alike {
			data[len(data)-rows] = float32(i) // the first row of the last column
			fields = append(fields, pb.Initializer(pb.Floats(fmt.Sprint("w", i), []int64{columns, rows}, data...)))
		}
		data[len(data)-rows], data[columns-1] = 0, float32(alike-1)
		fields = append(fields, pb.Initializer(pb.Floats("turned", []int64{rows, columns}, data...)), pb.OpenOutput("turned", 1))
		m, err := Parse(pb.Model(fields...), DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		last := m.graph.Stored[alike]
		if (last.Mirrored != nil) != found {
			t.Errorf("of %d matrices, one was recognized: %v, want %v", alike, !found, found)
		}
		if last.Tensor != nil && !slices.Equal(tensor.Data[float32](last.Tensor), data) {
			t.Error("the matrix is another one")
		}
	}
}

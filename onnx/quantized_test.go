package onnx

import (
	"bufio"
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/op"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// quantizedCase is one line of testdata/quantized/cases.jsonl: see testdata/quantized.py.
type quantizedCase struct {
	Name string
	X, Y vectorTensor
}

func quantizedCases(t *testing.T) []quantizedCase {
	t.Helper()
	data, err := os.ReadFile("testdata/quantized/cases.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var all []quantizedCase
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var c quantizedCase
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

// TestQuantizedModels runs models of onnxruntime's quantizer with the kernels of every
// level. Float operators between the integers differ in their last bits; a number that
// lies between two steps of a scale may then go to the other one. So single elements
// may be off by steps; on the whole the difference is small.
func TestQuantizedModels(t *testing.T) {
	for _, c := range quantizedCases(t) {
		for _, level := range Instructions() {
			t.Run(c.Name+"/"+level, func(t *testing.T) {
				data, err := os.ReadFile(filepath.Join("testdata/quantized", c.Name+".onnx"))
				if err != nil {
					t.Fatal(err)
				}
				m, err := Parse(data, DefaultLimits())
				if err != nil {
					t.Fatal(err)
				}
				s, err := NewSession(m, WithPoison(), WithInstructions(level), WithThreads(2))
				if err != nil {
					t.Fatal(err)
				}
				out, err := s.Run(t.Context(), map[string]*tensor.Tensor{"x": c.X.tensor(t)})
				if err != nil {
					t.Fatal(err)
				}
				want := tensor.Data[float32](c.Y.tensor(t))
				most, mean := distance(tensor.Data[float32](out["y"]), want)
				if most > 0.03 || mean > 0.003 {
					t.Errorf("off by %.4f at most and %.5f on average of the largest number", most, mean)
				}
			})
		}
	}
}

// TestQuantizedPatterns: products between quantized values are computed on integers,
// whichever way the file writes that.
func TestQuantizedPatterns(t *testing.T) {
	for name, want := range map[string]map[string]int{
		"transformer-dynamic": {"fused:Projections": 1, "fused:MatMulIntegerToFloat": 3, "MatMulInteger": 0, "Cast": 0},
		"transformer-qdq":     {"fused:QLinearMatMul": 8, "MatMul": 0},
		"network-qdq":         {"fused:QLinearConv": 4, "Conv": 0},
	} {
		data, err := os.ReadFile(filepath.Join("testdata/quantized", name+".onnx"))
		if err != nil {
			t.Fatal(err)
		}
		m, err := Parse(data, DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		s, err := NewSession(m)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]int{}
		for _, st := range s.program.Steps {
			got[op.Name(st.Node)]++
		}
		for kind, n := range want {
			if got[kind] != n {
				t.Errorf("%s: %d steps of %s, want %d; all: %v", name, got[kind], kind, n, got)
			}
		}
	}
}

// distance is the greatest and the average difference, as parts of the largest number.
func distance(got, want []float32) (most, mean float64) {
	if len(got) != len(want) {
		return math.Inf(1), math.Inf(1)
	}
	largest := 0.0
	for i := range want {
		off := math.Abs(float64(got[i]) - float64(want[i]))
		largest = max(largest, math.Abs(float64(want[i])))
		most, mean = max(most, off), mean+off/float64(len(want))
	}
	return most / largest, mean / largest
}

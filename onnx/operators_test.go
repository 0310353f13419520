package onnx

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// vector is one line of testdata/operators.jsonl: see testdata/gen.py.
type vector struct {
	Name  string
	By    string
	Model []byte
	In    map[string]vectorTensor
	Out   vectorTensor
}

type vectorTensor struct {
	T string
	S []int64
	D []json.RawMessage
}

func vectors(t testing.TB) []vector {
	t.Helper()
	data, err := os.ReadFile("testdata/operators.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var out []vector
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var v vector
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

func (v vectorTensor) tensor(t testing.TB) *tensor.Tensor {
	t.Helper()
	switch v.T {
	case "float32":
		return tensor.Of(numbers(t, v.D), v.S...)
	case "int64":
		return tensor.Of(decoded[int64](t, v.D), v.S...)
	case "bool":
		return tensor.Of(decoded[bool](t, v.D), v.S...)
	}
	return tensor.Of(decoded[string](t, v.D), v.S...)
}

func decoded[T any](t testing.TB, raw []json.RawMessage) []T {
	out := make([]T, len(raw))
	for i := range raw {
		if err := json.Unmarshal(raw[i], &out[i]); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// numbers reads floats, of which some are no JSON numbers.
func numbers(t testing.TB, raw []json.RawMessage) []float32 {
	special := map[string]float64{"nan": math.NaN(), "inf": math.Inf(1), "-inf": math.Inf(-1)}
	out := make([]float32, len(raw))
	for i := range raw {
		if f, ok := special[strings.Trim(string(raw[i]), `"`)]; ok {
			out[i] = float32(f)
			continue
		}
		out[i] = decoded[float32](t, raw[i:i+1])[0]
	}
	return out
}

func (v vector) inputs(t testing.TB) map[string]*tensor.Tensor {
	in := map[string]*tensor.Tensor{}
	for name, x := range v.In {
		in[name] = x.tensor(t)
	}
	return in
}

// close says whether two tensors agree: exactly, except that floats may differ
// by the given part of their size.
func differs(got, want *tensor.Tensor, tolerance float64) error {
	if got.Type != want.Type || !slices.Equal(got.Shape, want.Shape) {
		return fmt.Errorf("got %s%v, want %s%v", got.Type, got.Shape, want.Type, want.Shape)
	}
	if !slices.Equal(tensor.Data[int64](got), tensor.Data[int64](want)) || !slices.Equal(tensor.Data[string](got), tensor.Data[string](want)) || !slices.Equal(tensor.Data[bool](got), tensor.Data[bool](want)) {
		return fmt.Errorf("got %v, want %v", *got, *want)
	}
	for i := range tensor.Data[float32](want) {
		a, b := float64(tensor.Data[float32](got)[i]), float64(tensor.Data[float32](want)[i])
		same := a == b || math.IsNaN(a) && math.IsNaN(b)
		if !same && !(math.Abs(a-b) <= tolerance*max(1, math.Abs(b))) {
			return fmt.Errorf("element %d: got %v, want %v", i, a, b)
		}
	}
	return nil
}

// TestOperatorsAgreeWithOnnxruntime runs every recorded case, with what the
// model leaves open both unknown and known when the session is made. Package main in
// conformance has cases for every operator.
func TestOperatorsAgreeWithOnnxruntime(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			m, err := Parse(v.Model, DefaultLimits())
			if err != nil {
				t.Fatal(err)
			}
			s, err := NewSession(m, WithPoison())
			if err != nil {
				t.Fatal(err)
			}
			out, err := s.Run(t.Context(), v.inputs(t))
			if err != nil {
				t.Fatal(err)
			}
			if err := differs(out["y"], v.Out.tensor(t), 1e-5); err != nil {
				t.Error(err)
			}
		})
	}
}

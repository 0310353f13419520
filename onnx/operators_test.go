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

func (v vectorTensor) tensor(t testing.TB) *Tensor {
	t.Helper()
	out := &Tensor{Shape: v.S}
	for _, raw := range v.D {
		var err error
		switch v.T {
		case "float32":
			out.Type = Float32
			var f float64
			switch s := strings.Trim(string(raw), `"`); s {
			case "nan":
				f = math.NaN()
			case "inf", "-inf":
				f = math.Inf(map[string]int{"inf": 1, "-inf": -1}[s])
			default:
				err = json.Unmarshal(raw, &f)
			}
			out.F32 = append(out.F32, float32(f))
		case "int64":
			out.I64 = append(out.I64, 0)
			err = json.Unmarshal(raw, &out.I64[len(out.I64)-1])
		case "bool":
			out.Bool = append(out.Bool, false)
			err = json.Unmarshal(raw, &out.Bool[len(out.Bool)-1])
		case "string":
			out.Str = append(out.Str, "")
			err = json.Unmarshal(raw, &out.Str[len(out.Str)-1])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	out.Type = map[string]DataType{"float32": Float32, "int64": Int64, "bool": Bool, "string": String}[v.T]
	return out
}

func (v vector) inputs(t testing.TB) map[string]*Tensor {
	in := map[string]*Tensor{}
	for name, x := range v.In {
		in[name] = x.tensor(t)
	}
	return in
}

// close says whether two tensors agree: exactly, except that floats may differ
// by the given part of their size.
func differs(got, want *Tensor, tolerance float64) error {
	if got.Type != want.Type || !slices.Equal(got.Shape, want.Shape) {
		return fmt.Errorf("got %s%v, want %s%v", got.Type, got.Shape, want.Type, want.Shape)
	}
	if !slices.Equal(got.I64, want.I64) || !slices.Equal(got.Str, want.Str) || !slices.Equal(got.Bool, want.Bool) {
		return fmt.Errorf("got %v, want %v", *got, *want)
	}
	for i := range want.F32 {
		a, b := float64(got.F32[i]), float64(want.F32[i])
		same := a == b || math.IsNaN(a) && math.IsNaN(b)
		if !same && !(math.Abs(a-b) <= tolerance*max(1, math.Abs(b))) {
			return fmt.Errorf("element %d: got %v, want %v", i, a, b)
		}
	}
	return nil
}

// TestOperatorsAgreeWithOnnxruntime runs every recorded case, with what the
// model leaves open both unknown and known when the session is made.
func TestOperatorsAgreeWithOnnxruntime(t *testing.T) {
	seen := map[string]bool{}
	for _, v := range vectors(t) {
		op, _, _ := strings.Cut(v.Name, "/")
		seen[op] = true
		t.Run(v.Name, func(t *testing.T) {
			m, err := Parse(v.Model, DefaultLimits())
			if err != nil {
				t.Fatal(err)
			}
			s, err := NewSession(m)
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
	for op := range operatorTable() {
		if !seen[op] {
			t.Errorf("operator %s has no recorded case", op)
		}
	}
}

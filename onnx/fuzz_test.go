package onnx

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	pb "github.com/blindbox/blindbox/onnx/onnxtest"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// seeds are the demo's model, a slice of the recorded operator cases, and small
// models of every kind of field.
func seeds(f *testing.F) [][]byte {
	f.Helper()
	demo, err := os.ReadFile("../examples/tumour/tumour.onnx")
	if err != nil {
		f.Fatal(err)
	}
	out := [][]byte{demo, nil, pb.Model(),
		pb.Model(x(), pb.Node("", "If", []string{"x"}, []string{"y"}, pb.AttrGraph("then_branch", relu())), y()),
		pb.Model(pb.Initializer(pb.Head("w", 8, 2), pb.Str(6, "a"), pb.Str(6, "b")), pb.Output("w", 8, 2)),
		pb.Model(pb.Input("x", 1, "n", nil, 3), pb.Node("", "Gemm", []string{"x", "x"}, []string{"y"}, pb.AttrInt("transB", 1)), y()),
	}
	for i, v := range vectors(f) {
		if i%7 == 0 {
			out = append(out, v.Model)
		}
	}
	return out
}

// fuzzLimits keeps one case short.
func fuzzLimits() Limits {
	lim := DefaultLimits()
	lim.Nodes, lim.Weights, lim.Elements, lim.RunBytes, lim.RunSteps = 1000, 1<<16, 1<<12, 1<<18, 1<<8
	return lim
}

func FuzzParse(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse(data, fuzzLimits())
		checkAnswer(t, m == nil, err)
		if err != nil {
			return
		}
		s, err := NewSession(m)
		checkAnswer(t, s == nil, err)
	})
}

// checkAnswer holds every answer to the rules: a value or an error, never both,
// a message that says where it is from and is not long, and no panic inside.
func checkAnswer(t *testing.T, none bool, err error) {
	t.Helper()
	if none != (err != nil) {
		t.Fatalf("a value and an error, or neither: %v", err)
	}
	if err != nil && (!strings.HasPrefix(err.Error(), "onnx: ") || strings.Contains(err.Error(), "internal error") || len(err.Error()) > 20_000) {
		t.Fatalf("message of %d bytes: %.300v", len(err.Error()), err)
	}
}

// FuzzRun runs whatever loads, on inputs made from the model's own description
// and from the fuzzer's bytes.
func FuzzRun(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s, []byte{2, 1, 0, 3, 255})
	}
	f.Fuzz(func(t *testing.T, data, values []byte) {
		s, err := load(data, fuzzLimits())
		if err != nil {
			return
		}
		src := source{values, 0}
		in := map[string]*tensor.Tensor{}
		for _, v := range s.Inputs() {
			in[v.Name] = src.tensor(v)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		out, err := s.Run(ctx, in)
		checkAnswer(t, out == nil, err)
		for _, v := range s.Outputs() {
			if err != nil {
				break
			}
			if bad := out[v.Name].Check(); bad != nil {
				t.Fatalf("output %s: %v", v.Name, bad)
			}
		}
	})
}

// source hands out the fuzzer's bytes, again from the start when they end.
type source struct {
	bytes []byte
	at    int
}

func (s *source) next() int64 {
	if len(s.bytes) == 0 {
		return 1
	}
	s.at++
	return int64(int8(s.bytes[(s.at-1)%len(s.bytes)]))
}

func (s *source) tensor(v ValueInfo) *tensor.Tensor {
	shape := v.Shape
	if shape == nil {
		shape = make([]int64, (s.next()&3+4)%4)
		for i := range shape {
			shape[i] = -1
		}
	}
	n := int64(1)
	for i := range shape {
		if shape[i] == -1 {
			shape[i] = s.next() & 3
		}
		if n *= shape[i]; n > 1<<12 {
			n = 0 // wrong on purpose, and cheap
		}
	}
	t, err := tensor.New(v.Type, shape)
	if err != nil {
		return tensor.Scalar(float32(n)) // of a wrong shape or type: refused
	}
	for i := range t.Len() {
		switch v.Type {
		case tensor.Float32:
			tensor.Data[float32](t)[i] = float32(s.next()) / 16
		case tensor.Int64:
			tensor.Data[int64](t)[i] = s.next()
		case tensor.Bool:
			tensor.Data[bool](t)[i] = s.next()&1 == 1
		case tensor.String:
			tensor.Data[string](t)[i] = string(rune(s.next()&0x7f + 1))
		}
	}
	return t
}

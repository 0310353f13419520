package onnx

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	pb "github.com/blindbox/blindbox/onnx/onnxtest"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// seeds are the demo's model, a slice of the recorded operator cases, small models of
// every kind of field, loops and functions, and what of the published cases is there:
// all of them to start from, a slice for a test.
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
		pb.Model(pb.Input("x", 8, "n"), pb.Node("", "StringSplit", of("x"), of("y", "z")), pb.OpenOutput("y", 8), pb.OpenOutput("z", 7)),
		pb.Model(sequence(11, "x", 1), pb.Node("", "ConcatFromSequence", of("x"), of("y"), pb.AttrInt("axis", 0)), y()),
		callF(pb.Function("own", "F", of("a"), of("b"), pb.Msg(11, pb.Str(1, "k"), pb.Int(3, 0), pb.Int(20, 2)),
			pb.Inner("own", "G", of("a"), of("c")), pb.Inner("", "Softmax", of("c"), of("b"), pb.AttrRef("axis", "k", 2))),
			pb.Function("own", "G", of("a"), of("b"), pb.Inner("", "Neg", of("a"), of("b")))),
	}
	for _, model := range endless() {
		out = append(out, model)
	}
	for i, v := range vectors(f) {
		if i%7 == 0 {
			out = append(out, v.Model)
		}
	}
	return append(out, published(f)...)
}

// published is the models of the cases that `make conformance` fetches, if it has.
func published(f *testing.F) [][]byte {
	if flag.Lookup("test.fuzz").Value.String() == "" {
		return publishedCases(f, 23)
	}
	return publishedCases(f, 1)
}

// publishedCases are models of the published cases, one of each few.
func publishedCases(t testing.TB, of int) [][]byte {
	t.Helper()
	dir := os.Getenv("BLINDBOX_CONFORMANCE")
	if dir == "" {
		dir = "../.cache/conformance"
	}
	files, err := filepath.Glob(filepath.Join(dir, "debian/usr/share/libonnx-testdata/data/*/*/model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	for i, name := range files {
		if i%of != 0 {
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) < 1<<14 { // what is mutated should be what is read, not weights
			out = append(out, data)
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
		streamed, streamErr := ParseFrom(iotest.HalfReader(bytes.NewReader(data)), fuzzLimits())
		checkAnswer(t, streamed == nil, streamErr)
		if (err == nil) != (streamErr == nil) {
			t.Fatalf("from memory: %v; from a stream: %v", err, streamErr)
		}
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
			in[v.Name] = src.value(v)
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

// value makes a value of the type that an input declares.
func (s *source) value(v ValueInfo) *tensor.Tensor {
	if v.Type != tensor.Sequence && v.Type != tensor.Optional {
		return s.tensor(v)
	}
	t := &tensor.Tensor{Type: v.Type, ItemType: v.Item, Inner: v.Inner}
	most := int64(3)
	if v.Type == tensor.Optional {
		most = 1
	}
	for range s.next() & most {
		t.Items = append(t.Items, s.value(ValueInfo{Type: v.Item, Item: v.Inner}))
	}
	return t
}

func (s *source) tensor(v ValueInfo) *tensor.Tensor {
	shape := slices.Clone(v.Shape)
	if shape == nil {
		shape = slices.Repeat([]int64{-1}, int(s.next()&3))
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
	if n == 0 {
		shape = []int64{0}
	}
	t, err := tensor.New(v.Type, shape)
	if err != nil {
		return tensor.Scalar(float32(n)) // of a wrong shape or type: refused
	}
	s.fill(t)
	return t
}

// fill sets the elements: small numbers in the types that are read as sizes and
// indices, any bits in the others.
func (s *source) fill(t *tensor.Tensor) {
	for i := range t.Len() {
		v := s.next()
		switch {
		case t.Type == tensor.Float32:
			tensor.Data[float32](t)[i] = float32(v) / 16
		case t.Type == tensor.Bool:
			tensor.Data[bool](t)[i] = v&1 == 1
		case t.Type == tensor.String:
			tensor.Data[string](t)[i] = string(rune(v&0x7f + 1))
		case t.Type.Packed() > 1:
			tensor.Words[uint8](t)[i] = uint8(v) & 1
		case t.Type.Size() == 1:
			tensor.Words[uint8](t)[i] = uint8(v)
		case t.Type.Size() == 2:
			tensor.Words[uint16](t)[i] = uint16(v)
		case t.Type.Size() == 4:
			tensor.Words[uint32](t)[i] = uint32(v)
		case t.Type.Size() == 8:
			tensor.Words[uint64](t)[i] = uint64(v)
		}
	}
}

// FuzzValue reads values by themselves.
func FuzzValue(f *testing.F) {
	f.Add(pb.Floats("w", []int64{2}, 1, 2))
	f.Add(join(pb.Head("w", 22, 3), pb.Msg(9, []byte{0x21, 3})))
	f.Add(join(pb.Int(2, 1), pb.Msg(3, pb.Ints("", nil, 1))))
	f.Add(join(pb.Int(2, 3), pb.Msg(5, pb.Int(2, 1), pb.Msg(3, pb.Ints("", nil, 1)))))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, read := range []func([]byte, Limits) (*tensor.Tensor, error){ParseTensor, ParseSequence, ParseOptional} {
			v, err := read(data, fuzzLimits())
			checkAnswer(t, v == nil, err)
			if err == nil && v.Check() != nil {
				t.Fatal(v.Check())
			}
		}
	})
}

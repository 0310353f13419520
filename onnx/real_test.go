package onnx_test

import (
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// realCases is a file of testdata/real, which bench/onnx/expected.py wrote: what
// ONNX Runtime answers.
type realCases struct {
	Cases []realCase
}

type realCase struct {
	Name    string
	Inputs  []realInput
	Outputs []realOutput
}

type realInput struct {
	Name, Type string
	Shape      []int64
	Values     []json.Number
	Picture    string // a file beside; instead of values
}

type realOutput struct {
	Name   string
	Shape  []int64
	Values [][2]float64 // index and value of some elements, the largest among them
}

// TestRealModels compares models with their real weights, as people use them, with
// what ONNX Runtime answers. `make test` fetches the models.
func TestRealModels(t *testing.T) {
	dir := os.Getenv("BLINDBOX_MODELS")
	if dir == "" {
		t.Skip("no models in BLINDBOX_MODELS: `make test` fetches them")
	}
	files, err := filepath.Glob("testdata/real/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		name := filepath.Base(file[:len(file)-len(".json")])
		t.Run(name, func(t *testing.T) { testRealModel(t, filepath.Join(dir, name+".onnx"), readCases(t, file)) })
	}
}

func readCases(t *testing.T, file string) []realCase {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var c realCases
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	return c.Cases
}

// testRealModel runs each case with the sets of instructions of [setsFor].
func testRealModel(t *testing.T, file string, cases []realCase) {
	model, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range setsFor(t, file) {
		m, err := onnx.Parse(model, onnx.DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		s, err := onnx.NewSession(m, onnx.WithInstructions(set), onnx.WithThreads(2), onnx.WithPoison())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range cases {
			t.Run(set+"/"+c.Name, func(t *testing.T) {
				out, err := s.Run(t.Context(), c.feeds(t))
				if err != nil {
					t.Fatal(err)
				}
				for _, want := range c.Outputs {
					want.check(t, out[want.Name])
				}
			})
		}
	}
}

func (c *realCase) feeds(t *testing.T) map[string]*tensor.Tensor {
	t.Helper()
	feeds := map[string]*tensor.Tensor{}
	for _, in := range c.Inputs {
		var err error
		if feeds[in.Name], err = in.tensor(); err != nil {
			t.Fatalf("input %s: %v", in.Name, err)
		}
	}
	return feeds
}

func (in realInput) tensor() (*tensor.Tensor, error) {
	if in.Picture != "" {
		return pictureTensor(filepath.Join("testdata", "real", in.Picture))
	}
	switch in.Type {
	case "float32":
		return numbers(in, func(n json.Number) (float32, error) { v, err := n.Float64(); return float32(v), err })
	case "int64":
		return numbers(in, json.Number.Int64)
	}
	return nil, fmt.Errorf("type %s", in.Type)
}

func numbers[T tensor.Elem](in realInput, read func(json.Number) (T, error)) (*tensor.Tensor, error) {
	data := make([]T, len(in.Values))
	for i, n := range in.Values {
		var err error
		if data[i], err = read(n); err != nil {
			return nil, err
		}
	}
	return tensor.Of(data, in.Shape...), nil
}

// pictureTensor prepares a picture as users of these models do: (x/255 - 0.5) / 0.5
// for each of three colours, which are the same in ours.
func pictureTensor(file string) (*tensor.Tensor, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	decoded, err := png.Decode(f)
	if err != nil {
		return nil, err
	}
	grey, ok := decoded.(*image.Gray)
	if !ok {
		return nil, fmt.Errorf("%s is not grey", file)
	}
	one := make([]float32, len(grey.Pix))
	for i, x := range grey.Pix {
		one[i] = (float32(x)/255 - 0.5) / 0.5
	}
	size := grey.Bounds().Size()
	return tensor.Of(slices.Concat(one, one, one), 1, 3, int64(size.Y), int64(size.X)), nil
}

// check allows what bench/onnx allows: |got - want| <= 1e-4 * (largest |want| + |want|).
func (want realOutput) check(t *testing.T, got *tensor.Tensor) {
	t.Helper()
	if got == nil || !slices.Equal(got.Shape, want.Shape) {
		t.Fatalf("output %s: %v, expected shape %v", want.Name, got, want.Shape)
	}
	data, largest := tensor.Data[float32](got), 0.0
	for _, v := range want.Values {
		largest = max(largest, math.Abs(v[1]))
	}
	for _, v := range want.Values {
		i, w := int(v[0]), v[1]
		if off := math.Abs(float64(data[i]) - w); !(off <= 1e-4*(largest+math.Abs(w))) {
			t.Fatalf("output %s: element %d is %g, expected %g", want.Name, i, data[i], w)
		}
	}
}

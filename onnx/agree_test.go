package onnx_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/internal/race"
	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// TestRealModelsAgree runs every model in BLINDBOX_MODELS in all ways that must mean the
// same: fused and operator by operator, with every set of instructions, on one thread
// and on two, in memory that holds garbage. Threads may not change one bit; the rest
// may differ by rounding. With the models of `make bench-onnx`:
//
//	BLINDBOX_MODELS=$PWD/.cache/bench-onnx/models go test ./onnx -run RealModelsAgree -timeout 2h -v
func TestRealModelsAgree(t *testing.T) {
	dir := os.Getenv("BLINDBOX_MODELS")
	if dir == "" {
		t.Skip("no models in BLINDBOX_MODELS: `make test` fetches them")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.onnx"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no models in %s: %v", dir, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { ways{t, file, feedsOf(t, file)}.agree() })
	}
}

// feedsOf finds inputs of a model: in the list that bench/onnx keeps beside it, or in
// the first of our own cases. A model without any has not been tested.
func feedsOf(t *testing.T, file string) map[string]*tensor.Tensor {
	t.Helper()
	name := file[:len(file)-len(".onnx")]
	text, err := os.ReadFile(name + ".json")
	if errors.Is(err, fs.ErrNotExist) {
		return readCases(t, filepath.Join("testdata", "real", filepath.Base(name)+".json"))[0].feeds(t)
	}
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Inputs []struct {
			Name, Type, File string
			Shape            []int64
		}
	}
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	feeds := map[string]*tensor.Tensor{}
	for _, in := range list.Inputs {
		data, err := os.ReadFile(filepath.Join(filepath.Dir(file), in.File))
		if err != nil {
			t.Fatal(err)
		}
		if feeds[in.Name], err = stored(in.Type, in.Shape, data); err != nil {
			t.Fatalf("input %s: %v", in.Name, err)
		}
	}
	return feeds
}

// stored reads little-endian elements.
func stored(kind string, shape []int64, data []byte) (*tensor.Tensor, error) {
	switch kind {
	case "float32":
		return elements[float32](shape, data)
	case "int64":
		return elements[int64](shape, data)
	case "int32":
		return elements[int32](shape, data)
	case "uint8":
		return elements[uint8](shape, data)
	case "bool":
		return elements[bool](shape, data)
	}
	return nil, fmt.Errorf("type %s", kind)
}

func elements[T tensor.Elem](shape []int64, data []byte) (*tensor.Tensor, error) {
	var one T
	out := make([]T, len(data)/binary.Size(one))
	if _, err := binary.Decode(data, binary.LittleEndian, out); err != nil {
		return nil, err
	}
	t := tensor.Of(out, shape...)
	return t, t.Check()
}

// ways runs one model in several ways.
type ways struct {
	*testing.T
	file  string
	feeds map[string]*tensor.Tensor
}

// agree compares each set of instructions with the first, which is portable where
// [setsFor] has it, and each of its ways with its own first.
func (w ways) agree() {
	var first map[string]*tensor.Tensor
	sets := setsFor(w.T, w.file)
	for _, set := range sets {
		with := onnx.WithInstructions(set)
		one := w.run(with, onnx.WithPoison())
		if first == nil {
			first = one
		}
		w.near(set+" and "+sets[0], one, first)
		w.near(set+", fused and not", one, w.run(with, onnx.WithPoison(), onnx.WithoutFusion()))
		w.same(set+", two threads and one", w.run(with, onnx.WithPoison(), onnx.WithThreads(2)), one)
	}
}

// setsFor are the sets of instructions that a model is run with: all of them, portable
// first. Under the race detector a large model has the last ones alone: the portable ones
// would take minutes. `make test` runs these tests without the detector too.
func setsFor(t *testing.T, file string) []string {
	t.Helper()
	sets := onnx.Instructions()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if race.Enabled && info.Size() > 4<<20 && len(sets) > 1 {
		return sets[len(sets)-1:]
	}
	return sets
}

// run makes a session and runs it twice, which must give the same.
func (w ways) run(opts ...onnx.Option) map[string]*tensor.Tensor {
	w.Helper()
	file, err := os.Open(w.file)
	if err != nil {
		w.Fatal(err)
	}
	defer file.Close()
	lim := onnx.DefaultLimits()
	lim.Bytes, lim.Weights, lim.RunBytes = 2<<30, 1<<29, 4<<30
	m, err := onnx.ParseFrom(file, lim)
	if err != nil {
		w.Fatal(err)
	}
	s, err := onnx.NewSession(m, opts...)
	if err != nil {
		w.Fatal(err)
	}
	first, err := s.Run(w.Context(), w.feeds)
	if err != nil {
		w.Fatal(err)
	}
	again, err := s.Run(w.Context(), w.feeds)
	if err != nil {
		w.Fatal(err)
	}
	w.same("a second run", again, first)
	return first
}

// same compares every bit.
func (w ways) same(what string, got, want map[string]*tensor.Tensor) {
	w.Helper()
	for name, v := range want {
		g := got[name]
		if g == nil || g.Type != v.Type || !slices.Equal(g.Shape, v.Shape) || !slices.Equal(bits(g), bits(v)) {
			w.Errorf("%s: output %s differs", what, name)
		}
	}
}

// bits are the words of a tensor's elements.
func bits(t *tensor.Tensor) []uint64 {
	var all []uint64
	switch t.Type.Size() {
	case 8:
		all = tensor.Words[uint64](t)
	case 4:
		for _, x := range tensor.Words[uint32](t) {
			all = append(all, uint64(x))
		}
	case 1:
		for _, x := range tensor.Words[uint8](t) {
			all = append(all, uint64(x))
		}
	}
	return all
}

// rounding is what may lie between two ways: |got - want| <= rounding * (largest |want| +
// |want|). It is three times what bench/onnx allows beside ONNX Runtime, since both sides
// are ours and round, and portable kernels round twice where others do once. The worst of
// sixteen models is PP-OCRv4's detector on noise, with 2.1e-4.
const rounding = 3e-4

// near compares floats as far as rounding lets them differ, and all else bit by bit.
func (w ways) near(what string, got, want map[string]*tensor.Tensor) {
	w.Helper()
	for name, v := range want {
		g := got[name]
		if g == nil || g.Type != v.Type || !slices.Equal(g.Shape, v.Shape) {
			w.Errorf("%s: output %s is %v, expected %v", what, name, g, v)
			continue
		}
		if v.Type != tensor.Float32 {
			w.same(what, map[string]*tensor.Tensor{name: g}, map[string]*tensor.Tensor{name: v})
			continue
		}
		worst, largest := 0.0, 0.0
		data, wanted := tensor.Data[float32](g), tensor.Data[float32](v)
		for _, x := range wanted {
			largest = max(largest, math.Abs(float64(x)))
		}
		for i, x := range wanted {
			off := math.Abs(float64(data[i]) - float64(x))
			if off == 0 || math.IsNaN(float64(x)) && math.IsNaN(float64(data[i])) {
				continue
			}
			if share := off / (largest + math.Abs(float64(x))) / rounding; !(share <= worst) {
				worst = share
			}
		}
		if !(worst <= 1) {
			w.Errorf("%s: output %s is off by %.3g of what rounding may do", what, name, worst)
		}
		w.Logf("%s: output %s off by %.3f of what rounding may do", what, name, worst)
	}
}

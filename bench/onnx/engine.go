package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// listing is NAME.json, which models.py writes beside a model.
type listing struct {
	Inputs, Outputs []stored
	Oracle          string
	Goal            float64 // our time with one thread, at most so many times the peer's
}

// stored is a tensor in a file: its elements, little-endian, row-major.
type stored struct {
	Name, Type, File string
	Shape            []int64
}

func readListing(dir, name string) (listing, error) {
	var l listing
	text, err := os.ReadFile(filepath.Join(dir, name+".json"))
	if err != nil {
		return l, err
	}
	return l, json.Unmarshal(text, &l)
}

// engine is ours with one model.
type engine struct {
	dir     string
	list    listing
	session *onnx.Session
	inputs  map[string]*tensor.Tensor
	outputs map[string]*tensor.Tensor
}

func (e *engine) readInputs() error {
	e.inputs = map[string]*tensor.Tensor{}
	for _, s := range e.list.Inputs {
		t, err := s.read(e.dir)
		if err != nil {
			return fmt.Errorf("input %s: %w", s.Name, err)
		}
		e.inputs[s.Name] = t
	}
	return nil
}

func (e *engine) open(path string, threads int) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	lim := onnx.DefaultLimits()
	lim.Bytes, lim.Weights = 2<<30, 1<<29
	m, err := onnx.ParseFrom(file, lim)
	if err != nil {
		return err
	}
	e.session, err = onnx.NewSession(m, onnx.WithThreads(threads))
	return err
}

func (e *engine) run() (err error) {
	e.outputs, err = e.session.Run(context.Background(), e.inputs)
	return err
}

// deviation is the largest of all outputs' (see compare).
func (e *engine) deviation() (float64, error) {
	worst := 0.0
	for _, s := range e.list.Outputs {
		want, err := s.read(e.dir)
		if err != nil {
			return 0, err
		}
		d, err := compare(e.outputs[s.Name], want)
		if err != nil {
			return 0, fmt.Errorf("output %s: %w", s.Name, err)
		}
		worst = max(worst, d)
	}
	return worst, nil
}

func (s stored) read(dir string) (*tensor.Tensor, error) {
	data, err := os.ReadFile(filepath.Join(dir, s.File))
	if err != nil {
		return nil, err
	}
	var t *tensor.Tensor
	switch s.Type {
	case "float32":
		floats := make([]float32, len(data)/4)
		for i := range floats {
			floats[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		}
		t = tensor.Of(floats, s.Shape...)
	case "int64":
		ints := make([]int64, len(data)/8)
		for i := range ints {
			ints[i] = int64(binary.LittleEndian.Uint64(data[8*i:]))
		}
		t = tensor.Of(ints, s.Shape...)
	default:
		return nil, fmt.Errorf("elements of type %s", s.Type)
	}
	return t, t.Check()
}

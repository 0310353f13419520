package onnx_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// A model is read within limits, checked, and run.
func Example() {
	data, err := os.ReadFile("../examples/tumour/tumour.onnx")
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := onnx.Parse(data, onnx.DefaultLimits())
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := onnx.NewSession(m)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, v := range append(s.Inputs(), s.Outputs()...) {
		fmt.Println(v.Name, v.Type, v.Shape)
	}
	record := tensor.Of(make([]float32, 30), 1, 30)
	out, err := s.Run(context.Background(), map[string]*tensor.Tensor{"features": record})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("class", tensor.Data[int64](out["label"])[0])
	// Output:
	// features float32 [-1 30]
	// probabilities float32 [-1 2]
	// label int64 [-1]
	// class 1
}

// What is wrong is named by input and reason.
func ExampleSession_Run_wrongInput() {
	s, err := read("../examples/tumour/tumour.onnx")
	if err != nil {
		fmt.Println(err)
		return
	}
	short := tensor.Of([]float32{1, 2, 3}, 1, 3)
	_, err = s.Run(context.Background(), map[string]*tensor.Tensor{"features": short})
	fmt.Println(err)
	// Output: onnx: input "features": has shape [1 3], expected [-1 30]
}

// What a run takes is known before it. Here it grows with the number of records.
func ExampleSession_Plan() {
	s, err := read("../examples/tumour/tumour.onnx")
	if err != nil {
		fmt.Println(err)
		return
	}
	one, err := s.Plan(map[string][]int64{"features": {1, 30}})
	if err != nil {
		fmt.Println(err)
		return
	}
	many, err := s.Plan(map[string][]int64{"features": {1000, 30}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("exact:", one.Exact && many.Exact, "more:", many.Work > one.Work)
	_, err = s.Plan(map[string][]int64{"features": {1 << 40, 30}})
	fmt.Println("too large:", errors.Is(err, onnx.ErrLimit))
	// Output:
	// exact: true more: true
	// too large: true
}

// A file is hashed while it is read, and never in memory as a whole.
func ExampleParseFrom() {
	f, err := os.Open("../examples/tumour/tumour.onnx")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()
	digest := sha256.New()
	m, err := onnx.ParseFrom(io.TeeReader(f, digest), onnx.DefaultLimits())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%x\n", digest.Sum(nil)[:8])
	for _, o := range m.Describe().Operators {
		fmt.Println(o.Nodes, o.Name, o.Supported)
	}
	// Output:
	// e8c18ec353e24ffa
	// 1 ArgMax true
	// 1 Div true
	// 3 Gemm true
	// 1 Softmax true
	// 1 Sub true
	// 2 Tanh true
}

// The number of threads changes how long a run takes, and no bit of its results.
func ExampleWithThreads() {
	records := tensor.Of(make([]float32, 64*30), 64, 30)
	var first []float32
	for _, n := range []int{1, 4} {
		s, err := read("../examples/tumour/tumour.onnx", onnx.WithThreads(n))
		if err != nil {
			fmt.Println(err)
			return
		}
		out, err := s.Run(context.Background(), map[string]*tensor.Tensor{"features": records})
		if err != nil {
			fmt.Println(err)
			return
		}
		p := tensor.Data[float32](out["probabilities"])
		if first == nil {
			first = p
		}
		fmt.Println(len(p), slices.Equal(p, first))
	}
	// Output:
	// 128 true
	// 128 true
}

// A budget bounds what all runs take together. Outputs count until they are released.
func ExampleSession_RunWithin() {
	s, err := read("../examples/tumour/tumour.onnx")
	if err != nil {
		fmt.Println(err)
		return
	}
	inputs := map[string]*tensor.Tensor{"features": tensor.Of(make([]float32, 30), 1, 30)}
	budget := onnx.NewBudget(1 << 20)
	others := budget.Share()
	if err := others.Take(1 << 20); err != nil {
		fmt.Println(err)
		return
	}
	share := budget.Share()
	defer share.Release()
	_, err = s.RunWithin(context.Background(), inputs, share)
	fmt.Println("busy:", errors.Is(err, onnx.ErrBusy))
	others.Release()
	_, err = s.RunWithin(context.Background(), inputs, share)
	fmt.Println("then:", err)
	// Output:
	// busy: true
	// then: <nil>
}

// read makes a session of a file. Its weights go straight from the file into memory.
func read(file string, opts ...onnx.Option) (*onnx.Session, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, err := onnx.ParseFrom(f, onnx.DefaultLimits())
	if err != nil {
		return nil, err
	}
	return onnx.NewSession(m, opts...)
}

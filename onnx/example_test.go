package onnx_test

import (
	"context"
	"fmt"
	"os"

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
	short := tensor.Of([]float32{1, 2, 3}, 1, 3)
	_, err = s.Run(context.Background(), map[string]*tensor.Tensor{"features": short})
	fmt.Println(err)
	// Output: onnx: input "features": has shape [1 3], expected [-1 30]
}

package model

import (
	"fmt"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// datatypes lists the element types of the protocol by its names (Tensor Data Types).
// FP16 and BF16 have no form in JSON.
func datatypes() map[tensor.DataType]string {
	return map[tensor.DataType]string{
		tensor.Bool: "BOOL", tensor.String: "BYTES", tensor.Float32: "FP32", tensor.Float64: "FP64",
		tensor.Float16: "FP16", tensor.BFloat16: "BF16",
		tensor.Int8: "INT8", tensor.Int16: "INT16", tensor.Int32: "INT32", tensor.Int64: "INT64",
		tensor.Uint8: "UINT8", tensor.Uint16: "UINT16", tensor.Uint32: "UINT32", tensor.Uint64: "UINT64",
	}
}

// datatypeOf names an element type as the protocol does; "" is one it has no name for.
func datatypeOf(t tensor.DataType) string { return datatypes()[t] }

// datatypeNamed is the element type of a protocol name.
func datatypeNamed(name string) (tensor.DataType, error) {
	for t, known := range datatypes() {
		if known == name {
			return t, nil
		}
	}
	return 0, fmt.Errorf("datatype %.20q is not supported; there are FP16, BF16, FP32, FP64, INT8 to INT64, UINT8 to UINT64, BOOL and BYTES", name)
}

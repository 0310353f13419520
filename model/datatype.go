package model

import (
	"fmt"

	"github.com/blindbox/blindbox/onnx"
)

// datatypeOf names an element type as the protocol does (Tensor Data Types).
func datatypeOf(t onnx.DataType) string {
	switch t {
	case onnx.Float32:
		return "FP32"
	case onnx.Int64:
		return "INT64"
	case onnx.Bool:
		return "BOOL"
	case onnx.String:
		return "BYTES"
	}
	return ""
}

// datatypeNamed is the element type of a protocol name.
func datatypeNamed(name string) (onnx.DataType, error) {
	for _, t := range []onnx.DataType{onnx.Float32, onnx.Int64, onnx.Bool, onnx.String} {
		if datatypeOf(t) == name {
			return t, nil
		}
	}
	return 0, fmt.Errorf("datatype %.20q is not supported; there are FP32, INT64, BOOL and BYTES", name)
}

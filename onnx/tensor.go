package onnx

import (
	"fmt"
	"math"
	"slices"
)

// DataType is the element type of a tensor. The numbers are those of
// TensorProto.DataType in the ONNX specification; zero is undefined.
type DataType int32

// The element types that this engine computes with. Every other number of the
// specification has a name (see String) but is refused when a model is read.
const (
	Float32 DataType = 1
	Int64   DataType = 7
	String  DataType = 8
	Bool    DataType = 9
)

// typeNames holds the specification's names in lower case, so that a model of
// an unsupported type is refused by its name and not by a number.
func typeNames() []string {
	return []string{
		"undefined", "float32", "uint8", "int8", "uint16", "int16", "int32", "int64",
		"string", "bool", "float16", "float64", "uint32", "uint64", "complex64",
		"complex128", "bfloat16", "float8e4m3fn", "float8e4m3fnuz", "float8e5m2",
		"float8e5m2fnuz", "uint4", "int4", "float4e2m1", "float8e8m0", "uint2", "int2",
	}
}

// String returns the type's name as the ONNX specification has it, in lower case.
func (t DataType) String() string {
	names := typeNames()
	if t < 0 || int(t) >= len(names) {
		return fmt.Sprintf("type %d", int32(t))
	}
	return names[t]
}

// Supported says whether this engine can hold and compute with the type.
func (t DataType) Supported() bool {
	return t == Float32 || t == Int64 || t == String || t == Bool
}

// Tensor is a dense array in row-major order. Exactly the slice that Type
// names holds the elements; the others are nil. An empty Shape is a scalar with
// one element. A tensor handed to Run is read, never written.
type Tensor struct {
	Type  DataType
	Shape []int64
	F32   []float32 // Type Float32
	I64   []int64   // Type Int64
	Str   []string  // Type String
	Bool  []bool    // Type Bool
}

// Len returns the number of elements that the tensor's slice holds.
func (t *Tensor) Len() int {
	switch t.Type {
	case Float32:
		return len(t.F32)
	case Int64:
		return len(t.I64)
	case String:
		return len(t.Str)
	case Bool:
		return len(t.Bool)
	}
	return 0
}

// Check reports whether type, shape and elements agree: a supported type, no
// negative dimension, and as many elements as the shape says.
func (t *Tensor) Check() error {
	if t == nil {
		return fmt.Errorf("no tensor")
	}
	if !t.Type.Supported() {
		return fmt.Errorf("element type %s is not supported", t.Type)
	}
	n, err := countElements(t.Shape)
	if err != nil {
		return err
	}
	if n != int64(t.Len()) {
		return fmt.Errorf("shape %v needs %d %s elements, got %d", t.Shape, n, t.Type, t.Len())
	}
	if t.Len() != len(t.F32)+len(t.I64)+len(t.Str)+len(t.Bool) {
		return fmt.Errorf("elements of another type beside %s", t.Type)
	}
	return nil
}

// newTensor makes a tensor of zeros. The caller has bounded the element count.
func newTensor(t DataType, shape []int64, n int64) *Tensor {
	out := &Tensor{Type: t, Shape: slices.Clone(shape)}
	switch t {
	case Float32:
		out.F32 = make([]float32, n)
	case Int64:
		out.I64 = make([]int64, n)
	case String:
		out.Str = make([]string, n)
	case Bool:
		out.Bool = make([]bool, n)
	}
	return out
}

// countElements multiplies the dimensions, and refuses negative ones and
// products that do not fit into an int64.
func countElements(shape []int64) (int64, error) {
	n := int64(1)
	for _, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("dimension %d in shape %v is negative", d, shape)
		}
		if d != 0 && n > math.MaxInt64/d {
			return 0, fmt.Errorf("shape %v has more elements than an int64 can count", shape)
		}
		n *= d
	}
	return n, nil
}

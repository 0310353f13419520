package tensor

import "fmt"

// DataType is the element type of a tensor, or the kind of a value that is not
// a tensor. The numbers of element types are those of TensorProto.DataType in
// the ONNX specification; zero is undefined.
type DataType int32

// The element types. The 4-bit and 8-bit floating types and the 4-bit and 2-bit
// integers are stored one to a byte, so that every element has an address.
const (
	Float32        DataType = 1
	Uint8          DataType = 2
	Int8           DataType = 3
	Uint16         DataType = 4
	Int16          DataType = 5
	Int32          DataType = 6
	Int64          DataType = 7
	String         DataType = 8
	Bool           DataType = 9
	Float16        DataType = 10
	Float64        DataType = 11
	Uint32         DataType = 12
	Uint64         DataType = 13
	Complex64      DataType = 14
	Complex128     DataType = 15
	BFloat16       DataType = 16
	Float8E4M3FN   DataType = 17
	Float8E4M3FNUZ DataType = 18
	Float8E5M2     DataType = 19
	Float8E5M2FNUZ DataType = 20
	Uint4          DataType = 21
	Int4           DataType = 22
	Float4E2M1     DataType = 23
	Float8E8M0     DataType = 24
	Uint2          DataType = 25
	Int2           DataType = 26
)

// Values that are not tensors. The numbers are this engine's own.
const (
	Sequence DataType = 1<<16 + 1 // any number of values of one type
	Optional DataType = 1<<16 + 2 // one value or none
)

// lastType is the highest element type that the specification has.
const lastType = Int2

// String returns the type's name as the ONNX specification has it, in lower case.
func (t DataType) String() string {
	names := [...]string{
		"undefined", "float32", "uint8", "int8", "uint16", "int16", "int32", "int64",
		"string", "bool", "float16", "float64", "uint32", "uint64", "complex64",
		"complex128", "bfloat16", "float8e4m3fn", "float8e4m3fnuz", "float8e5m2",
		"float8e5m2fnuz", "uint4", "int4", "float4e2m1", "float8e8m0", "uint2", "int2",
	}
	switch {
	case t == Sequence:
		return "sequence"
	case t == Optional:
		return "optional"
	case t < 0 || int(t) >= len(names):
		return fmt.Sprintf("type %d", int32(t))
	}
	return names[t]
}

// Element says whether tensors have elements of this type.
func (t DataType) Element() bool { return t >= Float32 && t <= lastType }

// Size is the memory of one element in bytes. A string counts as its header of
// 16 bytes, without its text. It is 0 for what is no element type.
func (t DataType) Size() int64 {
	switch t {
	case Complex128, String:
		return 16
	case Int64, Uint64, Float64, Complex64:
		return 8
	case Float32, Int32, Uint32:
		return 4
	case Int16, Uint16, Float16, BFloat16:
		return 2
	}
	if t.Element() {
		return 1
	}
	return 0
}

// Packed is the number of elements of the type that a file stores in one byte:
// 2 for 4-bit types, 4 for 2-bit types, and 1 for all others.
func (t DataType) Packed() int64 {
	switch t {
	case Uint4, Int4, Float4E2M1:
		return 2
	case Uint2, Int2:
		return 4
	}
	return 1
}

// The Go types of elements for which Go has none of its own. Floating types hold
// the bits of the format; the small integers hold their value.
type (
	F16    uint16 // IEEE 754 binary16
	BF16   uint16 // the upper half of a float32
	E4M3   uint8  // float8e4m3fn
	E4M3UZ uint8  // float8e4m3fnuz
	E5M2   uint8  // float8e5m2
	E5M2UZ uint8  // float8e5m2fnuz
	U4     uint8  // 0 to 15
	I4     int8   // -8 to 7
	E2M1   uint8  // float4e2m1
	E8M0   uint8  // float8e8m0: a power of two
	U2     uint8  // 0 to 3
	I2     int8   // -2 to 1
)

// Elem is every Go type of elements.
type Elem interface {
	float32 | float64 | int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64 |
		bool | string | complex64 | complex128 |
		F16 | BF16 | E4M3 | E4M3UZ | E5M2 | E5M2UZ | U4 | I4 | E2M1 | E8M0 | U2 | I2
}

// TypeOf returns the element type that Go's T stands for.
func TypeOf[T Elem]() DataType { return typeOfSlice([]T(nil)) }

func typeOfSlice(data any) DataType {
	switch data.(type) {
	case []float32, *panels:
		return Float32
	case []uint8:
		return Uint8
	case []int8:
		return Int8
	case []uint16:
		return Uint16
	case []int16:
		return Int16
	case []int32:
		return Int32
	case []int64:
		return Int64
	case []string:
		return String
	case []bool:
		return Bool
	case []F16:
		return Float16
	case []float64:
		return Float64
	case []uint32:
		return Uint32
	case []uint64:
		return Uint64
	case []complex64:
		return Complex64
	case []complex128:
		return Complex128
	case []BF16:
		return BFloat16
	case []E4M3:
		return Float8E4M3FN
	case []E4M3UZ:
		return Float8E4M3FNUZ
	case []E5M2:
		return Float8E5M2
	case []E5M2UZ:
		return Float8E5M2FNUZ
	case []U4:
		return Uint4
	case []I4:
		return Int4
	case []E2M1:
		return Float4E2M1
	case []E8M0:
		return Float8E8M0
	case []U2:
		return Uint2
	case []I2:
		return Int2
	}
	return 0
}

// TypeNumbered is the type that a number in a file stands for; numbers outside of
// the enum do not wrap into it.
func TypeNumbered(v int64) DataType {
	if v < 0 || v > int64(lastType) {
		return -1
	}
	return DataType(v)
}

// Types lists all element types.
func Types() []DataType {
	all := make([]DataType, 0, lastType)
	for t := Float32; t <= lastType; t++ {
		all = append(all, t)
	}
	return all
}

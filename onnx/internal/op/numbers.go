package op

import "github.com/blindbox/blindbox/onnx/tensor"

// Elements of 20 types are numbers, but they compute in three ways only: as
// float64, as int64 or as uint64, each of which holds all numbers of its class.
// Operators are written for these three. What comes before and after, reading a
// block of elements of whatever type into numbers and writing it back, is here and
// nowhere else. A result is rounded when it is written (to 16 bits by way of float32);
// integers that are too large keep their low bits.

// numeric is what operators compute with.
type numeric interface{ float64 | int64 | uint64 }

// block is how many elements are computed together: few enough to stay in the
// first-level cache, many enough that the calls around them do not count.
const block = 256

// work is memory for n numbers, all zero, that an operator takes while it runs. Much of
// it counts as memory of the run.
func work[V numeric | complex128](env *Env, n int) ([]V, error) {
	if n <= block {
		return make([]V, n), nil
	}
	t, err := env.New(tensor.TypeOf[V](), []int64{int64(n)})
	if err != nil {
		return nil, err
	}
	data := tensor.Data[V](t)
	clear(data)
	return data, nil
}

// class is the way in which elements of a type compute.
type class int

const (
	none class = iota // not numbers
	floating
	signed
	unsigned
)

func classOf(t tensor.DataType) class {
	switch t {
	case tensor.Float32, tensor.Float64, tensor.Float16, tensor.BFloat16, tensor.Float8E4M3FN, tensor.Float8E4M3FNUZ,
		tensor.Float8E5M2, tensor.Float8E5M2FNUZ, tensor.Float4E2M1, tensor.Float8E8M0:
		return floating
	case tensor.Int8, tensor.Int16, tensor.Int32, tensor.Int64, tensor.Int4, tensor.Int2:
		return signed
	case tensor.Uint8, tensor.Uint16, tensor.Uint32, tensor.Uint64, tensor.Uint4, tensor.Uint2:
		return unsigned
	}
	return none
}

// The types that arithmetic takes. The small ones of 8 bits and less only store
// numbers: models cast them before they compute.
func floatTypes() []tensor.DataType {
	return []tensor.DataType{tensor.Float32, tensor.Float64, tensor.Float16, tensor.BFloat16}
}

// shortFloats are the types that transformers and scales are stored in.
func shortFloats() []tensor.DataType {
	return []tensor.DataType{tensor.Float32, tensor.Float16, tensor.BFloat16}
}

func signedTypes() []tensor.DataType {
	return []tensor.DataType{tensor.Int64, tensor.Int32, tensor.Int16, tensor.Int8}
}

func unsignedTypes() []tensor.DataType {
	return []tensor.DataType{tensor.Uint64, tensor.Uint32, tensor.Uint16, tensor.Uint8}
}

func intTypes() []tensor.DataType { return append(signedTypes(), unsignedTypes()...) }

func numberTypes() []tensor.DataType { return append(floatTypes(), intTypes()...) }

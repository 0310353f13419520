package op

import (
	"math"

	"github.com/blindbox/blindbox/onnx/internal/narrow"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// read copies the elements at, at+step, ... of a tensor into values, as many as
// there are.
type read[V numeric] func(values []V, at, step int)

// reader reads a tensor of numbers or bools, which are 0 and 1; nil for others.
func reader[V numeric](t *tensor.Tensor) read[V] {
	if classOf(t.Type) == floating {
		return truncating[V](floatReader(t))
	}
	switch t.Type {
	case tensor.Int64:
		return readStored[int64, V](t)
	case tensor.Int32:
		return readStored[int32, V](t)
	case tensor.Int16:
		return readStored[int16, V](t)
	case tensor.Int8:
		return readStored[int8, V](t)
	case tensor.Uint64:
		return readStored[uint64, V](t)
	case tensor.Uint32:
		return readStored[uint32, V](t)
	case tensor.Uint16:
		return readStored[uint16, V](t)
	case tensor.Uint8:
		return readStored[uint8, V](t)
	case tensor.Int4:
		return readStored[tensor.I4, V](t)
	case tensor.Uint4:
		return readStored[tensor.U4, V](t)
	case tensor.Int2:
		return readStored[tensor.I2, V](t)
	case tensor.Uint2:
		return readStored[tensor.U2, V](t)
	case tensor.Bool:
		return readBool[V](tensor.Data[bool](t))
	}
	return nil
}

func floatReader(t *tensor.Tensor) read[float64] {
	switch t.Type {
	case tensor.Float32:
		return readStored[float32, float64](t)
	case tensor.Float64:
		return readStored[float64, float64](t)
	case tensor.Float16:
		return readAs(t, func(x tensor.F16) float64 { return float64(narrow.F16ToFloat32(x)) })
	case tensor.BFloat16:
		return readAs(t, func(x tensor.BF16) float64 { return float64(narrow.BF16ToFloat32(x)) })
	case tensor.Float8E4M3FN:
		return readAs(t, narrow.Decode[tensor.E4M3])
	case tensor.Float8E4M3FNUZ:
		return readAs(t, narrow.Decode[tensor.E4M3UZ])
	case tensor.Float8E5M2:
		return readAs(t, narrow.Decode[tensor.E5M2])
	case tensor.Float8E5M2FNUZ:
		return readAs(t, narrow.Decode[tensor.E5M2UZ])
	case tensor.Float4E2M1:
		return readAs(t, narrow.Decode[tensor.E2M1])
	}
	return readAs(t, narrow.E8M0ToFloat64)
}

// stored are the Go types whose values are numbers by themselves.
type stored interface {
	float32 | float64 | int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64 |
		tensor.U4 | tensor.I4 | tensor.U2 | tensor.I2
}

func readStored[T stored, V numeric](t *tensor.Tensor) read[V] {
	data := tensor.Data[T](t)
	return func(values []V, at, step int) {
		if step == 1 {
			for i, x := range data[at : at+len(values)] {
				values[i] = V(x)
			}
			return
		}
		for i := range values {
			values[i] = V(data[at+i*step])
		}
	}
}

// readAs reads the floating types that Go does not have.
func readAs[T tensor.Elem](t *tensor.Tensor, as func(T) float64) read[float64] {
	data := tensor.Data[T](t)
	return func(values []float64, at, step int) {
		for i := range values {
			values[i] = as(data[at+i*step])
		}
	}
}

func readBool[V numeric](data []bool) read[V] {
	return func(values []V, at, step int) {
		for i := range values {
			values[i] = 0
			if data[at+i*step] {
				values[i] = 1
			}
		}
	}
}

// truncating reads floats as V.
func truncating[V numeric](from read[float64]) read[V] {
	if same, ok := any(from).(read[V]); ok {
		return same
	}
	floats := make([]float64, block)
	return func(values []V, at, step int) {
		for len(values) > 0 {
			n := min(len(values), block)
			from(floats[:n], at, step)
			dropFractions(values[:n], floats)
			values, at = values[n:], at+n*step
		}
	}
}

// dropFractions drops the fractions of floats.
func dropFractions[V numeric](values []V, floats []float64) {
	switch to := any(values).(type) {
	case []float64:
		copy(to, floats)
	case []int64:
		for i := range to {
			to[i] = int64Of(floats[i])
		}
	case []uint64:
		for i := range to {
			to[i] = uint64Of(floats[i])
		}
	}
}

// int64Of truncates. What int64 cannot hold, NaN too, becomes the smallest int64,
// which is what x86 hardware gives; Go leaves it to the machine.
func int64Of(f float64) int64 {
	if f >= -0x1p63 && f < 0x1p63 {
		return int64(f)
	}
	return math.MinInt64
}

// uint64Of is int64Of for uint64; a negative number becomes its low bits.
func uint64Of(f float64) uint64 {
	if f >= 0x1p63 && f < 0x1p64 {
		return 1<<63 + uint64(int64(f-0x1p63))
	}
	return uint64(int64Of(f))
}

package op

import (
	"github.com/blindbox/blindbox/onnx/internal/narrow"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// write copies values to the elements at, at+step, ... of a tensor.
type write[V numeric] func(values []V, at, step int)

// narrowing says what becomes of a number that a floating type of 8 bits cannot hold.
type narrowing struct {
	saturate bool // the largest number that it has, instead of infinity or NaN
	mode     narrow.Rounding
}

// writer writes to a tensor of numbers or bools, and rounds as operators other than
// Cast do; nil for other types.
func writer[V numeric](t *tensor.Tensor) write[V] { return narrowWriter[V](t, narrowing{}) }

func narrowWriter[V numeric](t *tensor.Tensor, n narrowing) write[V] {
	switch classOf(t.Type) {
	case floating:
		return floatWriter[V](t, n)
	case signed:
		return truncated(signedWriter(t), int64Of, func(v V) int64 { return int64(v) })
	case unsigned:
		return truncated(unsignedWriter(t), uint64Of, func(v V) uint64 { return uint64(v) })
	}
	if t.Type != tensor.Bool {
		return nil
	}
	data := tensor.Data[bool](t)
	return func(values []V, at, step int) {
		for i, v := range values {
			data[at+i*step] = v != 0
		}
	}
}

func floatWriter[V numeric](t *tensor.Tensor, n narrowing) write[V] {
	switch t.Type {
	case tensor.Float32:
		return writeAs(t, func(v V) float32 { return float32(v) })
	case tensor.Float64:
		return writeAs(t, func(v V) float64 { return float64(v) })
	case tensor.Float16:
		return writeAs(t, func(v V) tensor.F16 { return narrow.F16FromFloat32(float32(v)) })
	case tensor.BFloat16:
		return writeAs(t, func(v V) tensor.BF16 { return narrow.BF16FromFloat32(float32(v)) })
	case tensor.Float8E4M3FN:
		return writeAs(t, func(v V) tensor.E4M3 { return narrow.Encode[tensor.E4M3](float64(v), n.saturate) })
	case tensor.Float8E4M3FNUZ:
		return writeAs(t, func(v V) tensor.E4M3UZ { return narrow.Encode[tensor.E4M3UZ](float64(v), n.saturate) })
	case tensor.Float8E5M2:
		return writeAs(t, func(v V) tensor.E5M2 { return narrow.Encode[tensor.E5M2](float64(v), n.saturate) })
	case tensor.Float8E5M2FNUZ:
		return writeAs(t, func(v V) tensor.E5M2UZ { return narrow.Encode[tensor.E5M2UZ](float64(v), n.saturate) })
	case tensor.Float4E2M1:
		return writeAs(t, func(v V) tensor.E2M1 { return narrow.Encode[tensor.E2M1](float64(v), true) })
	}
	return writeAs(t, func(v V) tensor.E8M0 { return narrow.E8M0FromFloat64(float64(v), n.saturate, n.mode) })
}

func signedWriter(t *tensor.Tensor) write[int64] {
	switch t.Type {
	case tensor.Int64:
		return writeAs(t, func(v int64) int64 { return v })
	case tensor.Int32:
		return writeAs(t, func(v int64) int32 { return int32(v) })
	case tensor.Int16:
		return writeAs(t, func(v int64) int16 { return int16(v) })
	case tensor.Int8:
		return writeAs(t, func(v int64) int8 { return int8(v) })
	case tensor.Int4:
		return writeAs(t, func(v int64) tensor.I4 { return tensor.I4(int8(v<<4) >> 4) })
	}
	return writeAs(t, func(v int64) tensor.I2 { return tensor.I2(int8(v<<6) >> 6) })
}

func unsignedWriter(t *tensor.Tensor) write[uint64] {
	switch t.Type {
	case tensor.Uint64:
		return writeAs(t, func(v uint64) uint64 { return v })
	case tensor.Uint32:
		return writeAs(t, func(v uint64) uint32 { return uint32(v) })
	case tensor.Uint16:
		return writeAs(t, func(v uint64) uint16 { return uint16(v) })
	case tensor.Uint8:
		return writeAs(t, func(v uint64) uint8 { return uint8(v) })
	case tensor.Uint4:
		return writeAs(t, func(v uint64) tensor.U4 { return tensor.U4(v & 15) })
	}
	return writeAs(t, func(v uint64) tensor.U2 { return tensor.U2(v & 3) })
}

func writeAs[T tensor.Elem, V numeric](t *tensor.Tensor, as func(V) T) write[V] {
	data := tensor.Data[T](t)
	return func(values []V, at, step int) {
		for i, v := range values {
			data[at+i*step] = as(v)
		}
	}
}

// truncated writes V as integers I: floats by the function given, since Go leaves
// open what becomes of those that are too large, and integers by their low bits.
func truncated[V, I numeric](to write[I], float func(float64) I, integer func(V) I) write[V] {
	if same, ok := any(to).(write[V]); ok {
		return same
	}
	convert := integer
	if f, ok := any(float).(func(V) I); ok {
		convert = f
	}
	var ints [block]I
	return func(values []V, at, step int) {
		for len(values) > 0 {
			n := min(len(values), block)
			for i, v := range values[:n] {
				ints[i] = convert(v)
			}
			to(ints[:n], at, step)
			values, at = values[n:], at+n*step
		}
	}
}

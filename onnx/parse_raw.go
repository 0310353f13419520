package onnx

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// decoder returns a function that takes the elements of t as raw_data has them, piece
// by piece: little-endian and of fixed width, types below a byte packed from the
// lowest bits on (onnx.proto3, TensorProto). No piece ends inside an element, and all
// pieces together have the elements of t.
func decoder(t *tensor.Tensor) func([]byte) error {
	if b := tensor.LittleEndian(t); b != nil {
		return decodeBytes(b)
	}
	return decoderByElement(t)
}

// decoderByElement is for types that memory has in another form than files, and for
// all types on machines of another byte order.
func decoderByElement(t *tensor.Tensor) func([]byte) error {
	switch t.Type {
	case tensor.Bool:
		return decodeBools(tensor.Data[bool](t))
	case tensor.Complex64:
		return decodeComplex64(tensor.Data[complex64](t))
	case tensor.Complex128:
		return decodeComplex128(tensor.Data[complex128](t))
	case tensor.Uint4, tensor.Float4E2M1, tensor.Uint2:
		return decodeBits(tensor.Words[uint8](t), int(t.Type.Packed()), func(b byte, spare int) byte { return b >> spare })
	case tensor.Int4, tensor.Int2:
		return decodeBits(tensor.Words[uint8](t), int(t.Type.Packed()), func(b byte, spare int) byte { return byte(int8(b) >> spare) })
	}
	switch t.Type.Size() {
	case 2:
		return decodeWords16(tensor.Words[uint16](t))
	case 4:
		return decodeWords32(tensor.Words[uint32](t))
	case 8:
		return decodeWords64(tensor.Words[uint64](t))
	}
	return decodeBytes(tensor.Words[uint8](t))
}

func decodeBytes(to []uint8) func([]byte) error {
	return func(b []byte) error {
		to = to[copy(to, b):]
		return nil
	}
}

func decodeWords16(to []uint16) func([]byte) error {
	return func(b []byte) error {
		n := len(b) / 2
		for i := range to[:n] {
			to[i] = binary.LittleEndian.Uint16(b[2*i:])
		}
		to = to[n:]
		return nil
	}
}

func decodeWords32(to []uint32) func([]byte) error {
	return func(b []byte) error {
		n := len(b) / 4
		for i := range to[:n] {
			to[i] = binary.LittleEndian.Uint32(b[4*i:])
		}
		to = to[n:]
		return nil
	}
}

func decodeWords64(to []uint64) func([]byte) error {
	return func(b []byte) error {
		n := len(b) / 8
		for i := range to[:n] {
			to[i] = binary.LittleEndian.Uint64(b[8*i:])
		}
		to = to[n:]
		return nil
	}
}

func decodeBools(all []bool) func([]byte) error {
	to := all
	return func(b []byte) error {
		for i, v := range b {
			if v > 1 {
				return fmt.Errorf("bool element %d is %d, expected 0 or 1", len(all)-len(to)+i, v)
			}
			to[i] = v == 1
		}
		to = to[len(b):]
		return nil
	}
}

func decodeComplex64(to []complex64) func([]byte) error {
	half := func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }
	return func(b []byte) error {
		for ; len(b) > 0; b, to = b[8:], to[1:] {
			to[0] = complex(half(b), half(b[4:]))
		}
		return nil
	}
}

func decodeComplex128(to []complex128) func([]byte) error {
	half := func(b []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b)) }
	return func(b []byte) error {
		for ; len(b) > 0; b, to = b[16:], to[1:] {
			to[0] = complex(half(b), half(b[8:]))
		}
		return nil
	}
}

// decodeBits takes several elements from each byte. An element's bits are moved to
// the top, and down takes them to where they belong, past the spare ones.
func decodeBits(to []uint8, packed int, down func(b byte, spare int) byte) func([]byte) error {
	width := 8 / packed
	return func(b []byte) error {
		for _, v := range b {
			n := min(packed, len(to))
			for i := range n {
				to[i] = down(v<<(8-width*(i+1)), 8-width)
			}
			to = to[n:]
		}
		return nil
	}
}

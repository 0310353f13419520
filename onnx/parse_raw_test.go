package onnx

import (
	"reflect"
	"testing"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// TestDecodersAgree: what is copied as a whole is what reading by element gives.
func TestDecodersAgree(t *testing.T) {
	raw := make([]byte, 96)
	for i := range raw {
		raw[i] = byte(i*37 + 11)
	}
	for _, typ := range []tensor.DataType{
		tensor.Float32, tensor.Float64, tensor.Float16, tensor.BFloat16, tensor.Int8, tensor.Int16, tensor.Int32, tensor.Int64,
		tensor.Uint8, tensor.Uint16, tensor.Uint32, tensor.Uint64, tensor.Complex64, tensor.Complex128, tensor.Float8E4M3FN,
	} {
		shape := []int64{int64(len(raw)) / typ.Size()}
		whole, err := tensor.New(typ, shape)
		if err != nil {
			t.Fatal(err)
		}
		single, err := tensor.New(typ, shape)
		if err != nil {
			t.Fatal(err)
		}
		for made, decode := range map[*tensor.Tensor]func([]byte) error{whole: decoder(whole), single: decoderByElement(single)} {
			for _, piece := range [][]byte{raw[:32], raw[32:]} {
				if err := decode(piece); err != nil {
					t.Fatalf("%s %v: %v", typ, made.Shape, err)
				}
			}
		}
		if a, b := tensor.LittleEndian(whole), tensor.LittleEndian(single); !reflect.DeepEqual(a, b) || !reflect.DeepEqual(b, raw) {
			t.Errorf("%s: %v and %v, expected %v", typ, a, b, raw)
		}
	}
}

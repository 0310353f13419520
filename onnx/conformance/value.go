package main

import (
	"errors"

	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// readValue reads an input or output file: the message that the model's type of the
// value says (onnx-data.proto3: SequenceProto, OptionalProto; onnx.proto3:
// TensorProto).
func readValue(file []byte, types []tensor.DataType) (*tensor.Tensor, error) {
	if len(types) == 0 || types[len(types)-1] == 0 {
		return nil, errors.New("has no type that the engine knows")
	}
	var v *tensor.Tensor
	var err error
	switch types[0] {
	case tensor.Sequence:
		v, err = onnx.ParseSequence(file, onnx.DefaultLimits())
	case tensor.Optional:
		v, err = onnx.ParseOptional(file, onnx.DefaultLimits())
	default:
		v, err = onnx.ParseTensor(file, onnx.DefaultLimits())
	}
	if err != nil {
		return nil, err
	}
	if v.Type == tensor.Uint16 && types[0] == tensor.BFloat16 {
		return bfloat16(v)
	}
	name(v, types)
	return v, nil
}

// name tells lists what they hold: an empty one does not say so in its file.
func name(v *tensor.Tensor, types []tensor.DataType) {
	if len(types) < 2 || v.Type.Element() {
		return
	}
	v.ItemType = types[1]
	if len(types) > 2 {
		v.Inner = types[2]
	}
	for _, item := range v.Items {
		name(item, types[1:])
	}
}

// bfloat16 calls elements what they are. The first cases of the type were written when
// their authors' tools had none for it, and say uint16 of the same bits.
func bfloat16(v *tensor.Tensor) (*tensor.Tensor, error) {
	out, err := tensor.New(tensor.BFloat16, v.Shape)
	if err == nil {
		copy(tensor.Words[uint16](out), tensor.Words[uint16](v))
	}
	return out, err
}

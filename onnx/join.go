package onnx

import (
	"fmt"
	"slices"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// JoinRows makes one set of inputs of several: in dimension 0 of each, their rows lie
// one behind the other. All have the same names, types and, but for that dimension,
// shapes. The result shares no memory with them.
func JoinRows(list []map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
	if len(list) == 0 {
		return nil, fmt.Errorf("onnx: no inputs to join")
	}
	out := make(map[string]*tensor.Tensor, len(list[0]))
	for name, first := range list[0] {
		parts := make([]*tensor.Tensor, len(list))
		shape := slices.Clone(first.Shape)
		for i, in := range list {
			t := in[name]
			if t == nil || len(in) != len(list[0]) || t.Type != first.Type || len(t.Shape) == 0 || len(shape) == 0 || !slices.Equal(t.Shape[1:], shape[1:]) {
				return nil, &InputError{name, fmt.Errorf("is not alike in what should be joined")}
			}
			if parts[i] = t; i > 0 {
				shape[0] += t.Shape[0]
			}
		}
		joined, err := tensor.New(first.Type, shape)
		if err != nil {
			return nil, &InputError{name, err}
		}
		at := 0
		for _, t := range parts {
			if err := copyElements(joined, at, t, 0, t.Len()); err != nil {
				return nil, &InputError{name, err}
			}
			at += t.Len()
		}
		out[name] = joined
	}
	return out, nil
}

// TakeRows copies rows of results: count of them, from row first on.
func TakeRows(results map[string]*tensor.Tensor, first, count int64) (map[string]*tensor.Tensor, error) {
	out := make(map[string]*tensor.Tensor, len(results))
	for name, t := range results {
		if len(t.Shape) == 0 || first < 0 || count < 0 || first > t.Shape[0]-count {
			return nil, fmt.Errorf("onnx: output %s of shape %v does not have the rows %d to %d", quote(name), t.Shape, first, first+count)
		}
		shape := slices.Clone(t.Shape)
		shape[0] = count
		part, err := tensor.New(t.Type, shape)
		if err != nil {
			return nil, fmt.Errorf("onnx: output %s: %w", quote(name), err)
		}
		each := 0
		if t.Shape[0] > 0 {
			each = t.Len() / int(t.Shape[0])
		}
		if err := copyElements(part, 0, t, int(first)*each, int(count)*each); err != nil {
			return nil, fmt.Errorf("onnx: output %s: %w", quote(name), err)
		}
		out[name] = part
	}
	return out, nil
}

// copyElements copies n elements of one tensor to another of its type.
func copyElements(to *tensor.Tensor, at int, from *tensor.Tensor, first, n int) error {
	switch to.Type.Size() {
	case 1:
		copyWords[uint8](to, at, from, first, n)
	case 2:
		copyWords[uint16](to, at, from, first, n)
	case 4:
		copyWords[uint32](to, at, from, first, n)
	case 8:
		copyWords[uint64](to, at, from, first, n)
	default:
		return fmt.Errorf("is %s, expected numbers of up to 8 bytes", to.Type)
	}
	return nil
}

func copyWords[W uint8 | uint16 | uint32 | uint64](to *tensor.Tensor, at int, from *tensor.Tensor, first, n int) {
	copy(tensor.Words[W](to)[at:at+n], tensor.Words[W](from)[first:first+n])
}

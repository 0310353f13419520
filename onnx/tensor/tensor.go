// Package tensor holds the values that models take and give: dense arrays of
// elements of one type, and sequences and optionals of such values. It knows the
// types of the ONNX specification, counts memory, and computes nothing.
package tensor

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
)

// Tensor is a value of a model: a dense array in row-major order, or, if its
// type is Sequence or Optional, a list of values. An empty Shape is a scalar with
// one element. The zero value is not valid; see [Tensor.Check].
type Tensor struct {
	Type  DataType
	Shape []int64   // of an array; nil for lists
	Items []*Tensor // of a Sequence; of an Optional, at most one
	// ItemType and Inner describe what a list holds, so that an empty one has a type
	// too: the type of its items, and of an item that is a list, of its items.
	ItemType DataType
	Inner    DataType
	data     any // []T with T as Type says, or *panels
}

// Of makes a tensor of the data, without copying it. Whether the shape agrees
// with the number of elements is for [Tensor.Check] to say.
func Of[T Elem](data []T, shape ...int64) *Tensor {
	return &Tensor{Type: typeOfSlice(data), Shape: shape, data: data}
}

// Scalar makes a tensor of rank 0.
func Scalar[T Elem](v T) *Tensor { return Of([]T{v}) }

// List makes a one-dimensional tensor of the data, without copying it.
func List[T Elem](data ...T) *Tensor { return Of(data, int64(len(data))) }

// SequenceOf makes a sequence whose items have the given type.
func SequenceOf(item DataType, items ...*Tensor) *Tensor {
	return &Tensor{Type: Sequence, ItemType: item, Items: items}
}

// OptionalOf makes an optional that holds v, whose type stays known if v is nil.
func OptionalOf(item, inner DataType, v *Tensor) *Tensor {
	t := &Tensor{Type: Optional, ItemType: item, Inner: inner}
	if v != nil {
		t.Items = []*Tensor{v}
	}
	return t
}

// Data returns the elements, which the tensor shares with the caller; nil if its
// elements are of another type than T.
func Data[T Elem](t *Tensor) []T {
	d, ok := t.data.([]T)
	if !ok {
		d, _ = t.elements().([]T)
	}
	return d
}

// Len returns the number of elements, or of items of a list.
func (t *Tensor) Len() int {
	switch d := t.data.(type) {
	case nil:
		return len(t.Items)
	case []float32:
		return len(d)
	case []int64:
		return len(d)
	case *panels:
		return len(d.all)
	}
	return reflect.ValueOf(t.data).Len()
}

// Bytes is the memory of the elements, as [DataType.Size] counts it, and of all
// items of a list.
func (t *Tensor) Bytes() int64 {
	n := int64(0)
	for _, item := range t.Items {
		n += item.Bytes()
	}
	if t.data != nil {
		n += int64(t.Len()) * t.Type.Size()
	}
	return n
}

// maxItemDepth is how deep lists nest: an optional of a sequence of tensors.
const maxItemDepth = 3

// Check reports whether type, shape and elements agree: a type of the
// specification, no negative dimension, as many elements as the shape says; for a
// list, that all items are valid and have the type that the list says.
func (t *Tensor) Check() error { return t.check(0) }

func (t *Tensor) check(depth int) error {
	switch {
	case t == nil:
		return errors.New("no tensor")
	case depth >= maxItemDepth:
		return fmt.Errorf("more than %d levels of lists", maxItemDepth)
	case t.Type == Sequence || t.Type == Optional:
		return t.checkList(depth)
	case !t.Type.Element():
		return fmt.Errorf("%s is not an element type", t.Type)
	case typeOfSlice(t.data) != t.Type:
		return fmt.Errorf("type is %s, the elements are %s", t.Type, typeOfSlice(t.data))
	case t.Items != nil:
		return errors.New("an array has no items")
	}
	n, err := Count(t.Shape)
	if err != nil {
		return err
	}
	if n != int64(t.Len()) {
		return fmt.Errorf("shape %v needs %d %s elements, got %d", t.Shape, n, t.Type, t.Len())
	}
	return nil
}

func (t *Tensor) checkList(depth int) error {
	switch {
	case t.data != nil || t.Shape != nil:
		return fmt.Errorf("a %s has neither shape nor elements", t.Type)
	case t.Type == Optional && len(t.Items) > 1:
		return fmt.Errorf("an optional of %d values", len(t.Items))
	}
	for i, item := range t.Items {
		if err := item.check(depth + 1); err != nil {
			return fmt.Errorf("item %d: %w", i, err)
		}
		if item.Type != t.ItemType {
			return fmt.Errorf("item %d is %s, the %s is of %s", i, item.Type, t.Type, t.ItemType)
		}
	}
	return nil
}

// Count multiplies the dimensions of a shape, and refuses negative ones and
// products that do not fit into an int64.
func Count(shape []int64) (int64, error) {
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

// Clone returns a copy that shares no memory with t.
func (t *Tensor) Clone() *Tensor {
	c := *t
	c.Shape = slices.Clone(t.Shape)
	c.Items = slices.Clone(t.Items)
	for i, item := range c.Items {
		c.Items[i] = item.Clone()
	}
	if t.data != nil {
		from := reflect.ValueOf(t.elements())
		to := reflect.MakeSlice(from.Type(), from.Len(), from.Len())
		reflect.Copy(to, from)
		c.data = to.Interface()
	}
	return &c
}

// Reshaped returns a tensor that shares the elements of t under another shape.
func (t *Tensor) Reshaped(shape []int64) *Tensor {
	return &Tensor{Type: t.Type, Shape: shape, data: t.data}
}

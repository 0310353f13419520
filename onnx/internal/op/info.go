package op

import (
	"fmt"
	"slices"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// Info is what is known of a value: its type always; of its shape, the rank
// (Ranked) and the dimensions that are not -1; its elements, if Value is set. Of a
// sequence or an optional, Item is the type of what it holds, and Inner the type of
// what a held list holds.
//
// The same functions infer shapes twice. When a session is made, dimensions may
// be open and mistakes in the model are found. When the shapes of the inputs are
// known, the same code gives the exact shape of each result, and the memory for it is
// planned and checked against the limits before it is taken.
type Info struct {
	Type        tensor.DataType
	Item, Inner tensor.DataType
	Ranked      bool
	Shape       []int64
	Value       *tensor.Tensor
}

// Known is all that there is to know of a value.
func Known(t *tensor.Tensor) Info {
	return Info{Type: t.Type, Item: t.ItemType, Inner: t.Inner, Ranked: t.Type.Element(), Shape: t.Shape, Value: t}
}

func ranked(t tensor.DataType, shape ...int64) Info { return Info{Type: t, Ranked: true, Shape: shape} }

func unranked(t tensor.DataType) Info { return Info{Type: t} }

// like is a value of type t with the shape of v.
func like(v *Info, t tensor.DataType) Info { return Info{Type: t, Ranked: v.Ranked, Shape: v.Shape} }

// likeFirst is a result of the type and shape of operand 0.
func likeFirst(in []*Info) []Info { return []Info{like(in[0], in[0].Type)} }

// openly is what is known of a value apart from its elements.
func openly(v Info) Info {
	v.Value = nil
	return v
}

// openShape is a shape of which only the rank is known.
func openShape(rank int) []int64 { return slices.Repeat([]int64{-1}, rank) }

// sameRank is a result of which the type and, if it is known, the rank are those of v.
func sameRank(v *Info) Info {
	if !v.Ranked {
		return unranked(v.Type)
	}
	return ranked(v.Type, openShape(len(v.Shape))...)
}

// Complete says whether every dimension is known.
func (v Info) Complete() bool { return v.Ranked && !slices.Contains(v.Shape, -1) }

func (v Info) String() string {
	switch {
	case v.Type == tensor.Sequence || v.Type == tensor.Optional:
		return fmt.Sprintf("%s of %s", v.Type, v.Item)
	case !v.Ranked:
		return fmt.Sprintf("%s of unknown rank", v.Type)
	}
	return fmt.Sprintf("%s%v", v.Type, v.Shape)
}

// ints returns the elements of an int64 vector (or scalar) if they are known.
func (v Info) ints() ([]int64, bool) {
	if v.Value == nil && v.Type == tensor.Int64 && v.Complete() && slices.Contains(v.Shape, 0) {
		return []int64{}, true // there is nothing to know
	}
	if v.Value == nil || v.Value.Type != tensor.Int64 {
		return nil, false
	}
	return tensor.Data[int64](v.Value), true
}

// indices is ints of an int32 or int64 tensor.
func (v Info) indices() ([]int64, bool) {
	if v.Value == nil || v.Value.Type != tensor.Int32 {
		return v.ints()
	}
	return integersOf(v.Value), true
}

// number returns an integer of which there is one, if it is known.
func (v Info) number() (n int64, known bool) {
	if v.Value == nil {
		return -1, false
	}
	return scalarOr[int64]([]*tensor.Tensor{v.Value}, 0, 0), true
}

// infosOf is what is known of tensors: everything.
func infosOf(in []*tensor.Tensor) []*Info {
	infos := make([]*Info, len(in))
	for i, t := range in {
		if t != nil {
			v := Known(t)
			infos[i] = &v
		}
	}
	return infos
}

// sameDim joins two views of one dimension, of which either may be open.
func sameDim(a, b int64) (int64, bool) {
	switch {
	case a == -1:
		return b, true
	case b == -1 || a == b:
		return a, true
	}
	return 0, false
}

// agreeing says whether two shapes may be one.
func agreeing(a, b []int64) bool {
	ok := len(a) == len(b)
	for i := 0; ok && i < len(a); i++ {
		_, ok = sameDim(a[i], b[i])
	}
	return ok
}

// broadcastDim applies numpy's rule to one pair of dimensions. An open one
// opposite a size above one must turn out to be that size or one.
func broadcastDim(a, b int64) (int64, bool) {
	switch {
	case a == 1:
		return b, true
	case b == 1:
		return a, true
	}
	return sameDim(a, b)
}

// broadcast joins the shapes of all operands (numpy's rules; ONNX,
// Broadcasting.md). The result is unranked if one of them is.
func broadcast(in []*Info) (shape []int64, isRanked bool, err error) {
	for i, v := range in {
		if !v.Ranked {
			return nil, false, nil
		}
		if i == 0 {
			shape = slices.Clone(v.Shape)
			continue
		}
		if shape, err = broadcastShapes(shape, v.Shape); err != nil {
			return nil, false, &OperandError{i, err}
		}
	}
	return shape, true, nil
}

func broadcastShapes(a, b []int64) ([]int64, error) {
	out := make([]int64, max(len(a), len(b)))
	for i := range out {
		x, y := int64(1), int64(1)
		if j := i - (len(out) - len(a)); j >= 0 {
			x = a[j]
		}
		if j := i - (len(out) - len(b)); j >= 0 {
			y = b[j]
		}
		d, ok := broadcastDim(x, y)
		if !ok {
			return nil, fmt.Errorf("shape %v does not broadcast with %v", b, a)
		}
		out[i] = d
	}
	return out, nil
}

// axis turns a possibly negative axis into one of 0 to rank-1.
func axis(a int64, rank int) (int, error) {
	if a < -int64(rank) || a >= int64(rank) {
		return 0, fmt.Errorf("axis %d is outside of rank %d", a, rank)
	}
	if a < 0 {
		a += int64(rank)
	}
	return int(a), nil
}

// axesSet marks the given axes of a rank, and refuses one that is named twice.
func axesSet(axes []int64, rank int) ([]bool, error) {
	set := make([]bool, rank)
	for _, a := range axes {
		i, err := axis(a, rank)
		if err != nil {
			return nil, err
		}
		if set[i] {
			return nil, fmt.Errorf("axis %d is there twice", a)
		}
		set[i] = true
	}
	return set, nil
}

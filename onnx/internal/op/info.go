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

// needType refuses a missing operand, or one of a type that is not in allowed.
func needType(in []*Info, index int, allowed ...tensor.DataType) error {
	if in[index] == nil {
		return BadInput(index, "is required")
	}
	if !slices.Contains(allowed, in[index].Type) {
		return BadInput(index, "is %s, expected %s", in[index].Type, oneOf(allowed))
	}
	return nil
}

func oneOf(types []tensor.DataType) string {
	s := ""
	for i, t := range types {
		if i > 0 {
			s += " or "
		}
		s += t.String()
	}
	return s
}

// needSame refuses operands whose type differs from the first one's.
func needSame(in []*Info, allowed ...tensor.DataType) error {
	for i := range in {
		if err := needType(in, i, allowed...); err != nil {
			return err
		}
		if in[i].Type != in[0].Type {
			return BadInput(i, "is %s, but input 0 is %s", in[i].Type, in[0].Type)
		}
	}
	return nil
}

// anyType is every type that a tensor has; lists are none.
func anyType() []tensor.DataType { return tensor.Types() }

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

// openShape is a shape of which only the rank is known.
func openShape(rank int) []int64 { return slices.Repeat([]int64{-1}, rank) }

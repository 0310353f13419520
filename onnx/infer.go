package onnx

import (
	"fmt"
	"slices"
)

// info is what is known of a value: its type always; of its shape, the rank
// (ranked) and the dimensions that are not -1; its elements, if value is set.
//
// The same functions infer shapes twice. When a session is made, dimensions may
// be open and mistakes in the model are found. During a run everything is
// known, so the same code gives the exact shape of each result, and the memory
// for it is checked against the limits before it is taken.
type info struct {
	typ    DataType
	ranked bool
	shape  []int64
	value  *Tensor
}

func known(t *Tensor) info { return info{typ: t.Type, ranked: true, shape: t.Shape, value: t} }

func ranked(t DataType, shape ...int64) info { return info{typ: t, ranked: true, shape: shape} }

func unranked(t DataType) info { return info{typ: t} }

// complete says whether every dimension is known.
func (v info) complete() bool { return v.ranked && !slices.Contains(v.shape, -1) }

func (v info) String() string {
	if !v.ranked {
		return fmt.Sprintf("%s of unknown rank", v.typ)
	}
	return fmt.Sprintf("%s%v", v.typ, v.shape)
}

// ints returns the elements of an int64 vector (or scalar) if they are known.
func (v info) ints() ([]int64, bool) {
	if v.value == nil || v.value.Type != Int64 {
		return nil, false
	}
	return v.value.I64, true
}

// needType refuses a missing operand, or one of a type that is not in allowed.
func needType(in []*info, index int, allowed ...DataType) error {
	if in[index] == nil {
		return badInput(index, "is required")
	}
	if !slices.Contains(allowed, in[index].typ) {
		return badInput(index, "is %s, expected %s", in[index].typ, oneOf(allowed))
	}
	return nil
}

func oneOf(types []DataType) string {
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
func needSame(in []*info, allowed ...DataType) error {
	for i := range in {
		if err := needType(in, i, allowed...); err != nil {
			return err
		}
		if in[i].typ != in[0].typ {
			return badInput(i, "is %s, but input 0 is %s", in[i].typ, in[0].typ)
		}
	}
	return nil
}

func anyType() []DataType { return []DataType{Float32, Int64, Bool, String} }

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
func broadcast(in []*info) (shape []int64, isRanked bool, err error) {
	for i, v := range in {
		if !v.ranked {
			return nil, false, nil
		}
		if i == 0 {
			shape = slices.Clone(v.shape)
			continue
		}
		if shape, err = broadcastShapes(shape, v.shape); err != nil {
			return nil, false, &operandError{i, err}
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

package op

import (
	"fmt"
	"slices"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// What Infer refuses in operands, with the same words for the same thing: what was seen,
// then what was expected.

// operand is operand or result i, or nil if the node does not have it (or i is -1).
func operand[T any](in []*T, i int) *T {
	if i < 0 || i >= len(in) {
		return nil
	}
	return in[i]
}

// present says whether operand i is there.
func present[T any](in []*T, i int) bool { return operand(in, i) != nil }

// needTensor refuses a missing operand and lists.
func needTensor(in []*Info, index int) error {
	switch {
	case in[index] == nil:
		return BadInput(index, "is required")
	case !in[index].Type.Element():
		return BadInput(index, "is %s, expected a tensor", in[index].Type)
	}
	return nil
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

// needTypeOf refuses an operand whose type is not that of another one.
func needTypeOf(in []*Info, index, other int) error {
	if in[index].Type != in[other].Type {
		return BadInput(index, "is %s, but input %d is %s", in[index].Type, other, in[other].Type)
	}
	return nil
}

// needSame refuses operands whose type differs from the first one's.
func needSame(in []*Info, allowed ...tensor.DataType) error {
	for i := range in {
		if err := needType(in, i, allowed...); err != nil {
			return err
		}
		if err := needTypeOf(in, i, 0); err != nil {
			return err
		}
	}
	return nil
}

// anyType is every type that a tensor has; lists are none.
func anyType() []tensor.DataType { return tensor.Types() }

// needIndex refuses anything but int32 and int64.
func needIndex(in []*Info, index int) error { return needType(in, index, tensor.Int32, tensor.Int64) }

// needIndices refuses anything but a list of int32 or int64.
func needIndices(in []*Info, index int) error {
	if err := needIndex(in, index); err != nil {
		return err
	}
	return needRank(in, index, 1, "a list")
}

// needVector refuses anything but a list of int64.
func needVector(in []*Info, index int) error {
	if err := needType(in, index, tensor.Int64); err != nil {
		return err
	}
	return needRank(in, index, 1, "a list")
}

// needRank refuses operands that do not have as many dimensions; what says which
// kind of thing has.
func needRank(in []*Info, index, rank int, what string) error {
	if in[index].Ranked && len(in[index].Shape) != rank {
		return BadInput(index, "has shape %v, expected %s", in[index].Shape, what)
	}
	return nil
}

// needOne refuses operands of more or less than one element.
func needOne(in []*Info, index int) error {
	v := in[index]
	if !v.Complete() {
		return nil
	}
	if n, err := tensor.Count(v.Shape); err != nil || n != 1 {
		return BadInput(index, "has shape %v, expected one element", v.Shape)
	}
	return nil
}

// needScalar refuses what is not one element of one of the types. Many models have
// a list of one where the specification wants a scalar.
func needScalar(in []*Info, index int, allowed ...tensor.DataType) error {
	if err := needType(in, index, allowed...); err != nil {
		return err
	}
	for _, d := range in[index].Shape {
		if d != 1 && d != -1 {
			return BadInput(index, "has shape %v, expected a scalar", in[index].Shape)
		}
	}
	return nil
}

// needLen refuses an operand that is there and no list of n elements (-1: any).
func needLen(in []*Info, index int, n int64) error {
	if !present(in, index) || !in[index].Ranked {
		return nil
	}
	if s := in[index].Shape; len(s) != 1 || s[0] >= 0 && n >= 0 && s[0] != n {
		return BadInput(index, "has shape %v, expected %d elements", s, n)
	}
	return nil
}

// sameShape refuses shapes that differ where both are known.
func sameShape(shape, want []int64) error {
	if !agreeing(shape, want) {
		return fmt.Errorf("has shape %v, expected %v", shape, want)
	}
	return nil
}

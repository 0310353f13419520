package apart

import (
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/graph"
)

// reshaped keeps all elements in their order. Rows stay rows if as much lies before them
// as did: then each row has the same stretches of memory in both shapes.
func reshaped(s *step) ([]int, error) {
	axis, err := s.axis(0)
	if err != nil {
		return nil, err
	}
	at, ok := growth(s.one[0].Shape, s.many[0].Shape, s.n)
	if axis == same || !ok || product(s.one[0].Shape[:at]) != product(s.in[0].one.Shape[:axis]) {
		return nil, mixes("makes %s of %s and %s of %s, which does not keep rows together", s.one[0], s.in[0].one, s.many[0], s.in[0].many)
	}
	return s.each(at), nil
}

func transposed(s *step) ([]int, error) {
	axis, err := s.only(0)
	if err != nil {
		return nil, err
	}
	perm, there := s.attr("perm", graph.Ints)
	if !there {
		return s.each(len(s.in[0].one.Shape) - 1 - axis), nil
	}
	return s.each(slices.Index(perm.Ints, int64(axis))), nil
}

// expanded repeats elements on axes of size 1. What is the same for all rows may be
// repeated once for each.
func expanded(s *step) ([]int, error) {
	axis, err := s.axis(0)
	if err != nil {
		return nil, err
	}
	at := axis + len(s.one[0].Shape) - len(s.in[0].one.Shape)
	if axis == same {
		var ok bool
		if at, ok = growth(s.one[0].Shape, s.many[0].Shape, s.n); !ok {
			return nil, mixes("makes %s for one row and %s for %d", s.one[0], s.many[0], s.n)
		}
	}
	return s.each(at), s.alone(0, 1, at)
}

// concatenated joins values with rows on another axis.
func concatenated(s *step) ([]int, error) {
	at := same
	for i := range s.in {
		axis, err := s.axis(i)
		if err != nil {
			return nil, err
		}
		if axis == same || at != same && axis != at {
			return nil, mixes("joins rows with what has none, or has them on another axis")
		}
		at = axis
	}
	return s.across(at, s.int("axis", 0))
}

// sliced takes a stretch of other axes than that of the rows, or all of them.
func sliced(s *step) ([]int, error) {
	axis, err := s.only(0)
	if err != nil {
		return nil, err
	}
	starts, _, err := s.list("starts", 1)
	if err != nil {
		return nil, err
	}
	axes, there, err := s.list("axes", 3)
	if err != nil {
		return nil, err
	}
	steps, stepped, err := s.list("steps", 4)
	if err != nil {
		return nil, err
	}
	for i := range starts {
		along := i
		if there && i < len(axes) {
			along = from(axes[i], len(s.in[0].one.Shape))
		}
		if along != axis {
			continue
		}
		if stepped && i < len(steps) && steps[i] != 1 || s.one[0].Shape[axis] != s.in[0].one.Shape[axis] {
			return nil, mixes("takes a part of axis %d, on which rows lie", axis)
		}
	}
	return s.each(axis), nil
}

// padded adds nothing, and takes nothing away, where rows lie.
func padded(s *step) ([]int, error) {
	axis, err := s.only(0)
	if err != nil {
		return nil, err
	}
	pads, there, err := s.list("pads", 1)
	if err != nil {
		return nil, err
	}
	if rank := len(s.in[0].one.Shape); !there || s.has(3) || len(pads) != 2*rank || pads[axis] != 0 || pads[axis+rank] != 0 {
		return nil, mixes("is not known to leave axis %d alone, on which rows lie", axis)
	}
	return s.each(axis), nil
}

// trilu works on matrices of the last two axes.
func trilu(s *step) ([]int, error) {
	axis, err := s.only(0)
	if err != nil {
		return nil, err
	}
	if axis >= len(s.in[0].one.Shape)-2 {
		return nil, mixes("cuts matrices of which axis %d is one, on which rows lie", axis)
	}
	return s.each(axis), nil
}

// oneHot puts a new axis for the classes behind or before that of the rows.
func oneHot(s *step) ([]int, error) {
	axis, err := s.only(0)
	if err != nil {
		return nil, err
	}
	if from(s.int("axis", -1), len(s.in[0].one.Shape)+1) <= axis {
		axis++
	}
	return s.each(axis), nil
}

// dropout is for training, and without it a copy.
func dropout(s *step) ([]int, error) {
	if s.Opset < 7 || s.has(2) {
		return nil, mixes("may draw numbers")
	}
	axis, err := s.only(0)
	return s.each(axis), err
}

// castLike has the type of operand 1 and nothing else of it.
func castLike(s *step) ([]int, error) {
	axis, err := s.axis(0)
	if err != nil || axis == same {
		return nil, mixes("operand 0 has no rows")
	}
	return s.each(axis), nil
}

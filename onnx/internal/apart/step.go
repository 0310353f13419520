package apart

import (
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/op"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// step is a node in both runs.
type step struct {
	*graph.Node
	n         int64
	in        []*fact // nil: left out
	one, many []op.Info
}

// complete refuses results whose shape does not follow from those of the operands, and
// those without elements.
func (s *step) complete(outputs int) error {
	if len(s.one) < outputs || len(s.many) != len(s.one) {
		return mixes("makes results whose number shows in the run alone")
	}
	for i := range s.one {
		if !s.one[i].Complete() || !s.many[i].Complete() {
			return mixes("the shape of result %d depends on what rows hold", i)
		}
	}
	return nil
}

func (s *step) has(i int) bool { return i < len(s.in) && s.in[i] != nil }

// axis is where operand i has its rows, or same.
func (s *step) axis(i int) (int, error) {
	if !s.has(i) {
		return same, nil
	}
	axis, ok := s.in[i].rows(s.n)
	if !ok {
		return 0, mixes("operand %d is made of the number of rows", i)
	}
	return axis, nil
}

// only returns the rows of operand i, and refuses other operands that have any.
func (s *step) only(i int) (int, error) {
	axis, err := s.axis(i)
	if err != nil {
		return 0, err
	}
	if axis == same {
		return 0, mixes("rows are not where they are expected, in operand %d", i)
	}
	for k := range s.in {
		if k != i && s.has(k) && s.in[k].axis != same {
			return 0, mixes("operand %d is not the same for every row", k)
		}
	}
	return axis, nil
}

func (s *step) attr(name string, kind graph.Kind) (graph.Attribute, bool) {
	i := slices.IndexFunc(s.Attrs, func(a graph.Attribute) bool { return a.Name == name && a.Kind == kind })
	if i < 0 {
		return graph.Attribute{}, false
	}
	return s.Attrs[i], true
}

func (s *step) int(name string, otherwise int64) int64 {
	if a, ok := s.attr(name, graph.Int); ok {
		return a.I
	}
	return otherwise
}

// list is integers that an attribute, or since a later operator set operand i, has.
func (s *step) list(name string, i int) (list []int64, there bool, err error) {
	if a, ok := s.attr(name, graph.Ints); ok {
		return a.Ints, true, nil
	}
	if !s.has(i) {
		return nil, false, nil
	}
	f := s.in[i]
	if f.axis != same || f.one.Value == nil {
		return nil, false, mixes("operand %d is not known, or not the same for every row", i)
	}
	list, ok := integers(f.one.Value)
	if !ok {
		return nil, false, mixes("operand %d is no list of integers", i)
	}
	return list, true, nil
}

func integers(t *tensor.Tensor) ([]int64, bool) {
	switch t.Type {
	case tensor.Int64:
		return tensor.Data[int64](t), true
	case tensor.Int32:
		out := make([]int64, 0, t.Len())
		for _, v := range tensor.Data[int32](t) {
			out = append(out, int64(v))
		}
		return out, true
	}
	return nil, false
}

// from counts an axis from the front.
func from(axis int64, rank int) int {
	if axis < 0 {
		axis += int64(rank)
	}
	return int(axis)
}

// each is the same axis for every result.
func (s *step) each(axis int) []int { return slices.Repeat([]int{axis}, len(s.one)) }

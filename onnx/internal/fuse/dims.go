package fuse

import (
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/plan"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// dim is a number in a shape that a model computes: what dimension axis of a value will
// be, or, if of is -1, the number n.
type dim struct {
	of, axis int
	n        int64
}

// tracing bounds how many steps are looked at for one shape.
const tracing = 48

// longestShape is the most numbers of a list that is traced.
const longestShape = 8

// dims finds what a list of integers will hold, if it is put together from dimensions of
// other values and known numbers.
func (r *rewriter) dims(id int) ([]dim, bool) {
	left := tracing
	return r.trace(id, &left)
}

func (r *rewriter) trace(id int, left *int) ([]dim, bool) {
	if *left--; *left < 0 {
		return nil, false
	}
	if t := r.p.Fixed(id); t != nil {
		return known(t)
	}
	st := r.makers[id]
	switch {
	case is(st, "Shape"):
		return r.shapeOf(st)
	case is(st, "Concat"):
		var all []dim
		for _, part := range st.In {
			list, ok := r.trace(part, left)
			if all = append(all, list...); !ok {
				return nil, false
			}
		}
		return all, true
	case is(st, "Slice"):
		return r.cut(st, left)
	case is(st, "Gather"):
		return r.picked(st, left)
	case is(st, "Unsqueeze"), is(st, "Squeeze"): // of a list of one number, or that number
		list, ok := r.trace(st.In[0], left)
		return list, ok && len(list) == 1
	}
	return nil, false
}

// known are the numbers of a constant.
func known(t *tensor.Tensor) ([]dim, bool) {
	if t.Type != tensor.Int64 || t.Len() > longestShape {
		return nil, false
	}
	var list []dim
	for _, n := range tensor.Data[int64](t) {
		list = append(list, dim{of: -1, n: n})
	}
	return list, true
}

// shapeOf are the dimensions that a Shape gives.
func (r *rewriter) shapeOf(st *plan.Step) ([]dim, bool) {
	shape, ok := r.shape(st.In[0])
	if !ok || len(shape) > longestShape {
		return nil, false
	}
	var list []dim
	for axis := range shape {
		list = append(list, r.origin(dim{of: st.In[0], axis: axis}))
	}
	from, to := int64(0), int64(len(list))
	if a, has := attr(st, "start"); has {
		from = a.I
	}
	if a, has := attr(st, "end"); has {
		to = a.I
	}
	return slice(list, from, to), true
}

// origin follows a dimension through transpositions.
func (r *rewriter) origin(d dim) dim {
	for range tracing {
		st := r.from(d.of, "Transpose")
		if st == nil {
			break
		}
		perm, ok := attr(st, "perm")
		if !ok || d.axis >= len(perm.Ints) {
			break
		}
		d = dim{of: st.In[0], axis: int(perm.Ints[d.axis])}
	}
	return d
}

// slice is a part of a list as Slice and Shape count: from the end if negative, and no
// further than the list goes.
func slice(list []dim, from, to int64) []dim {
	n := int64(len(list))
	for _, at := range []*int64{&from, &to} {
		if *at < 0 {
			*at = max(*at, -n) + n
		}
		*at = min(*at, n)
	}
	return list[from:max(from, to)]
}

// cut are the dimensions that a Slice takes out of a list.
func (r *rewriter) cut(st *plan.Step, left *int) ([]dim, bool) {
	list, ok := r.trace(st.In[0], left)
	if len(st.In) < 3 {
		return nil, false
	}
	from, okFrom := r.integer(st.In[1])
	to, okTo := r.integer(st.In[2])
	for i, want := range map[int]int64{3: 0, 4: 1} { // axis, step
		if len(st.In) > i && st.In[i] >= 0 {
			v, has := r.integer(st.In[i])
			ok = ok && has && v == want
		}
	}
	if !ok || !okFrom || !okTo {
		return nil, false
	}
	return slice(list, from, to), true
}

// picked are the dimensions that a Gather takes out of a list.
func (r *rewriter) picked(st *plan.Step, left *int) ([]dim, bool) {
	list, ok := r.trace(st.In[0], left)
	index := r.p.Fixed(st.In[1])
	if !ok || index == nil || index.Type != tensor.Int64 || index.Len() > longestShape {
		return nil, false
	}
	var out []dim
	for _, i := range tensor.Data[int64](index) {
		if i < 0 {
			i += int64(len(list))
		}
		if i < 0 || i >= int64(len(list)) {
			return nil, false
		}
		out = append(out, list[i])
	}
	return out, true
}

// integer is the one number that a value is known to be.
func (r *rewriter) integer(id int) (int64, bool) {
	t := r.p.Fixed(id)
	if t == nil || t.Type != tensor.Int64 || t.Len() != 1 {
		return 0, false
	}
	return tensor.Data[int64](t)[0], true
}

// wants says whether the numbers of a shape are those dimensions of a value, in this
// order, or -1 for one of them. That all of them together are as many elements is for
// the Reshape to see.
func (r *rewriter) wants(shape []dim, of int, axes ...int) bool {
	have, ranked := r.shape(of)
	open := 0
	for i, axis := range axes {
		switch d := shape[i]; {
		case d == r.origin(dim{of: of, axis: axis}):
		case d.of < 0 && d.n > 0 && ranked && have[axis] == d.n:
		case d.of < 0 && d.n == -1:
			open++
		default:
			return false
		}
	}
	return open < 2
}

// turnedAsMatrices finds the transposition of the last two dimensions of a stack of
// heads that is written as one of stacks of matrices: a Reshape joins batch and heads,
// and another one parts them again. It returns the stack.
func (r *rewriter) turnedAsMatrices(parted *plan.Step) (stack int, ok bool) {
	turn := r.from(parted.In[0], "Transpose")
	if !r.turned(turn, 0, 2, 1) {
		return -1, false
	}
	joined := r.from(turn.In[0], "Reshape")
	if joined == nil || !r.rank4(joined.In[0]) {
		return -1, false
	}
	stack = joined.In[0]
	matrices, ok := r.dims(joined.In[1])
	heads, known := r.dims(parted.In[1])
	if !ok || !known || len(matrices) != 3 || len(heads) != 4 {
		return -1, false
	}
	return stack, r.wants(matrices[1:], stack, 2, 3) && r.wants(heads, stack, 0, 1, 3, 2) && !slices.Contains(matrices[1:], dim{of: -1, n: -1})
}

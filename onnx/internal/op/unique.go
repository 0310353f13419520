package op

import (
	"cmp"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// unique gives the different elements, or the different slices along an axis: sorted,
// or in the order in which they first come. Its other results are where each is first,
// which of them each element is, and how often each is there.
type unique struct {
	maker
	axis         int64
	flat, sorted bool
	results      int
}

func makeUnique(a *Attributes, _ int64) (Operator, error) {
	return unique{flat: !a.has("axis"), axis: a.int("axis", 0), sorted: a.flag("sorted", true), results: a.Outputs}, nil
}

func (o unique) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, append(numberTypes(), tensor.Bool, tensor.String)...); err != nil {
		return nil, err
	}
	list := ranked(tensor.Int64, -1)
	out := []Info{ranked(in[0].Type, -1), list, list, list}[:o.results]
	if o.flat {
		return out, nil
	}
	out[0] = unranked(in[0].Type)
	if in[0].Ranked {
		at, err := axis(o.axis, len(in[0].Shape))
		if err != nil {
			return nil, &OperandError{0, err}
		}
		out[0] = ranked(in[0].Type, slices.Clone(in[0].Shape)...)
		out[0].Shape[at] = -1
	}
	return out, nil
}

func (o unique) Make(env *Env, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	shape, at := []int64{int64(in[0].Len())}, 0
	if !o.flat {
		var err error
		if at, err = axis(o.axis, len(in[0].Shape)); err != nil {
			return nil, err
		}
		shape = in[0].Shape
	}
	compare, err := comparer(env, in[0], kernel.LanesOf(shape, at))
	if err != nil {
		return nil, err
	}
	order, err := newList(env, shape[at])
	if err != nil {
		return nil, err
	}
	for i := range order {
		order[i] = int64(i)
	}
	stop := 0
	slices.SortFunc(order, func(a, b int64) int {
		if stop++; stop%1024 == 0 && env.On.Err() != nil {
			return 0
		}
		return cmp.Or(compare(int(a), int(b)), cmp.Compare(a, b))
	})
	if err := env.On.Err(); err != nil {
		return nil, err
	}
	return o.collect(env, in[0], shape, at, groups(order, compare))
}

// groups cuts a sorted list where neighbours differ.
func groups(order []int64, compare func(a, b int) int) [][]int64 {
	var all [][]int64
	begin := 0
	for i := range order {
		if i+1 == len(order) || compare(int(order[i]), int(order[i+1])) != 0 {
			all = append(all, order[begin:i+1])
			begin = i + 1
		}
	}
	return all
}

// collect makes the results of groups of equal slices.
func (o unique) collect(env *Env, t *tensor.Tensor, shape []int64, at int, all [][]int64) ([]*tensor.Tensor, error) {
	if !o.sorted {
		slices.SortFunc(all, func(a, b []int64) int { return cmp.Compare(a[0], b[0]) })
	}
	n := int64(len(all))
	out := make([]*tensor.Tensor, 4)
	for i, size := range []int64{n, shape[at], n} {
		var err error
		if out[i+1], err = env.New(tensor.Int64, []int64{size}); err != nil {
			return nil, err
		}
	}
	first, which, count := tensor.Data[int64](out[1]), tensor.Data[int64](out[2]), tensor.Data[int64](out[3])
	for g, equal := range all {
		first[g], count[g] = equal[0], int64(len(equal))
		for _, i := range equal {
			which[i] = int64(g)
		}
	}
	var err error
	out[0], err = takeAlong(env, t, shape, at, first)
	return out[:o.results], err
}

// comparer compares slices along the lanes by their elements, the first that differ.
func comparer(env *Env, t *tensor.Tensor, l kernel.Lanes) (func(a, b int) int, error) {
	switch classOf(t.Type) {
	case floating:
		return numberComparer[float64](env, t, l, compareFloats)
	case signed:
		return numberComparer[int64](env, t, l, cmp.Compare[int64])
	}
	if t.Type == tensor.String {
		return lexically(env, tensor.Data[string](t), l, cmp.Compare[string]), nil
	}
	return numberComparer[uint64](env, t, l, cmp.Compare[uint64])
}

// compareFloats puts NaN last, as one value.
func compareFloats(a, b float64) int {
	if (a != a) != (b != b) {
		return -cmp.Compare(a, b)
	}
	return cmp.Compare(a, b)
}

func numberComparer[V numeric](env *Env, t *tensor.Tensor, l kernel.Lanes, compare func(a, b V) int) (func(a, b int) int, error) {
	data, err := work[V](env, t.Len())
	if err != nil {
		return nil, err
	}
	reader[V](t)(data, 0, 1)
	return lexically(env, data, l, compare), nil
}

func lexically[T any](env *Env, data []T, l kernel.Lanes, compare func(a, b T) int) func(a, b int) int {
	return func(a, b int) int {
		for o := range l.Outer {
			for i := range l.Inner {
				if (o*l.Inner+i)%(1<<14) == 1<<14-1 && env.On.Err() != nil {
					return 0
				}
				base := o*l.N*l.Inner + i
				if c := compare(data[base+a*l.Inner], data[base+b*l.Inner]); c != 0 {
					return c
				}
			}
		}
		return 0
	}
}

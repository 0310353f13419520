package op

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// topK gives the k greatest or smallest elements along an axis and where they are. Of
// equal ones the first comes first; NaN is the smallest. They are in order even if the
// model does not ask for it.
type topK struct {
	axis     int64
	k        int64 // from the attribute
	operand  bool  // k is operand 1
	smallest bool
}

// makeTopK: k is an operand since operator set 10, the direction an attribute since 11.
func makeTopK(a *Attributes, opset int64) (Operator, error) {
	o := topK{axis: a.int("axis", -1), operand: opset >= 10}
	both(a)
	if opset >= 11 {
		o.smallest = !a.flag("largest", true)
		a.flag("sorted", true)
	}
	if o.operand {
		return o, nil
	}
	atMost(a, 1)
	a.need("k")
	o.k = a.int("k", 0)
	return o, nil
}

// both refuses nodes that do not name both results.
func both(a *Attributes) {
	if a.Outputs != 2 {
		a.fail(fmt.Errorf("has %d outputs, expected 2", a.Outputs))
	}
}

func (o topK) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, numberTypes()...); err != nil {
		return nil, err
	}
	k, at := o.k, 0
	if o.operand {
		if !present(in, 1) {
			return nil, BadInput(1, "is required")
		}
		if err := needType(in, 1, tensor.Int64); err != nil {
			return nil, err
		}
		if err := needOne(in, 1); err != nil {
			return nil, err
		}
		k, at = -1, 1
		if v, ok := in[1].ints(); ok {
			if k = v[0]; k < 0 {
				return nil, BadInput(1, "asks for %d elements", k)
			}
		}
	}
	if !in[0].Ranked {
		return []Info{unranked(in[0].Type), unranked(tensor.Int64)}, nil
	}
	along, err := axis(o.axis, len(in[0].Shape))
	if err != nil {
		return nil, &OperandError{0, err}
	}
	if size := in[0].Shape[along]; k > size && size != -1 || k < 0 && !o.operand {
		return nil, BadInput(at, "asks for %d of %d elements", k, size)
	}
	shape := slices.Clone(in[0].Shape)
	shape[along] = k
	return []Info{ranked(in[0].Type, shape...), ranked(tensor.Int64, slices.Clone(shape)...)}, nil
}

func (o topK) Run(env *Env, in, out []*tensor.Tensor) error {
	along, err := axis(o.axis, len(in[0].Shape))
	if err != nil {
		return err
	}
	from, to := kernel.LanesOf(in[0].Shape, along), kernel.LanesOf(out[0].Shape, along)
	indices := tensor.Data[int64](out[1])
	switch classOf(in[0].Type) {
	case floating:
		err = bestOf[float64](env, o, in[0], indices, from, to.N)
	case signed:
		err = bestOf[int64](env, o, in[0], indices, from, to.N)
	default:
		err = bestOf[uint64](env, o, in[0], indices, from, to.N)
	}
	if err != nil {
		return err
	}
	return moverOf(out[0].Type).take(env, out[0], in[0], 1, func(first int, at []int) error {
		for k := range at {
			n := first + k
			outer, inner := n/(to.N*to.Inner), n%to.Inner
			at[k] = (outer*from.N+int(indices[n]))*from.Inner + inner
		}
		return nil
	})
}

// bestOf finds the best k of each lane.
func bestOf[V numeric](env *Env, o topK, in *tensor.Tensor, indices []int64, l kernel.Lanes, k int) error {
	each := max(1, 4096/l.N)
	lanes := l.Outer * l.Inner
	return env.On.Parallel((lanes+each-1)/each, func(part int) {
		get, values, order := reader[V](in), make([]V, l.N), make([]int, 0, k)
		better := func(a, b int) int { return cmp.Or(cmp.Compare(values[b], values[a]), cmp.Compare(a, b)) }
		if o.smallest {
			better = func(a, b int) int { return cmp.Or(cmp.Compare(values[a], values[b]), cmp.Compare(a, b)) }
		}
		for lane := part * each; lane < min((part+1)*each, lanes) && env.On.Err() == nil; lane++ {
			outer, inner := lane/l.Inner, lane%l.Inner
			get(values, outer*l.N*l.Inner+inner, l.Inner)
			order = firstOf(env.On, order[:0], k, l.N, better)
			for i, n := range order {
				indices[(outer*k+i)*l.Inner+inner] = int64(n)
			}
		}
	})
}

// firstOf puts into order the first k of the numbers from 0 to n-1, when they are
// sorted by compare. It keeps a heap of the best so far with the worst of them on top.
func firstOf(on *kernel.On, order []int, k, n int, compare func(a, b int) int) []int {
	for i := range n {
		if i%(1<<14) == 0 && on.Err() != nil {
			break
		}
		switch {
		case len(order) < k:
			order = append(order, i)
			siftUp(order, compare)
		case k > 0 && compare(i, order[0]) < 0:
			order[0] = i
			siftDown(order, compare)
		}
	}
	slices.SortFunc(order, compare)
	return order
}

// siftUp moves the last entry of a heap up to where it belongs.
func siftUp(heap []int, compare func(a, b int) int) {
	for i := len(heap) - 1; i > 0; {
		up := (i - 1) / 2
		if compare(heap[i], heap[up]) <= 0 {
			return
		}
		heap[i], heap[up] = heap[up], heap[i]
		i = up
	}
}

// siftDown moves the first entry of a heap down to where it belongs.
func siftDown(heap []int, compare func(a, b int) int) {
	for i := 0; ; {
		worst := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(heap); child++ {
			if compare(heap[child], heap[worst]) > 0 {
				worst = child
			}
		}
		if worst == i {
			return
		}
		heap[i], heap[worst] = heap[worst], heap[i]
		i = worst
	}
}

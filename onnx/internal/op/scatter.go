package op

import (
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// scatterElements puts the elements of operand 2 into a copy of operand 0: the indices
// in operand 1 say where along the axis; the other coordinates are those of the index
// itself. A reduction joins what is there with what comes.
type scatterElements struct {
	axis int64
	joining
}

func makeScatterElements(a *Attributes, opset int64) (Operator, error) {
	return scatterElements{a.int("axis", 0), joiningFrom(a, opset)}, nil
}

func (o scatterElements) Infer(in []*Info) ([]Info, error) {
	if err := o.needScatter(in); err != nil {
		return nil, err
	}
	if err := fitsBeside(in[0], in[1], o.axis); err != nil {
		return nil, &OperandError{1, err}
	}
	if in[1].Ranked && in[2].Ranked {
		if err := sameShape(in[2].Shape, in[1].Shape); err != nil {
			return nil, &OperandError{2, err}
		}
	}
	return likeFirst(in), nil
}

// InPlace: the result begins as a copy of the data.
func (scatterElements) InPlace() []int { return []int{0} }

func (o scatterElements) Run(env *Env, in, out []*tensor.Tensor) error {
	starts, err := alongAxis(in[0].Shape, in[1], o.axis)
	if err != nil {
		return err
	}
	return o.scatter(env, out[0], in[0], in[2], 1, starts)
}

// scatterND puts slices of operand 2 into a copy of operand 0, at the coordinates in
// the last dimension of operand 1.
type scatterND struct{ joining }

func makeScatterND(a *Attributes, opset int64) (Operator, error) {
	return scatterND{joiningFrom(a, opset)}, nil
}

func (o scatterND) Infer(in []*Info) ([]Info, error) {
	if err := o.needScatter(in); err != nil {
		return nil, err
	}
	if in[1].Ranked && len(in[1].Shape) == 0 {
		return nil, BadInput(1, "is a scalar, expected at least one dimension")
	}
	if in[0].Ranked && in[1].Ranked {
		rank, err := tupleRank(in[1], len(in[0].Shape))
		if err != nil {
			return nil, err
		}
		if rank != -1 && in[2].Ranked {
			tuples := in[1].Shape[:len(in[1].Shape)-1]
			want := append(append([]int64{}, tuples...), in[0].Shape[rank:]...)
			if err := sameShape(in[2].Shape, want); err != nil {
				return nil, &OperandError{2, err}
			}
		}
	}
	return likeFirst(in), nil
}

// InPlace: the result begins as a copy of the data.
func (scatterND) InPlace() []int { return []int{0} }

func (o scatterND) Run(env *Env, in, out []*tensor.Tensor) error {
	starts, run := byTuples(in[0].Shape, in[1], 0)
	return o.scatter(env, out[0], in[0], in[2], run, starts)
}

// tensorScatter writes new keys or values into a copy of a cache along an axis, for
// each batch from the place on that operand 2 says, or from the beginning.
type tensorScatter struct {
	axis     int64
	circular bool
}

func makeTensorScatter(a *Attributes, _ int64) (Operator, error) {
	return tensorScatter{a.int("axis", -2), a.oneOf("mode", "linear", "circular") == "circular"}, nil
}

func (o tensorScatter) Infer(in []*Info) ([]Info, error) {
	if err := needTensor(in, 0); err != nil {
		return nil, err
	}
	if err := needType(in, 1, in[0].Type); err != nil {
		return nil, err
	}
	if present(in, 2) {
		if err := needVector(in, 2); err != nil {
			return nil, err
		}
	}
	if in[0].Ranked {
		if err := o.check(in); err != nil {
			return nil, err
		}
	}
	return likeFirst(in), nil
}

// InPlace: the result begins as a copy of the cache.
func (tensorScatter) InPlace() []int { return []int{0} }

func (o tensorScatter) check(in []*Info) error {
	cache := in[0].Shape
	at, err := axis(o.axis, len(cache))
	if err != nil {
		return &OperandError{0, err}
	}
	if at == 0 {
		return BadInput(0, "axis %d is the batch", o.axis)
	}
	if present(in, 2) && in[2].Ranked {
		if _, ok := sameDim(in[2].Shape[0], cache[0]); !ok {
			return BadInput(2, "has %d entries for a batch of %d", in[2].Shape[0], cache[0])
		}
	}
	if !in[1].Ranked {
		return nil
	}
	if len(in[1].Shape) != len(cache) {
		return BadInput(1, "has shape %v, the cache %v", in[1].Shape, cache)
	}
	for d, n := range in[1].Shape {
		_, same := sameDim(n, cache[d])
		if fits := d == at && n < cache[d]; !same && !fits {
			return BadInput(1, "has shape %v, which does not fit into a cache of shape %v", in[1].Shape, cache)
		}
	}
	return nil
}

func (o tensorScatter) Run(env *Env, in, out []*tensor.Tensor) error {
	at, err := axis(o.axis, len(in[0].Shape))
	if err != nil {
		return err
	}
	if err := copyAll(env, out[0], in[0]); err != nil {
		return err
	}
	cache, update := kernel.LanesOf(in[0].Shape, at), kernel.LanesOf(in[1].Shape, at)
	begin, err := o.begins(in, int64(cache.N), int64(update.N))
	if err != nil || update.N == 0 || update.Outer == 0 {
		return err
	}
	perBatch := update.Outer / len(begin)
	return moverOf(out[0].Type).put(env, out[0], in[1], cache.Inner, func(first int, at []int) error {
		for k := range at {
			outer, i := (first+k)/update.N, (first+k)%update.N
			place := (int(begin[outer/perBatch]) + i) % cache.N
			at[k] = (outer*cache.N + place) * cache.Inner
		}
		return nil
	})
}

// begins is where writing begins in each batch.
func (o tensorScatter) begins(in []*tensor.Tensor, size, n int64) ([]int64, error) {
	if !present(in, 2) {
		return make([]int64, in[0].Shape[0]), nil
	}
	begin := tensor.Data[int64](in[2])
	for _, b := range begin {
		if b < 0 || o.circular && b >= size || !o.circular && b > size-n {
			return nil, BadInput(2, "%d entries from %d on do not fit into %d", n, b, size)
		}
	}
	return begin, nil
}

package op

import (
	"fmt"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// gather picks slices of operand 0 along an axis by the indices in operand 1.
type gather struct{ axis int64 }

func makeGather(a *Attributes, _ int64) (Operator, error) { return gather{a.int("axis", 0)}, nil }

func (o gather) Infer(in []*Info) ([]Info, error) {
	if err := needTensor(in, 0); err != nil {
		return nil, err
	}
	if err := needIndex(in, 1); err != nil {
		return nil, err
	}
	if !in[0].Ranked {
		return []Info{unranked(in[0].Type)}, nil
	}
	at, err := axis(o.axis, len(in[0].Shape))
	if err != nil {
		return nil, &OperandError{0, err}
	}
	if in[1].Value != nil && in[0].Shape[at] != -1 {
		index := indexesOf(in[1].Value)
		for i := range in[1].Value.Len() {
			if _, err := index.in(i, in[0].Shape[at], 1); err != nil {
				return nil, err
			}
		}
	}
	if !in[1].Ranked {
		return []Info{unranked(in[0].Type)}, nil
	}
	return []Info{ranked(in[0].Type, slices.Concat(in[0].Shape[:at], in[1].Shape, in[0].Shape[at+1:])...)}, nil
}

func (o gather) Run(env *Env, in, out []*tensor.Tensor) error {
	at, err := axis(o.axis, len(in[0].Shape))
	if err != nil {
		return err
	}
	lanes, size := kernel.LanesOf(in[0].Shape, at), in[0].Shape[at]
	index, count := indexesOf(in[1]), in[1].Len()
	return moverOf(out[0].Type).take(env, out[0], in[0], lanes.Inner, func(first int, at []int) error {
		outer, i := first/count, first%count
		for k := range at {
			n, err := index.in(i, size, 1)
			if err != nil {
				return err
			}
			at[k] = (outer*lanes.N + n) * lanes.Inner
			if i++; i == count {
				outer, i = outer+1, 0
			}
		}
		return nil
	})
}

// gatherElements picks single elements of operand 0: the indices in operand 1 say
// where along the axis; the other coordinates are those of the index itself.
type gatherElements struct{ axis int64 }

func makeGatherElements(a *Attributes, _ int64) (Operator, error) {
	return gatherElements{a.int("axis", 0)}, nil
}

func (o gatherElements) Infer(in []*Info) ([]Info, error) {
	if err := needTensor(in, 0); err != nil {
		return nil, err
	}
	if err := needIndex(in, 1); err != nil {
		return nil, err
	}
	if err := fitsBeside(in[0], in[1], o.axis); err != nil {
		return nil, &OperandError{1, err}
	}
	return []Info{like(in[1], in[0].Type)}, nil
}

// fitsBeside says whether every coordinate of the indices, except that of the axis,
// is one of the data.
func fitsBeside(data, indices *Info, along int64) error {
	if !data.Ranked {
		return nil
	}
	at, err := axis(along, len(data.Shape))
	if err != nil {
		return err
	}
	if !indices.Ranked {
		return nil
	}
	if len(indices.Shape) != len(data.Shape) {
		return fmt.Errorf("has rank %d, the data has rank %d", len(indices.Shape), len(data.Shape))
	}
	for d, n := range indices.Shape {
		if most := data.Shape[d]; d != at && most != -1 && n > most {
			return fmt.Errorf("has shape %v, which reaches beyond data of shape %v", indices.Shape, data.Shape)
		}
	}
	return nil
}

func (o gatherElements) Run(env *Env, in, out []*tensor.Tensor) error {
	starts, err := alongAxis(in[0].Shape, in[1], o.axis)
	if err != nil {
		return err
	}
	return moverOf(out[0].Type).take(env, out[0], in[0], 1, starts)
}

// alongAxis says where in data of the given shape the elements are that the indices,
// which are operand 1, mean along an axis.
func alongAxis(shape []int64, indices *tensor.Tensor, along int64) (kernel.Starts, error) {
	at, err := axis(along, len(shape))
	if err != nil {
		return nil, err
	}
	index, size := indexesOf(indices), shape[at]
	strides := kernel.Strides(shape)
	step := strides[at]
	strides[at] = 0
	return func(first int, to []int) error {
		place := odometerAt(first, indices.Shape, strides)
		for k := range to {
			n, err := index.in(first+k, size, 1)
			if err != nil {
				return err
			}
			to[k] = place.at + n*step
			place.next()
		}
		return nil
	}, nil
}

// odometer goes through the indices of a shape in row-major order, and knows the
// place of each in an array with the given strides.
type odometer struct {
	at      int
	digits  []int
	shape   []int64
	strides []int
}

func odometerAt(first int, shape []int64, strides []int) odometer {
	o := odometer{0, make([]int, len(shape)), shape, strides}
	for d := len(shape) - 1; d >= 0; d-- {
		o.digits[d] = first % int(shape[d])
		first /= int(shape[d])
		o.at += o.digits[d] * strides[d]
	}
	return o
}

func (o *odometer) next() {
	for d := len(o.digits) - 1; d >= 0; d-- {
		o.digits[d]++
		o.at += o.strides[d]
		if o.digits[d] < int(o.shape[d]) {
			return
		}
		o.at -= o.digits[d] * o.strides[d]
		o.digits[d] = 0
	}
}

// gatherND picks slices of operand 0 by tuples of coordinates, the last dimension of
// operand 1; the first batch dimensions of both go together.
type gatherND struct{ batch int64 }

func makeGatherND(a *Attributes, opset int64) (Operator, error) {
	if opset < 12 {
		return gatherND{}, nil
	}
	return gatherND{a.int("batch_dims", 0)}, nil
}

func (o gatherND) Infer(in []*Info) ([]Info, error) {
	if err := needTensor(in, 0); err != nil {
		return nil, err
	}
	if err := needType(in, 1, tensor.Int64); err != nil {
		return nil, err
	}
	if !in[0].Ranked || !in[1].Ranked {
		return []Info{unranked(in[0].Type)}, nil
	}
	data, tuples := in[0].Shape, in[1].Shape
	if len(tuples) == 0 {
		return nil, BadInput(1, "is a scalar, expected at least one dimension")
	}
	batch := int(min(max(o.batch, -1), 1<<20))
	if batch < 0 || batch >= len(tuples) || batch >= len(data) {
		return nil, BadInput(1, "has shape %v and the data %v, which do not have %d dimensions of a batch", tuples, data, o.batch)
	}
	for d := range batch {
		if _, ok := sameDim(data[d], tuples[d]); !ok {
			return nil, BadInput(1, "has shape %v, whose batch is not that of data of shape %v", tuples, data)
		}
	}
	rank, err := tupleRank(in[1], len(data)-batch)
	if err != nil || rank == -1 {
		return []Info{unranked(in[0].Type)}, err
	}
	return []Info{ranked(in[0].Type, slices.Concat(tuples[:len(tuples)-1], data[batch+rank:])...)}, nil
}

// tupleRank is the number of coordinates in each tuple, the last dimension of operand
// 1, at most as many as the data has dimensions; -1: open.
func tupleRank(tuples *Info, most int) (int, error) {
	n := tuples.Shape[len(tuples.Shape)-1]
	if n == 0 || n > int64(most) {
		return 0, BadInput(1, "has shape %v: tuples of %d coordinates for %d dimensions", tuples.Shape, n, most)
	}
	return int(n), nil
}

func (o gatherND) Run(env *Env, in, out []*tensor.Tensor) error {
	starts, run := byTuples(in[0].Shape, in[1], int(o.batch))
	return moverOf(out[0].Type).take(env, out[0], in[0], run, starts)
}

// byTuples says where in data of the given shape the slices are that tuples of
// coordinates mean, and how many elements a slice has.
func byTuples(shape []int64, tuples *tensor.Tensor, batch int) (kernel.Starts, int) {
	index := indexesOf(tuples)
	rank := int(tuples.Shape[len(tuples.Shape)-1])
	strides := kernel.Strides(shape)
	run, stack := int(countStack(shape[batch+rank:])), int(countStack(shape[batch:]))
	each := int(countStack(tuples.Shape[batch : len(tuples.Shape)-1])) // tuples of a batch
	return func(first int, at []int) error {
		for k := range at {
			place := (first + k) / each * stack
			for c := range rank {
				n, err := index.in((first+k)*rank+c, shape[batch+c], 1)
				if err != nil {
					return err
				}
				place += n * strides[batch+c]
			}
			at[k] = place
		}
		return nil
	}, run
}

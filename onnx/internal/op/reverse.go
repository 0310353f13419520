package op

import (
	"errors"
	"fmt"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// reverseSequence turns the beginning of each sequence around, as much of it as
// operand 1 says. One of the first two dimensions is the batch, the other is time.
type reverseSequence struct{ timeFirst bool }

func makeReverseSequence(a *Attributes, _ int64) (Operator, error) {
	batch, time := a.int("batch_axis", 1), a.int("time_axis", 0)
	if batch+time != 1 || batch*time != 0 {
		return nil, fmt.Errorf(`attributes "batch_axis" and "time_axis" are %d and %d, expected 0 and 1, or 1 and 0`, batch, time)
	}
	return reverseSequence{time == 0}, nil
}

func (o reverseSequence) Infer(in []*Info) ([]Info, error) {
	if err := needTensor(in, 0); err != nil {
		return nil, err
	}
	if err := needVector(in, 1); err != nil {
		return nil, err
	}
	if in[0].Ranked && len(in[0].Shape) < 2 {
		return nil, BadInput(0, "has shape %v, expected a batch and a time", in[0].Shape)
	}
	if in[0].Ranked && in[1].Ranked {
		batch := in[0].Shape[0]
		if o.timeFirst {
			batch = in[0].Shape[1]
		}
		if _, ok := sameDim(batch, in[1].Shape[0]); !ok {
			return nil, BadInput(1, "has %d entries for a batch of %d", in[1].Shape[0], batch)
		}
	}
	return likeFirst(in), nil
}

func (o reverseSequence) Run(env *Env, in, out []*tensor.Tensor) error {
	lengths, shape := tensor.Data[int64](in[1]), in[0].Shape
	times := shape[1]
	if o.timeFirst {
		times = shape[0]
	}
	for _, n := range lengths {
		if n < 0 || n > times {
			return BadInput(1, "length %d is outside of %d", n, times)
		}
	}
	columns, run := int(shape[1]), kernel.LanesOf(shape, 1).Inner
	return moverOf(out[0].Type).take(env, out[0], in[0], run, func(first int, at []int) error {
		for k := range at {
			i, j := (first+k)/columns, (first+k)%columns
			if o.timeFirst {
				i = mirrored(i, lengths[j])
			} else {
				j = mirrored(j, lengths[i])
			}
			at[k] = (i*columns + j) * run
		}
		return nil
	})
}

// mirrored is the opposite of index i in the first n, and i itself after them.
func mirrored(i int, n int64) int {
	if i < int(n) {
		return int(n) - 1 - i
	}
	return i
}

// trilu keeps the upper or lower triangle of each matrix, from diagonal k on, and
// clears the rest.
type trilu struct{ upper bool }

func makeTrilu(a *Attributes, _ int64) (Operator, error) { return trilu{a.flag("upper", true)}, nil }

func (trilu) Infer(in []*Info) ([]Info, error) {
	if err := needTensor(in, 0); err != nil {
		return nil, err
	}
	if present(in, 1) {
		if err := errors.Join(needType(in, 1, tensor.Int64), needOne(in, 1)); err != nil {
			return nil, err
		}
	}
	if in[0].Ranked && len(in[0].Shape) < 2 {
		return nil, BadInput(0, "has shape %v, expected matrices", in[0].Shape)
	}
	return likeFirst(in), nil
}

func (o trilu) Run(env *Env, in, out []*tensor.Tensor) error {
	if err := zero(env, out[0]); err != nil {
		return err
	}
	diagonal := int64(0)
	if present(in, 1) {
		diagonal = tensor.Data[int64](in[1])[0]
	}
	rank := len(in[0].Shape)
	rows, columns := in[0].Shape[rank-2], in[0].Shape[rank-1]
	diagonal = min(max(diagonal, -rows-1), columns+1)
	stack := int64(in[0].Len()) / (rows * columns)
	for i := range rows {
		low, high := min(max(i+diagonal, 0), columns), columns
		if !o.upper {
			low, high = 0, min(max(i+diagonal+1, 0), columns)
		}
		row := kernel.Operand{Offset: int(i*columns + low), Strides: []int{int(rows * columns), 1}}
		if err := copyTo(env, out[0], row, in[0], row, []int64{stack, high - low}); err != nil {
			return err
		}
	}
	return nil
}

package op

import (
	"fmt"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// transpose permutes dimensions; without a permutation it reverses them.
type transpose struct {
	perm  []int64
	given bool
}

func makeTranspose(a *Attributes, _ int64) (Operator, error) {
	perm, given := a.ints("perm")
	return transpose{perm, given}, nil
}

// order returns the operand's dimension for each dimension of the result.
func (o transpose) order(rank int) ([]int64, error) {
	if !o.given {
		perm := make([]int64, rank)
		for i := range perm {
			perm[i] = int64(rank - 1 - i)
		}
		return perm, nil
	}
	if len(o.perm) != rank {
		return nil, fmt.Errorf(`attribute "perm" has %d entries, the operand has rank %d`, len(o.perm), rank)
	}
	for _, p := range o.perm {
		if p < 0 {
			return nil, fmt.Errorf(`attribute "perm" holds %d`, p)
		}
	}
	if _, err := axesSet(o.perm, rank); err != nil {
		return nil, attributeError("perm", err)
	}
	return o.perm, nil
}

func (o transpose) Infer(in []*Info) ([]Info, error) {
	if err := needTensor(in, 0); err != nil {
		return nil, err
	}
	if !in[0].Ranked {
		return []Info{unranked(in[0].Type)}, nil
	}
	perm, err := o.order(len(in[0].Shape))
	if err != nil {
		return nil, &OperandError{0, err}
	}
	shape := make([]int64, len(perm))
	for i, p := range perm {
		shape[i] = in[0].Shape[p]
	}
	return []Info{ranked(in[0].Type, shape...)}, nil
}

// Cheap: weights may be stored the other way round.
func (o transpose) Cheap() {}

func (o transpose) Run(env *Env, in, out []*tensor.Tensor) error {
	perm, err := o.order(len(in[0].Shape))
	if err != nil {
		return err
	}
	own := kernel.Strides(in[0].Shape)
	from := kernel.Operand{Strides: make([]int, len(perm))}
	for i, p := range perm {
		from.Strides[i] = own[p]
	}
	if turns(out[0], from.Strides) {
		return turnMatrices(env, out[0], in[0], from.Strides)
	}
	return move(env, out[0], 0, in[0], from, out[0].Shape)
}

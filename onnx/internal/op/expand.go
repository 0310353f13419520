package op

import (
	"math"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// expanding repeats operand 0 to the shape in operand 1, both ways broadcast.
type expanding struct{}

func (expanding) Infer(in []*Info) ([]Info, error) {
	if err := needTensor(in, 0); err != nil {
		return nil, err
	}
	if err := needVector(in, 1); err != nil {
		return nil, err
	}
	want, ok := in[1].ints()
	switch {
	case !in[0].Ranked:
		return []Info{unranked(in[0].Type)}, nil
	case !ok && in[1].Complete() && in[1].Shape[0] < math.MaxInt8: // its length tells the rank
		return []Info{ranked(in[0].Type, openShape(max(len(in[0].Shape), int(in[1].Shape[0])))...)}, nil
	case !ok:
		return []Info{unranked(in[0].Type)}, nil
	}
	for _, d := range want {
		if d < 0 {
			return nil, BadInput(1, "asks for dimension %d", d)
		}
	}
	shape, err := broadcastShapes(in[0].Shape, want)
	if err != nil {
		return nil, &OperandError{1, err}
	}
	return []Info{ranked(in[0].Type, shape...)}, nil
}

func (expanding) Run(env *Env, in, out []*tensor.Tensor) error { return expand(env, out[0], in[0]) }

// tiling repeats operand 0 as a whole, operand 1 says how often along each dimension.
type tiling struct{}

func (tiling) Infer(in []*Info) ([]Info, error) {
	if err := needTensor(in, 0); err != nil {
		return nil, err
	}
	if err := needVector(in, 1); err != nil {
		return nil, err
	}
	repeats, ok := in[1].ints()
	if !ok || !in[0].Ranked {
		return []Info{sameRank(in[0])}, nil
	}
	if len(repeats) != len(in[0].Shape) {
		return nil, BadInput(1, "has %d entries, the operand has rank %d", len(repeats), len(in[0].Shape))
	}
	shape := slices.Clone(in[0].Shape)
	for d, r := range repeats {
		switch {
		case r < 0:
			return nil, BadInput(1, "repeats %d times", r)
		case shape[d] == -1:
		case r != 0 && shape[d] > math.MaxInt64/r:
			return nil, BadInput(1, "makes dimension %d overflow", d)
		default:
			shape[d] *= r
		}
	}
	return []Info{ranked(in[0].Type, shape...)}, nil
}

// Run sees each dimension of the result as two: the repetition and the operand's own.
func (tiling) Run(env *Env, in, out []*tensor.Tensor) error {
	own := kernel.Strides(in[0].Shape)
	shape := make([]int64, 0, 2*len(own))
	from := kernel.Operand{}
	if in[1].Len() != len(own) { // of a scalar, Infer knows the result without it
		return BadInput(1, "has %d entries, the operand has rank %d", in[1].Len(), len(own))
	}
	for d, r := range tensor.Data[int64](in[1]) {
		shape = append(shape, r, in[0].Shape[d])
		from.Strides = append(from.Strides, 0, own[d])
	}
	return move(env, out[0], 0, in[0], from, shape)
}

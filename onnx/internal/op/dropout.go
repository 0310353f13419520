package op

import (
	"errors"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// dropout passes operand 0 through, unless operand 2 says that a model is being
// trained: then it drops numbers with the probability in operand 1 and scales the others
// up. Result 1 says what was kept.
type dropout struct {
	seeding
	ratio   float64
	old     bool // the ratio is an attribute
	typed   bool // result 1 has the type of operand 0, not bool
	results int
}

func makeDropout(a *Attributes, opset int64) (Operator, error) {
	legacy(a, opset)
	o := dropout{old: opset < 12, typed: opset < 10, results: a.Outputs}
	if o.old {
		o.ratio = float64(a.float("ratio", 0.5))
		if opset < 7 && !a.flag("is_test", false) {
			return nil, errors.New(`is for training: attribute "is_test" is not 1`)
		}
	} else {
		o.seeded = a.has("seed")
		o.seed = uint32(a.int("seed", 0))
	}
	if a.Outputs == 1 && a.Inputs < 3 {
		return identity{}, nil
	}
	return o, nil
}

func (o dropout) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, floatTypes()...); err != nil {
		return nil, err
	}
	if o.old && len(in) > 1 {
		return nil, BadInput(1, "is not expected: before operator set 12 the ratio is an attribute")
	}
	if present(in, 1) {
		if err := needScalar(in, 1, floatTypes()...); err != nil {
			return nil, err
		}
	}
	if present(in, 2) {
		if err := needScalar(in, 2, tensor.Bool); err != nil {
			return nil, err
		}
	}
	mask := likeFirst(in)[0]
	if !o.typed {
		mask.Type = tensor.Bool
	}
	return []Info{likeFirst(in)[0], mask}[:o.results], nil
}

// Make drops, or not.
func (o dropout) Make(env *Env, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	results, ratio := []*tensor.Tensor{in[0], nil}[:o.results], 0.0
	if !o.old && scalarOr[uint64](in, 2, 0) == 1 {
		ratio = scalarOr(in, 1, 0.5)
	}
	if !(ratio >= 0 && ratio < 1) {
		return nil, BadInput(1, "is %v, expected at least 0 and less than 1", ratio)
	}
	if o.results == 1 && ratio == 0 {
		return results, nil
	}
	of := tensor.Bool
	if o.typed {
		of = in[0].Type
	}
	mask, err := env.New(of, in[0].Shape)
	if err != nil {
		return nil, err
	}
	s := o.source()
	if err := fillBy(env, mask, func(int) uint64 { return truth(ratio == 0 || s.Float64() >= ratio) }); err != nil {
		return nil, err
	}
	if o.results > 1 {
		results[1] = mask
	}
	if ratio == 0 {
		return results, nil
	}
	if results[0], err = env.New(in[0].Type, in[0].Shape); err != nil {
		return nil, err
	}
	return results, two(env, results[0], in[0], mask, func(x, kept float64) float64 { return x * kept / (1 - ratio) })
}

package op

import (
	"fmt"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// bitCast reads the bits of elements as another type of the same size.
type bitCast struct{ to tensor.DataType }

func makeBitCast(a *Attributes, _ int64) (Operator, error) {
	a.need("to")
	to := tensor.TypeNumbered(a.int("to", 0))
	if !to.Element() || to == tensor.String {
		return nil, fmt.Errorf(`attribute "to" is %s, expected a type of elements other than string`, to)
	}
	return bitCast{to}, nil
}

func (o bitCast) Infer(in []*Info) ([]Info, error) {
	if err := needTensor(in, 0); err != nil {
		return nil, err
	}
	from := in[0].Type
	if from == tensor.String || from.Size() != o.to.Size() || from.Packed() != o.to.Packed() {
		return nil, BadInput(0, "is %s, whose elements do not have the size of %s", from, o.to)
	}
	return []Info{like(in[0], o.to)}, nil
}

// Run copies words. Small integers are kept as values, so that their sign has to be
// made anew, and of a bool only one bit may be set.
func (o bitCast) Run(env *Env, in, out []*tensor.Tensor) error {
	if err := copyAll(env, out[0], in[0]); err != nil {
		return err
	}
	fix := fixOf(o.to)
	if fix == nil {
		return nil
	}
	data := tensor.Words[uint8](out[0])
	return apply(env, data, data, fix)
}

// fixOf returns what makes any byte a valid element of the type; nil: all are.
func fixOf(t tensor.DataType) func(x uint8) uint8 {
	switch t {
	case tensor.Bool:
		return func(x uint8) uint8 { return min(x, 1) }
	case tensor.Int4:
		return func(x uint8) uint8 { return uint8(int8(x<<4) >> 4) }
	case tensor.Int2:
		return func(x uint8) uint8 { return uint8(int8(x<<6) >> 6) }
	case tensor.Uint4, tensor.Float4E2M1:
		return func(x uint8) uint8 { return x & 15 }
	case tensor.Uint2:
		return func(x uint8) uint8 { return x & 3 }
	}
	return nil
}

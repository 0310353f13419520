package op

import (
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/qgemm"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// IntegerProjections is [Projections] of 8-bit matrices whose products become float32. A
// is packed once for all of them. Operands are A, its scale and its zero point, then of
// each product B, the scale and the zero point of B, and a bias. Zero points and biases
// may be missing; what belongs to A is one number.
type IntegerProjections struct{ parts []*integerProduct }

// NewIntegerProjections makes the operator for so many products.
func NewIntegerProjections(products int) *IntegerProjections {
	o := &IntegerProjections{}
	for range products {
		o.parts = append(o.parts, &integerProduct{at: scaledPlaces()})
	}
	return o
}

// places are the operands of product i, in the order of scaledPlaces.
func (o *IntegerProjections) places(i int) [7]int {
	b := 3 + 4*i
	return [7]int{0, b, 1, b + 1, 2, b + 2, b + 3}
}

// chosen are the operands of product i.
func chosen[T any](in []*T, places [7]int) []*T {
	out := make([]*T, len(places))
	for k, at := range places {
		out[k] = in[at]
	}
	return out
}

// Infer is that of each product, their columns added up.
func (o *IntegerProjections) Infer(in []*Info) ([]Info, error) {
	for i := 1; i < 3; i++ {
		if in[i] != nil && in[i].Complete() && countStack(in[i].Shape) != 1 {
			return nil, BadInput(i, "has shape %v, expected one number", in[i].Shape)
		}
	}
	var all []Info
	for i, part := range o.parts {
		made, err := part.Infer(chosen(in, o.places(i)))
		if err != nil {
			return nil, err
		}
		if b := in[o.places(i)[1]]; b.Ranked && len(b.Shape) != 2 {
			return nil, BadInput(o.places(i)[1], "is not one matrix")
		}
		all = append(all, made[0])
	}
	return []Info{beside(all)}, nil
}

// Pack lets each product keep its B, if it is known.
func (o *IntegerProjections) Pack(on *kernel.On, fixed func(int) *tensor.Tensor, in []*Info) (Operator, []int, error) {
	done, unread := &IntegerProjections{}, []int(nil)
	for i, part := range o.parts {
		places := o.places(i)
		packed, read, err := part.Pack(on, func(k int) *tensor.Tensor { return fixed(places[k]) }, chosen(in, places))
		if err != nil {
			return nil, nil, err
		}
		if one, ok := packed.(*integerProduct); ok {
			part = one
		}
		for _, k := range read {
			unread = append(unread, places[k])
		}
		done.parts = append(done.parts, part)
	}
	if unread == nil {
		return nil, nil, nil
	}
	return done, unread, nil
}

// Scratch is for packed A, and for one product at a time.
func (o *IntegerProjections) Scratch(on *kernel.On, in []*Info) int64 {
	stack, m, k := split(in[0].Shape, true, false)
	m *= countStack(stack)
	most := int64(0)
	for i, part := range o.parts {
		n := 0
		if part.right != nil {
			n = part.right.Columns()
		} else {
			n = int(in[o.places(i)[1]].Shape[1])
		}
		most = max(most, scratchOf(part.beside(on, int(k), n))+int64(n))
	}
	return scratchOf(qgemm.LeftSize(int(m), int(k))) + most
}

// beside is the memory of a product, without that of A.
func (o *integerProduct) beside(on *kernel.On, k, n int) qgemm.Size {
	size := qgemm.MulSize(on.Workers())
	if o.right == nil {
		size = size.Plus(qgemm.RightSize(k, n))
	}
	return size
}

// Run packs A and multiplies.
func (o *IntegerProjections) Run(env *Env, in, out []*tensor.Tensor) error {
	stack, rows, k := split(in[0].Shape, true, false)
	m := int(countStack(stack) * rows)
	memory, rest := memoryOf(qgemm.LeftSize(m, int(k)), env.Scratch)
	left, err := packLeft(env.On, in[0], operand(in, 2), 0, m, int(k), memory)
	if err != nil {
		return err
	}
	from := 0
	for i, part := range o.parts {
		operands := chosen(in, o.places(i))
		right, n := part.right, 0
		if right != nil {
			n = right.Columns()
		} else {
			n = int(operands[1].Shape[1])
		}
		memory, room := memoryOf(part.beside(env.On, int(k), n), rest)
		if right == nil {
			if right, err = packRight(env.On, operands[1], operands[5], 0, int(k), n, memory); err != nil {
				return err
			}
		}
		to := part.output(operands, out[0], from, n, part.scale(operands, 0, 0, m, n, room))
		if err := qgemm.Mul(env.On, left, right, to, memory); err != nil {
			return err
		}
		from += m * n
	}
	return nil
}

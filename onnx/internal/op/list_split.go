package op

import (
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// splitToSequence cuts operand 0 along an axis: into pieces of one size, or of the
// sizes listed, or, without operand 1, into slices.
type splitToSequence struct {
	maker
	axis int64
	keep bool // the axis of slices, with one place
}

func makeSplitToSequence(a *Attributes, _ int64) (Operator, error) {
	o := splitToSequence{axis: a.int("axis", 0), keep: a.flag("keepdims", true)}
	o.keep = o.keep || a.Inputs > 1
	return o, nil
}

func (o splitToSequence) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, anyType()...); err != nil {
		return nil, err
	}
	if in[0].Ranked {
		if _, err := axis(o.axis, len(in[0].Shape)); err != nil {
			return nil, &OperandError{0, err}
		}
	}
	return []Info{{Type: tensor.Sequence, Item: in[0].Type}}, needPosition(in, 1)
}

// sizes are the lengths of the pieces.
func (o splitToSequence) sizes(in []*tensor.Tensor, size int64) ([]int64, error) {
	step := int64(1)
	if present(in, 1) {
		if len(in[1].Shape) > 0 {
			return listed(in[1], size)
		}
		var err error
		if step, err = oneInt(in[1], 1); err != nil {
			return nil, err
		}
		if step < 1 {
			return nil, BadInput(1, "pieces of %d", step)
		}
	}
	var sizes []int64
	for at := int64(0); at < size; at += min(step, size-at) {
		sizes = append(sizes, min(step, size-at))
	}
	return sizes, nil
}

// listed reads sizes that must add up to a dimension.
func listed(t *tensor.Tensor, size int64) ([]int64, error) {
	sizes := integersOf(t)
	left := size
	for _, v := range sizes {
		if v < 0 || v > left {
			return nil, BadInput(1, "a piece of %d, where %d of %d are left", v, left, size)
		}
		left -= v
	}
	if left != 0 {
		return nil, BadInput(1, "pieces leave %d of %d", left, size)
	}
	return sizes, nil
}

func (o splitToSequence) Make(env *Env, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	t := in[0]
	at, err := axis(o.axis, len(t.Shape))
	if err != nil {
		return nil, &OperandError{0, err}
	}
	if err := env.hold(listItem * t.Shape[at]); err != nil {
		return nil, err
	}
	sizes, err := o.sizes(in, t.Shape[at])
	if err != nil {
		return nil, err
	}
	var items []*tensor.Tensor
	from := kernel.Dense(t.Shape)
	for _, size := range sizes {
		if err := env.On.Err(); err != nil {
			return nil, err
		}
		shape := slices.Clone(t.Shape)
		shape[at] = size
		piece, err := env.New(t.Type, shape)
		if err != nil {
			return nil, err
		}
		env.Keep(piece)
		if piece.Len() > 0 {
			if err := move(env, piece, 0, t, from, shape); err != nil {
				return nil, err
			}
		}
		from.Offset += int(size) * from.Strides[at]
		if !o.keep {
			piece = piece.Reshaped(slices.Delete(shape, at, at+1))
		}
		items = append(items, piece)
	}
	return sameItems(env, tensor.SequenceOf(t.Type), items)
}

// concatFromSequence joins the items of a sequence along an axis, or along a new one.
type concatFromSequence struct {
	maker
	axis  int64
	stack bool
}

func makeConcatFromSequence(a *Attributes, _ int64) (Operator, error) {
	a.need("axis")
	return concatFromSequence{axis: a.int("axis", 0), stack: a.flag("new_axis", false)}, nil
}

func (o concatFromSequence) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, tensor.Sequence); err != nil {
		return nil, err
	}
	return []Info{itemOf(in[0])}, nil
}

func (o concatFromSequence) Make(env *Env, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	items := in[0].Items
	if len(items) == 0 {
		return nil, BadInput(0, "is empty")
	}
	if o.stack {
		at, err := axis(o.axis, len(items[0].Shape)+1)
		if err != nil {
			return nil, &OperandError{0, err}
		}
		out, err := stack(env, items, at, false)
		return []*tensor.Tensor{out}, err
	}
	join := concat{axis: o.axis}
	infos, err := join.Infer(infosOf(items))
	if err != nil {
		return nil, err
	}
	out, err := env.New(infos[0].Type, infos[0].Shape)
	if err != nil || out.Len() == 0 {
		return []*tensor.Tensor{out}, err
	}
	return []*tensor.Tensor{out}, join.Run(env, items, []*tensor.Tensor{out})
}

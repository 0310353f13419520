package op

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// concat joins operands along an axis.
type concat struct{ axis int64 }

func makeConcat(a *Attributes, _ int64) (Operator, error) {
	a.need("axis")
	return concat{a.int("axis", 0)}, nil
}

func (o concat) Infer(in []*Info) ([]Info, error) {
	if err := needSame(in, anyType()...); err != nil {
		return nil, err
	}
	var shape []int64
	at, open := 0, false
	for i, v := range in {
		if !v.Ranked {
			open = true
			continue
		}
		if shape == nil {
			var err error
			if at, err = axis(o.axis, len(v.Shape)); err != nil {
				return nil, &OperandError{i, err}
			}
			shape = slices.Clone(v.Shape)
			continue
		}
		if err := o.join(shape, v.Shape, at); err != nil {
			return nil, &OperandError{i, err}
		}
	}
	if shape == nil {
		return []Info{unranked(in[0].Type)}, nil
	}
	if open {
		shape[at] = -1
	}
	return []Info{ranked(in[0].Type, shape...)}, nil
}

// join adds shape next to shape along dimension at.
func (o concat) join(shape, next []int64, at int) error {
	if len(shape) != len(next) {
		return fmt.Errorf("has shape %v, those before have rank %d", next, len(shape))
	}
	for d := range shape {
		if d != at {
			var ok bool
			if shape[d], ok = sameDim(shape[d], next[d]); !ok {
				return fmt.Errorf("has shape %v, which does not fit along axis %d", next, at)
			}
			continue
		}
		if shape[d] == -1 || next[d] == -1 {
			shape[d] = -1
			continue
		}
		if shape[d] > math.MaxInt64-next[d] {
			return fmt.Errorf("makes dimension %d overflow", d)
		}
		shape[d] += next[d]
	}
	return nil
}

func (o concat) Run(env *Env, in, out []*tensor.Tensor) error {
	at, err := axis(o.axis, len(out[0].Shape))
	if err != nil {
		return err
	}
	strides := kernel.Strides(out[0].Shape)
	offset := 0
	for _, t := range in {
		to := kernel.Operand{Offset: offset, Strides: strides}
		if err := copyTo(env, out[0], to, t, kernel.Dense(t.Shape), t.Shape); err != nil {
			return err
		}
		offset += strides[at] * int(t.Shape[at])
	}
	return nil
}

// splitting cuts its operand into results along an axis: by given lengths, or into
// equal parts.
type splitting struct {
	axis    int64
	lengths list
	parts   int
	uneven  bool // the last part may be smaller
}

// makeSplit: the lengths are an operand since operator set 13, and since 18 either
// they or the number of parts must be there.
func makeSplit(a *Attributes, opset int64) (Operator, error) {
	o := splitting{axis: a.int("axis", 0), lengths: listFrom(a, "split", opset < 13, 1), parts: a.Outputs}
	if opset < 18 || !a.has("num_outputs") {
		return o, nil
	}
	if a.Inputs > 1 {
		a.fail(errors.New(`attribute "num_outputs" and input 1 exclude each other`))
	}
	o.uneven = true
	if n := a.int("num_outputs", 0); n != int64(o.parts) {
		return nil, fmt.Errorf(`attribute "num_outputs" is %d, the node has %d outputs`, n, o.parts)
	}
	return o, nil
}

func (o splitting) Infer(in []*Info) ([]Info, error) {
	if err := needTensor(in, 0); err != nil {
		return nil, err
	}
	lengths, given, known, err := o.lengths.get(in)
	if err != nil {
		return nil, err
	}
	if !in[0].Ranked {
		return slices.Repeat([]Info{unranked(in[0].Type)}, o.parts), nil
	}
	at, err := axis(o.axis, len(in[0].Shape))
	if err != nil {
		return nil, &OperandError{0, err}
	}
	size := in[0].Shape[at]
	switch {
	case !known || !given && size == -1:
		lengths = openShape(o.parts)
	case given:
		err = o.wrong(lengths, size)
	default:
		lengths, err = o.equal(size)
	}
	if err != nil {
		return nil, err
	}
	out := make([]Info, o.parts)
	for i := range out {
		out[i] = ranked(in[0].Type, slices.Clone(in[0].Shape)...)
		out[i].Shape[at] = lengths[i]
	}
	return out, nil
}

// wrong says what is wrong with the given lengths of parts of a dimension.
func (o splitting) wrong(lengths []int64, size int64) error {
	if len(lengths) != o.parts {
		return o.lengths.wrong(fmt.Errorf("has %d lengths for %d outputs", len(lengths), o.parts))
	}
	left := size
	for _, n := range lengths {
		if n < 0 {
			return o.lengths.wrong(fmt.Errorf("asks for length %d", n))
		}
		if size != -1 && n > left {
			return o.lengths.wrong(fmt.Errorf("asks for more than dimension %d has: %v", size, lengths))
		}
		left -= n
	}
	if size != -1 && left != 0 {
		return o.lengths.wrong(fmt.Errorf("leaves %d of dimension %d over", left, size))
	}
	return nil
}

// equal divides a dimension into equal parts, of which the last may be smaller.
func (o splitting) equal(size int64) ([]int64, error) {
	n := int64(o.parts)
	each := size / n
	if size%n != 0 {
		each++
	}
	last := size - (n-1)*each
	if last < 0 || last != each && !o.uneven {
		return nil, BadInput(0, "dimension %d does not divide into %d parts", size, n)
	}
	lengths := slices.Repeat([]int64{each}, o.parts)
	lengths[n-1] = last
	return lengths, nil
}

func (o splitting) Run(env *Env, in, out []*tensor.Tensor) error {
	at, err := axis(o.axis, len(in[0].Shape))
	if err != nil {
		return err
	}
	from := kernel.Dense(in[0].Shape)
	for _, t := range out {
		if err := move(env, t, 0, in[0], from, t.Shape); err != nil {
			return err
		}
		from.Offset += from.Strides[at] * int(t.Shape[at])
	}
	return nil
}

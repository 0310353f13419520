package op

import (
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// axes are the dimensions that an operator reduces: from an attribute, from operand
// 1, or all.
type axes struct {
	list      []int64
	attribute bool // the axes are the attribute's, operand 1 must not be there
	since     int64
	keep      bool // a reduced dimension stays, with size 1
	noop      bool // no axes: reduce none, instead of all
}

// axesOf reads the attributes of an operator whose axes are an operand since the
// given operator set.
func axesOf(a *Attributes, opset, since int64) axes {
	o := axes{since: since, keep: a.flag("keepdims", true)}
	if opset < since {
		o.attribute = true
		o.list, _ = a.ints("axes")
	} else {
		o.noop = a.flag("noop_with_empty_axes", false)
	}
	return o
}

// reduced marks the axes that go away. It is nil if they are not known yet.
func (o axes) reduced(in []*Info) ([]bool, error) {
	list, at := o.list, 0
	if !o.attribute && present(in, 1) {
		v, ok := in[1].ints()
		if !ok {
			return nil, nil
		}
		list, at = v, 1
	}
	set, err := axesSet(list, len(in[0].Shape))
	if err != nil {
		return nil, &OperandError{at, err}
	}
	if len(list) == 0 && !o.noop {
		for i := range set {
			set[i] = true
		}
	}
	return set, nil
}

func (o axes) Infer(in []*Info) ([]Info, error) {
	if err := o.check(in); err != nil {
		return nil, err
	}
	if !in[0].Ranked {
		return []Info{unranked(in[0].Type)}, nil
	}
	set, err := o.reduced(in)
	if err != nil {
		return nil, err
	}
	if set == nil {
		if o.keep {
			return []Info{sameRank(in[0])}, nil
		}
		return []Info{unranked(in[0].Type)}, nil
	}
	shape := []int64{}
	for i, d := range in[0].Shape {
		switch {
		case !set[i]:
			shape = append(shape, d)
		case o.keep:
			shape = append(shape, 1)
		}
	}
	return []Info{ranked(in[0].Type, shape...)}, nil
}

func (o axes) check(in []*Info) error {
	if err := needType(in, 0, append(numberTypes(), tensor.Bool)...); err != nil {
		return err
	}
	if !present(in, 1) {
		return nil
	}
	if o.attribute {
		return BadInput(1, "is not expected: before operator set %d the axes are an attribute", o.since)
	}
	return needVector(in, 1)
}

// operands are the tensor that is reduced, and the result seen in the tensor's shape:
// each of its elements is where all that become it are.
func (o axes) operands(in []*tensor.Tensor) ([]kernel.Operand, error) {
	set, err := o.reduced(infosOf(in))
	if err != nil {
		return nil, err
	}
	shape := in[0].Shape
	onto := slices.Clone(shape)
	for i := range onto {
		if set[i] {
			onto[i] = 1
		}
	}
	return []kernel.Operand{kernel.Dense(shape), kernel.Broadcast(onto, shape)}, nil
}

// accumulate runs f over each element and the sum that it belongs to, in the order in
// which the elements lie.
func accumulate[V numeric](env *Env, o axes, in []*tensor.Tensor, sums []V, f func(sum, x V) V) error {
	operands, err := o.operands(in)
	if err != nil {
		return err
	}
	return blocks(env, in[0], operands, func(values []V, to, step int) {
		if step == 0 {
			s := sums[to]
			for _, x := range values {
				s = f(s, x)
			}
			sums[to] = s
			return
		}
		for i, x := range values {
			sums[to+i*step] = f(sums[to+i*step], x)
		}
	})
}

// visit shows f each element and the number of the result that it belongs to.
func (o axes) visit(env *Env, in []*tensor.Tensor, f func(x float64, to int)) error {
	operands, err := o.operands(in)
	if err != nil {
		return err
	}
	return blocks(env, in[0], operands, func(values []float64, to, step int) {
		for i, x := range values {
			f(x, to+i*step)
		}
	})
}

// blocks walks the shape of t and hands its elements to do in blocks, with where the
// second operand is at the first of them and how far it goes for each.
func blocks[V numeric](env *Env, t *tensor.Tensor, operands []kernel.Operand, do func(values []V, to, step int)) error {
	from, values := reader[V](t), make([]V, block)
	return kernel.Walk(env.On, t.Shape, operands, func(n int, at, step []int) error {
		for begin := 0; begin < n; begin += block {
			v := values[:min(block, n-begin)]
			from(v, at[0]+begin*step[0], step[0])
			do(v, at[1]+begin*step[1], step[1])
		}
		return nil
	})
}

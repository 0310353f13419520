package op

import (
	"errors"
	"math"

	"github.com/blindbox/blindbox/onnx/internal/kernel"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// reduction says how elements along the reduced axes become one.
type reduction struct {
	name      string
	axesSince int64 // operator set from which the axes are an operand, not an attribute
	f32       func(sum, x float64) float64
	i64       func(sum, x int64) int64 // nil: float32 only
	start     float64
	startInt  int64
	mean      bool
	empty     bool // defined over no elements
}

func reduceOperators() map[string]Spec {
	table := map[string]Spec{}
	for _, r := range []reduction{
		{name: "ReduceSum", axesSince: 13, empty: true,
			f32: func(s, x float64) float64 { return s + x }, i64: func(s, x int64) int64 { return s + x }},
		{name: "ReduceMean", axesSince: 18, mean: true,
			f32: func(s, x float64) float64 { return s + x }},
		{name: "ReduceMax", axesSince: 18, start: math.Inf(-1), startInt: math.MinInt64,
			f32: func(s, x float64) float64 { return max(s, x) }, i64: func(s, x int64) int64 { return max(s, x) }},
		{name: "ReduceMin", axesSince: 18, start: math.Inf(1), startInt: math.MaxInt64,
			f32: func(s, x float64) float64 { return min(s, x) }, i64: func(s, x int64) int64 { return min(s, x) }},
	} {
		table[r.name] = Spec{MinIn: 1, MaxIn: 2, MaxOut: 1, Make: r.make}
	}
	return table
}

// reduce is a reduction over axes: from an attribute, from operand 1, or all.
type reduce struct {
	reduction
	axes      []int64
	attribute bool // the axes are the attribute's, operand 1 must not be there
	keep      bool
	noop      bool // no axes: change nothing, instead of reducing all
}

func (r reduction) make(a *Attributes, opset int64) (Operator, error) {
	o := reduce{reduction: r, keep: a.flag("keepdims", true)}
	if opset < r.axesSince {
		o.attribute = true
		o.axes, _ = a.ints("axes")
	} else {
		o.noop = a.flag("noop_with_empty_axes", false)
	}
	return o, nil
}

// reduced marks the axes that go away. It is nil if they are not known yet.
func (o reduce) reduced(in []*Info) ([]bool, error) {
	axes, at := o.axes, 0
	if !o.attribute && len(in) > 1 && in[1] != nil {
		v, ok := in[1].ints()
		if !ok {
			return nil, nil
		}
		axes, at = v, 1
	}
	set, err := axesSet(axes, len(in[0].Shape))
	if err != nil {
		return nil, &OperandError{at, err}
	}
	if len(axes) == 0 && !o.noop {
		for i := range set {
			set[i] = true
		}
	}
	return set, nil
}

func (o reduce) Infer(in []*Info) ([]Info, error) {
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
			return []Info{ranked(in[0].Type, openShape(len(in[0].Shape))...)}, nil
		}
		return []Info{unranked(in[0].Type)}, nil
	}
	shape := []int64{}
	for i, d := range in[0].Shape {
		switch {
		case !set[i]:
			shape = append(shape, d)
		case d == 0 && !o.empty:
			return nil, &OperandError{0, errors.New("has no element along a reduced axis")}
		case o.keep:
			shape = append(shape, 1)
		}
	}
	return []Info{ranked(in[0].Type, shape...)}, nil
}

func (o reduce) check(in []*Info) error {
	allowed := []tensor.DataType{tensor.Float32}
	if o.i64 != nil {
		allowed = append(allowed, tensor.Int64)
	}
	if err := needType(in, 0, allowed...); err != nil {
		return err
	}
	if len(in) < 2 || in[1] == nil {
		return nil
	}
	if o.attribute {
		return BadInput(1, "is not expected: before operator set %d the axes are an attribute", o.axesSince)
	}
	return needVector(in, 1)
}

// needVector refuses anything but a list of int64.
func needVector(in []*Info, index int) error {
	if err := needType(in, index, tensor.Int64); err != nil {
		return err
	}
	if in[index].Ranked && len(in[index].Shape) != 1 {
		return BadInput(index, "has shape %v, must be a list", in[index].Shape)
	}
	return nil
}

func (o reduce) Run(env *Env, in, out []*tensor.Tensor) error {
	infos := make([]*Info, len(in))
	for i, t := range in {
		if t != nil {
			v := Known(t)
			infos[i] = &v
		}
	}
	set, err := o.reduced(infos)
	if err != nil {
		return err
	}
	shape := in[0].Shape
	onto := append([]int64(nil), shape...)
	for i := range onto {
		if set[i] {
			onto[i] = 1
		}
	}
	operands := []kernel.Operand{kernel.Dense(shape), kernel.Broadcast(onto, shape)}
	if in[0].Type == tensor.Int64 {
		return o.integers(env, in[0], out[0], operands)
	}
	return o.floats(env, in[0], out[0], operands)
}

// floats sums in float64: the order of a reduction is no part of its meaning.
func (o reduce) floats(env *Env, in, out *tensor.Tensor, operands []kernel.Operand) error {
	sums := make([]float64, len(tensor.Data[float32](out)))
	for i := range sums {
		sums[i] = o.start
	}
	err := kernel.Walk(env.On, in.Shape, operands, func(n int, at, step []int) error {
		for i := range n {
			to := at[1] + i*step[1]
			sums[to] = o.f32(sums[to], float64(tensor.Data[float32](in)[at[0]+i*step[0]]))
		}
		return nil
	})
	if err != nil {
		return err
	}
	scale := 1.0
	if o.mean {
		scale = float64(len(tensor.Data[float32](in)) / len(sums))
	}
	for i, s := range sums {
		tensor.Data[float32](out)[i] = float32(s / scale)
	}
	return nil
}

func (o reduce) integers(env *Env, in, out *tensor.Tensor, operands []kernel.Operand) error {
	for i := range tensor.Data[int64](out) {
		tensor.Data[int64](out)[i] = o.startInt
	}
	return kernel.Walk(env.On, in.Shape, operands, func(n int, at, step []int) error {
		for i := range n {
			to := at[1] + i*step[1]
			tensor.Data[int64](out)[to] = o.i64(tensor.Data[int64](out)[to], tensor.Data[int64](in)[at[0]+i*step[0]])
		}
		return nil
	})
}

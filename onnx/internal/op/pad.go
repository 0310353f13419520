package op

import (
	"fmt"
	"math"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// pad adds elements before and after each dimension, or with negative pads cuts them
// off. Operands: data, pads, the constant (optional), axes (optional). Before operator
// set 11 pads and constant are attributes.
type pad struct {
	mode  string
	pads  list
	value *float32 // the constant, if it is an attribute
}

func makePad(a *Attributes, opset int64) (Operator, error) {
	if opset < 11 {
		a.need("pads")
	}
	o := pad{pads: listFrom(a, "pads", opset < 11, 1)}
	modes := []string{"constant", "reflect", "edge", "wrap"}
	if opset < 19 {
		modes = modes[:3]
	}
	o.mode = a.oneOf("mode", modes...)
	if opset < 11 {
		v := a.float("value", 0)
		o.value = &v
		atMost(a, 1)
	}
	if opset < 18 {
		atMost(a, 3)
	}
	return o, nil
}

func (o pad) Infer(in []*Info) ([]Info, error) {
	if err := o.check(in); err != nil {
		return nil, err
	}
	m, known, err := o.margins(in)
	if err != nil {
		return nil, err
	}
	if !known || !in[0].Ranked {
		return []Info{sameRank(in[0])}, nil
	}
	shape, err := m.around(in[0].Shape)
	if err != nil {
		return nil, o.pads.wrong(err)
	}
	if o.mode != "constant" {
		if err := m.source(in[0].Shape, shape); err != nil {
			return nil, &OperandError{0, err}
		}
	}
	return []Info{ranked(in[0].Type, shape...)}, nil
}

func (o pad) check(in []*Info) error {
	allowed := anyType()
	if o.value != nil {
		allowed = []tensor.DataType{tensor.Float32, tensor.Float64, tensor.Float16}
	}
	if err := needType(in, 0, allowed...); err != nil {
		return err
	}
	if !present(in, 2) {
		return nil
	}
	if err := needType(in, 2, in[0].Type); err != nil {
		return err
	}
	return needOne(in, 2)
}

// margins is how much there is to add before and after each dimension.
type margins struct{ before, after []int64 }

// margins reads pads and axes.
func (o pad) margins(in []*Info) (m margins, known bool, err error) {
	pads, given, known, err := o.pads.get(in)
	if err != nil {
		return m, false, err
	}
	if !given {
		return m, false, BadInput(1, "is required")
	}
	axes, named, knownAxes, err := list{operand: 3}.get(in)
	if err != nil || !known || !knownAxes || !in[0].Ranked {
		return m, false, err
	}
	rank := len(in[0].Shape)
	if !named {
		axes = counting(rank)
	}
	if len(pads) != 2*len(axes) {
		return m, false, o.pads.wrong(fmt.Errorf("has %d entries for %d dimensions", len(pads), len(axes)))
	}
	if _, err := axesSet(axes, rank); err != nil {
		return m, false, &OperandError{3, err}
	}
	m = margins{make([]int64, rank), make([]int64, rank)}
	for i, a := range axes {
		d, _ := axis(a, rank)
		m.before[d], m.after[d] = pads[i], pads[len(axes)+i]
	}
	return m, true, nil
}

// counting is 0, 1, 2, ...
func counting(n int) []int64 {
	v := make([]int64, n)
	for i := range v {
		v[i] = int64(i)
	}
	return v
}

// around is the shape with its margins.
func (m margins) around(shape []int64) ([]int64, error) {
	const most = math.MaxInt64 / 4
	out := slices.Clone(shape)
	for d, size := range shape {
		before, after := m.before[d], m.after[d]
		if size > most || max(before, after) > most || min(before, after) < -most {
			return nil, fmt.Errorf("%d and %d around dimension %d overflow", before, after, size)
		}
		if size == -1 {
			continue
		}
		if out[d] = size + before + after; out[d] < 0 || before < -size || after < -size {
			return nil, fmt.Errorf("%d and %d leave nothing of dimension %d", before, after, size)
		}
	}
	return out, nil
}

// source checks that there is something to fill every margin from.
func (m margins) source(from, shape []int64) error {
	for d, size := range from {
		if size != -1 && shape[d] > 0 && size+min(m.before[d], 0)+min(m.after[d], 0) <= 0 {
			return fmt.Errorf("dimension %d of shape %v has nothing to fill margins from", d, from)
		}
	}
	return nil
}

func (o pad) Run(env *Env, in, out []*tensor.Tensor) error {
	m, _, err := o.margins(infosOf(in))
	if err != nil {
		return err
	}
	if o.mode != "constant" {
		index, err := m.indices(env, in[0].Shape, o.mode)
		if err != nil {
			return err
		}
		return takeGrid(env, out[0], in[0], index)
	}
	value, err := o.constant(in)
	if err != nil {
		return err
	}
	return m.surround(env, out[0], in[0], value)
}

// constant is what margins are filled with: one element.
func (o pad) constant(in []*tensor.Tensor) (*tensor.Tensor, error) {
	switch {
	case present(in, 2):
		return in[2].Reshaped(nil), nil
	case o.value == nil:
		return tensor.New(in[0].Type, nil)
	case in[0].Type == tensor.Float16:
		return tensor.Scalar(toHalf[tensor.F16](*o.value)), nil
	case in[0].Type == tensor.Float64:
		return tensor.Scalar(float64(*o.value)), nil
	}
	return tensor.Scalar(*o.value), nil
}

// surround copies what is left of src into the middle of dst and fills the margins.
func (m margins) surround(env *Env, dst, src, value *tensor.Tensor) error {
	to, from, middle := kernel.Dense(dst.Shape), kernel.Dense(src.Shape), slices.Clone(src.Shape)
	slab := kernel.Dense(dst.Shape) // the part of dst whose margins are still to fill
	shape := slices.Clone(dst.Shape)
	none := kernel.Operand{Strides: make([]int, len(shape))}
	for d := range middle {
		before, after := max(m.before[d], 0), max(m.after[d], 0)
		middle[d] = dst.Shape[d] - before - after
		to.Offset += int(before) * to.Strides[d]
		from.Offset += int(max(-m.before[d], 0)) * from.Strides[d]
		whole, start := shape[d], slab.Offset
		for _, part := range [][2]int64{{0, before}, {whole - after, after}} {
			shape[d], slab.Offset = part[1], start+int(part[0])*slab.Strides[d]
			if err := copyTo(env, dst, slab, value, none, shape); err != nil {
				return err
			}
		}
		shape[d], slab.Offset = middle[d], start+int(before)*slab.Strides[d]
	}
	return copyTo(env, dst, to, src, from, middle)
}

// indices says, for each dimension with margins, which index of the operand each
// index of the result repeats.
func (m margins) indices(env *Env, shape []int64, mode string) ([][]int64, error) {
	all := make([][]int64, len(shape))
	for d, size := range shape {
		before, after := m.before[d], m.after[d]
		if before == 0 && after == 0 {
			continue
		}
		low, n := max(-before, 0), size+min(before, 0)+min(after, 0)
		var err error
		if all[d], err = newList(env, size+before+after); err != nil {
			return nil, err
		}
		for i := range all[d] {
			all[d][i] = low + repeated(mode, int64(i)-max(before, 0), n)
		}
	}
	return all, nil
}

// newList takes memory for n integers.
func newList(env *Env, n int64) ([]int64, error) {
	t, err := env.New(tensor.Int64, []int64{n})
	if err != nil {
		return nil, err
	}
	return tensor.Data[int64](t), nil
}

// repeated maps an index outside of 0 to n-1 to the one inside that it repeats.
func repeated(mode string, i, n int64) int64 {
	switch {
	case mode == "edge" || n == 1:
		return min(max(i, 0), n-1)
	case mode == "wrap":
		return (i%n + n) % n
	}
	period := 2 * (n - 1)
	i = (i%period + period) % period
	return min(i, period-i)
}

// takeGrid fills dst from src: index says for each dimension of dst which index of src
// each of its own is; nil: its own, -1: none, and dst keeps what it has. It writes to
// the lists.
func takeGrid(env *Env, dst, src *tensor.Tensor, index [][]int64) error {
	g := kernel.Grid{Run: 1}
	strides := kernel.Strides(src.Shape)
	last := len(index)
	for last > 1 && index[last-1] == nil {
		last--
		g.Run *= int(src.Shape[last])
	}
	for d, at := range index[:last] {
		if at == nil {
			var err error
			if at, err = newList(env, dst.Shape[d]); err != nil {
				return err
			}
			for i := range at {
				at[i] = int64(i)
			}
		}
		for i, from := range at {
			if from >= 0 {
				at[i] = from * int64(strides[d])
			}
		}
		g.At = append(g.At, at)
	}
	if last == 0 {
		g.At = [][]int64{{0}}
	}
	return moverOf(dst.Type).grid(env, dst, src, g)
}

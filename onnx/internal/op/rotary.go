package op

import (
	"fmt"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// rotary turns pairs of elements of each head by angles that depend on the position.
// Operands: the heads, [batch, heads, positions, size] or [batch, positions, heads x
// size], cosines and sines of the angles, and the positions (optional).
type rotary struct {
	heads, dim int64 // 0: from the operand
	neighbours bool  // pairs are neighbours, not half of the elements apart
}

func makeRotary(a *Attributes, _ int64) (Operator, error) {
	o := rotary{a.int("num_heads", 0), a.int("rotary_embedding_dim", 0), a.flag("interleaved", false)}
	if o.heads < 0 || o.dim < 0 || o.dim%2 != 0 {
		return nil, fmt.Errorf(`attributes "num_heads" and "rotary_embedding_dim" are %d and %d, expected 0 or more, and the second even`, o.heads, o.dim)
	}
	return o, nil
}

func (o rotary) Infer(in []*Info) ([]Info, error) {
	if err := needSame(in[:3], shortFloats()...); err != nil {
		return nil, err
	}
	if present(in, 3) {
		if err := needType(in, 3, tensor.Int64); err != nil {
			return nil, err
		}
		if err := needRank(in, 3, 2, "positions of rank 2"); err != nil {
			return nil, err
		}
	}
	if in[0].Ranked {
		if err := o.check(in); err != nil {
			return nil, err
		}
	}
	return likeFirst(in), nil
}

// InPlace: each pair is read before it is written.
func (rotary) InPlace() []int { return []int{0} }

// sizes are the dimensions of the heads, whichever way they lie.
type rotarySizes struct{ batch, heads, positions, size int64 }

func (o rotary) sizes(shape []int64) (s rotarySizes, err error) {
	if len(shape) == 4 {
		return rotarySizes{shape[0], shape[1], shape[2], shape[3]}, nil
	}
	if len(shape) != 3 {
		return s, BadInput(0, "has shape %v, expected rank 3 or 4", shape)
	}
	if o.heads == 0 || shape[2] != -1 && shape[2]%o.heads != 0 {
		return s, BadInput(0, `has shape %v, which is not %d heads (attribute "num_heads")`, shape, o.heads)
	}
	s = rotarySizes{shape[0], o.heads, shape[1], -1}
	if shape[2] != -1 {
		s.size = shape[2] / o.heads
	}
	return s, nil
}

func (o rotary) check(in []*Info) error {
	s, err := o.sizes(in[0].Shape)
	if err != nil {
		return err
	}
	half := int64(-1)
	switch {
	case o.dim > 0 && s.size != -1 && o.dim > s.size:
		return BadInput(0, `has heads of %d elements, attribute "rotary_embedding_dim" is %d`, s.size, o.dim)
	case o.dim > 0:
		half = o.dim / 2
	case s.size != -1 && s.size%2 != 0:
		return BadInput(0, "has heads of %d elements, which are no pairs", s.size)
	case s.size != -1:
		half = s.size / 2
	}
	angles := []int64{s.batch, s.positions, half}
	if present(in, 3) {
		angles = []int64{-1, half}
		if in[3].Ranked {
			if err := sameShape(in[3].Shape, []int64{s.batch, s.positions}); err != nil {
				return &OperandError{3, err}
			}
		}
	}
	for i := 1; i <= 2; i++ {
		if !in[i].Ranked {
			continue
		}
		if err := sameShape(in[i].Shape, angles); err != nil {
			return &OperandError{i, err}
		}
	}
	if present(in, 3) && in[1].Ranked && in[2].Ranked {
		if err := sameShape(in[2].Shape, in[1].Shape); err != nil {
			return &OperandError{2, err}
		}
	}
	return nil
}

func (o rotary) Run(env *Env, in, out []*tensor.Tensor) error {
	s, err := o.sizes(in[0].Shape)
	if err != nil {
		return err
	}
	rows, err := o.rows(in, s)
	if err != nil {
		return err
	}
	var wide [3]*tensor.Tensor
	for i := range wide {
		if wide[i], err = float32Of(env, in[i]); err != nil {
			return err
		}
	}
	dst := out[0]
	if dst.Type != tensor.Float32 {
		if dst, err = env.New(tensor.Float32, out[0].Shape); err != nil {
			return err
		}
	}
	if err := o.turn(env, s, dst, wide, rows); err != nil {
		return err
	}
	return fromFloat32(env, out[0], dst)
}

// rows says, for each position of each batch, which row of the angles it has.
func (o rotary) rows(in []*tensor.Tensor, s rotarySizes) (func(batch, position int) int, error) {
	if !present(in, 3) {
		return func(b, p int) int { return b*int(s.positions) + p }, nil
	}
	index := tensor.Data[int64](in[3])
	for _, i := range index {
		if i < 0 || i >= in[1].Shape[0] {
			return nil, BadInput(3, "position %d is outside of %d", i, in[1].Shape[0])
		}
	}
	return func(b, p int) int { return int(index[b*int(s.positions)+p]) }, nil
}

// turn goes through all positions.
func (o rotary) turn(env *Env, s rotarySizes, dst *tensor.Tensor, in [3]*tensor.Tensor, rows func(b, p int) int) error {
	heads, positions, size := int(s.heads), int(s.positions), int(s.size)
	headStep, positionStep := size, heads*size
	if len(in[0].Shape) == 4 {
		headStep, positionStep = positions*size, size
	}
	half := int(in[1].Shape[len(in[1].Shape)-1])
	from, to := tensor.Data[float32](in[0]), tensor.Data[float32](dst)
	cos, sin := tensor.Data[float32](in[1]), tensor.Data[float32](in[2])
	return env.On.Parallel(int(s.batch)*positions, func(part int) {
		b, p := part/positions, part%positions
		row := rows(b, p) * half
		for h := range heads {
			at := b*heads*positions*size + h*headStep + p*positionStep
			o.pairs(to[at:at+size], from[at:at+size], cos[row:row+half], sin[row:row+half])
		}
	})
}

// pairs turns the elements of one head.
func (o rotary) pairs(dst, src, cos, sin []float32) {
	half := len(cos)
	for i, c := range cos {
		first, second := i, i+half
		if o.neighbours {
			first, second = 2*i, 2*i+1
		}
		x, y := src[first], src[second]
		dst[first], dst[second] = c*x-sin[i]*y, sin[i]*x+c*y
	}
	copy(dst[2*half:], src[2*half:])
}

// float32Of is a tensor of numbers as float32: itself, or a copy.
func float32Of(env *Env, t *tensor.Tensor) (*tensor.Tensor, error) {
	if t.Type == tensor.Float32 {
		return t, nil
	}
	out, err := env.New(tensor.Float32, t.Shape)
	if err != nil {
		return nil, err
	}
	return out, convert(env, t.Len(), reader[float64](t), writer[float64](out))
}

// fromFloat32 makes dst what src is, unless they are one.
func fromFloat32(env *Env, dst, src *tensor.Tensor) error {
	if dst == src {
		return nil
	}
	return convert(env, src.Len(), reader[float64](src), writer[float64](dst))
}

package op

import (
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// mover moves elements without looking at them. There is one for each size of
// elements, so that what only moves is written once for all types.
type mover interface {
	copy(env *Env, dst *tensor.Tensor, to kernel.Operand, src *tensor.Tensor, from kernel.Operand, shape []int64) error
	take(env *Env, dst, src *tensor.Tensor, run int, starts kernel.Starts) error
	put(env *Env, dst, src *tensor.Tensor, run int, starts kernel.Starts) error
	grid(env *Env, dst, src *tensor.Tensor, g kernel.Grid) error
	pick(dst, choose, a, b *tensor.Tensor) kernel.Run
}

// words is the mover of elements that look like T; see [tensor.Words].
type words[T tensor.Word] struct{}

func (words[T]) copy(env *Env, dst *tensor.Tensor, to kernel.Operand, src *tensor.Tensor, from kernel.Operand, shape []int64) error {
	return kernel.Copy(env.On, shape, tensor.Words[T](dst), to, tensor.Words[T](src), from)
}

func (words[T]) take(env *Env, dst, src *tensor.Tensor, run int, starts kernel.Starts) error {
	return kernel.Take(env.On, tensor.Words[T](dst), tensor.Words[T](src), run, starts)
}

func (words[T]) put(env *Env, dst, src *tensor.Tensor, run int, starts kernel.Starts) error {
	return kernel.Put(env.On, tensor.Words[T](dst), tensor.Words[T](src), run, starts)
}

func (words[T]) grid(env *Env, dst, src *tensor.Tensor, g kernel.Grid) error {
	return kernel.TakeGrid(env.On, tensor.Words[T](dst), tensor.Words[T](src), g)
}

func (words[T]) pick(dst, choose, a, b *tensor.Tensor) kernel.Run {
	return kernel.Pick(tensor.Words[T](dst), tensor.Data[bool](choose), tensor.Words[T](a), tensor.Words[T](b))
}

// moverOf returns the mover of a type of elements.
func moverOf(t tensor.DataType) mover {
	if t == tensor.String {
		return words[string]{}
	}
	switch t.Size() {
	case 1:
		return words[uint8]{}
	case 2:
		return words[uint16]{}
	case 4:
		return words[uint32]{}
	case 8:
		return words[uint64]{}
	}
	return words[[2]uint64]{}
}

// expand repeats src to fill dst; both have one type.
func expand(env *Env, dst, src *tensor.Tensor) error {
	return move(env, dst, 0, src, kernel.Broadcast(src.Shape, dst.Shape), dst.Shape)
}

// move copies the elements of src that the operand selects, in the shape given,
// to dst from element offset on, densely.
func move(env *Env, dst *tensor.Tensor, offset int, src *tensor.Tensor, from kernel.Operand, shape []int64) error {
	return copyTo(env, dst, kernel.Operand{Offset: offset, Strides: kernel.Strides(shape)}, src, from, shape)
}

func copyTo(env *Env, dst *tensor.Tensor, to kernel.Operand, src *tensor.Tensor, from kernel.Operand, shape []int64) error {
	return moverOf(dst.Type).copy(env, dst, to, src, from, shape)
}

// copyAll makes dst the same as src, which has as many elements.
func copyAll(env *Env, dst, src *tensor.Tensor) error {
	return move(env, dst, 0, src, kernel.Dense(src.Shape), src.Shape)
}

// zero clears dst: 0, false, "".
func zero(env *Env, dst *tensor.Tensor) error {
	one, err := tensor.New(dst.Type, nil)
	if err != nil {
		return err
	}
	return expand(env, dst, one)
}

// indexes reads the elements of an int32 or int64 tensor.
type indexes struct {
	narrow []int32
	wide   []int64
}

func indexesOf(t *tensor.Tensor) indexes {
	return indexes{tensor.Data[int32](t), tensor.Data[int64](t)}
}

func (x indexes) at(i int) int64 {
	if x.wide != nil {
		return x.wide[i]
	}
	return int64(x.narrow[i])
}

// in returns element i as an index into a dimension, which it may count from its
// end. operand is the one it comes from, for the message.
func (x indexes) in(i int, size int64, operand int) (int, error) {
	v := x.at(i)
	if v < -size || v >= size {
		return 0, BadInput(operand, "index %d is outside of dimension %d", v, size)
	}
	if v < 0 {
		v += size
	}
	return int(v), nil
}

package op

import (
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

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
	return kernel.Walk(env.On, shape, []kernel.Operand{to, from}, copierOf(dst, src))
}

// copierOf moves elements of any type as words of their size.
func copierOf(dst, src *tensor.Tensor) kernel.Run {
	if dst.Type == tensor.String {
		return copier(tensor.Words[string](dst), tensor.Words[string](src))
	}
	switch dst.Type.Size() {
	case 1:
		return copier(tensor.Words[uint8](dst), tensor.Words[uint8](src))
	case 2:
		return copier(tensor.Words[uint16](dst), tensor.Words[uint16](src))
	case 4:
		return copier(tensor.Words[uint32](dst), tensor.Words[uint32](src))
	case 8:
		return copier(tensor.Words[uint64](dst), tensor.Words[uint64](src))
	}
	return copier(tensor.Words[[2]uint64](dst), tensor.Words[[2]uint64](src))
}

func copier[T any](dst, src []T) kernel.Run {
	return func(n int, at, step []int) error {
		if step[0] == 1 && step[1] == 1 {
			copy(dst[at[0]:at[0]+n], src[at[1]:])
			return nil
		}
		for i := range n {
			dst[at[0]+i*step[0]] = src[at[1]+i*step[1]]
		}
		return nil
	}
}

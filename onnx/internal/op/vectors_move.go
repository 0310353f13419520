package op

import (
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/vec"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// turnMatrices permutes dimensions of float32 where the last one becomes another:
// matrices are turned, one for each index of the dimensions beside these two. from
// holds the operand's strides by dimension of the result.
func turnMatrices(env *Env, out, in *tensor.Tensor, from []int) error {
	last := len(from) - 1
	row := 0 // the dimension of the result along which the operand is dense
	for i, stride := range from {
		if stride == 1 && out.Shape[i] > 1 {
			row = i
		}
	}
	own := kernel.Strides(out.Shape)
	var others []int64
	to, at := kernel.Operand{}, kernel.Operand{}
	for i, d := range out.Shape[:last] {
		if i != row {
			others, to.Strides, at.Strides = append(others, d), append(to.Strides, own[i]), append(at.Strides, from[i])
		}
	}
	dst, src := tensor.Data[float32](out), tensor.Data[float32](in)
	rows, columns := int(out.Shape[last]), int(out.Shape[row])
	return kernel.Walk(env.On, others, []kernel.Operand{to, at}, func(n int, at, step []int) error {
		for i := range n {
			if err := turn(env.On, dst[at[0]+i*step[0]:], own[row], src[at[1]+i*step[1]:], from[last], rows, columns); err != nil {
				return err
			}
		}
		return nil
	})
}

// turn transposes a matrix, some rows at a time.
func turn(on *kernel.On, dst []float32, dstStride int, src []float32, srcStride, rows, columns int) error {
	const most = 1 << 16 // elements between two looks at the context
	each := max(8, most/columns&^7)
	for r := 0; r < rows; r += each {
		if err := on.Err(); err != nil {
			return err
		}
		vec.Transpose2D(on.Level, dst[r:], dstStride, src[r*srcStride:], srcStride, min(each, rows-r), columns)
	}
	return nil
}

// turns says whether turnMatrices is for a permutation: the last dimension of the
// result is not dense in the operand, and neither it nor the one that is are short.
func turns(out *tensor.Tensor, from []int) bool {
	const short = 4
	last := len(from) - 1
	if out.Type != tensor.Float32 || last < 1 || from[last] == 1 || out.Shape[last] < short {
		return false
	}
	for i, stride := range from {
		if stride == 1 && out.Shape[i] >= short {
			return true
		}
	}
	return false
}

// castVectors is the vector form of a cast; nil: there is none.
func castVectors(l kernel.Level, out, in *tensor.Tensor) func(from, to int) {
	type pair struct{ to, from tensor.DataType }
	switch (pair{out.Type, in.Type}) {
	case pair{tensor.Float32, tensor.Float16}:
		return converted(l, tensor.Data[float32](out), tensor.Words[uint16](in), vec.FromFloat16)
	case pair{tensor.Float32, tensor.BFloat16}:
		return converted(l, tensor.Data[float32](out), tensor.Words[uint16](in), vec.FromBfloat16)
	case pair{tensor.Float16, tensor.Float32}:
		return converted(l, tensor.Words[uint16](out), tensor.Data[float32](in), vec.ToFloat16)
	case pair{tensor.BFloat16, tensor.Float32}:
		return converted(l, tensor.Words[uint16](out), tensor.Data[float32](in), vec.ToBfloat16)
	case pair{tensor.Float32, tensor.Int64}:
		return converted(l, tensor.Data[float32](out), tensor.Data[int64](in), vec.FromInt64)
	case pair{tensor.Float32, tensor.Int32}:
		return converted(l, tensor.Data[float32](out), tensor.Data[int32](in), vec.FromInt32)
	}
	return nil
}

func converted[D, S any](l kernel.Level, dst []D, src []S, f func(l kernel.Level, dst []D, src []S)) func(from, to int) {
	return func(from, to int) { f(l, dst[from:to], src[from:to]) }
}

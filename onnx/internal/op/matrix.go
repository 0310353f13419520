package op

import (
	"github.com/blindbox/blindbox/onnx/internal/kernel"

	"github.com/blindbox/blindbox/onnx/tensor"
)

func matrixOperators() map[string]Spec {
	return map[string]Spec{
		"MatMul": {MinIn: 2, MaxIn: 2, MaxOut: 1, Make: func(*Attributes, int64) (Operator, error) { return matMul{}, nil }},
		"Gemm":   {MinIn: 2, MaxIn: 3, MaxOut: 1, Make: makeGemm},
	}
}

// matMul multiplies stacks of matrices by numpy's rules: a vector on the left is
// a row, on the right a column, and the stacks broadcast.
type matMul struct{}

// split cuts a shape into the stack and the matrix, after a vector has become a
// matrix.
func split(shape []int64, left bool) (stack, matrix []int64) {
	if len(shape) == 1 {
		if left {
			return nil, []int64{1, shape[0]}
		}
		return nil, []int64{shape[0], 1}
	}
	return shape[:len(shape)-2], shape[len(shape)-2:]
}

func (matMul) Infer(in []*Info) ([]Info, error) {
	for i := range in {
		if err := needType(in, i, tensor.Float32); err != nil {
			return nil, err
		}
		if in[i].Ranked && len(in[i].Shape) == 0 {
			return nil, BadInput(i, "is a scalar, must have at least one dimension")
		}
	}
	a, b := in[0], in[1]
	if !a.Ranked || !b.Ranked {
		return []Info{unranked(tensor.Float32)}, nil
	}
	stackA, matrixA := split(a.Shape, true)
	stackB, matrixB := split(b.Shape, false)
	if _, ok := sameDim(matrixA[1], matrixB[0]); !ok {
		return nil, BadInput(1, "has shape %v, which does not multiply with %v", b.Shape, a.Shape)
	}
	shape, err := broadcastShapes(stackA, stackB)
	if err != nil {
		return nil, &OperandError{1, err}
	}
	if len(a.Shape) > 1 {
		shape = append(shape, matrixA[0])
	}
	if len(b.Shape) > 1 {
		shape = append(shape, matrixB[1])
	}
	return []Info{ranked(tensor.Float32, shape...)}, nil
}

func (matMul) Run(env *Env, in, out []*tensor.Tensor) error {
	stackA, matrixA := split(in[0].Shape, true)
	stackB, matrixB := split(in[1].Shape, false)
	stack, err := broadcastShapes(stackA, stackB)
	if err != nil {
		return err
	}
	m, k, n := int(matrixA[0]), int(matrixA[1]), int(matrixB[1])
	operands := []kernel.Operand{
		times(kernel.Dense(stack), m*n),
		times(kernel.Broadcast(stackA, stack), m*k),
		times(kernel.Broadcast(stackB, stack), k*n),
	}
	return kernel.Walk(env.On, stack, operands, func(count int, at, step []int) error {
		for i := range count {
			dst := tensor.Data[float32](out[0])[at[0]+i*step[0]:]
			a := kernel.Matrix{Data: tensor.Data[float32](in[0])[at[1]+i*step[1]:], Row: k, Col: 1}
			b := kernel.Matrix{Data: tensor.Data[float32](in[1])[at[2]+i*step[2]:], Row: n, Col: 1}
			if err := kernel.MatMul(env.On, dst[:m*n], m, k, n, 1, a, b); err != nil {
				return err
			}
		}
		return nil
	})
}

// times makes an operand's strides count matrices of the given size.
func times(o kernel.Operand, size int) kernel.Operand {
	for i := range o.Strides {
		o.Strides[i] *= size
	}
	return o
}

// gemm computes alpha * A * B + beta * C, with A and B possibly transposed.
type gemm struct {
	alpha, beta    float32
	transA, transB bool
}

func makeGemm(a *Attributes, _ int64) (Operator, error) {
	return gemm{a.float("alpha", 1), a.float("beta", 1), a.flag("transA", false), a.flag("transB", false)}, nil
}

// turn returns a matrix shape after an optional transposition; -1 for all that
// is not known.
func turn(v *Info, transposed bool) (rows, columns int64) {
	if !v.Ranked {
		return -1, -1
	}
	if transposed {
		return v.Shape[1], v.Shape[0]
	}
	return v.Shape[0], v.Shape[1]
}

func (o gemm) Infer(in []*Info) ([]Info, error) {
	for i := range 2 {
		if err := needType(in, i, tensor.Float32); err != nil {
			return nil, err
		}
		if in[i].Ranked && len(in[i].Shape) != 2 {
			return nil, BadInput(i, "has shape %v, must be a matrix", in[i].Shape)
		}
	}
	m, k := turn(in[0], o.transA)
	kB, n := turn(in[1], o.transB)
	if _, ok := sameDim(k, kB); !ok {
		return nil, BadInput(1, "has %d rows after transposition, but A has %d columns", kB, k)
	}
	shape := []int64{m, n}
	if len(in) < 3 || in[2] == nil {
		return []Info{ranked(tensor.Float32, shape...)}, nil
	}
	if err := needType(in, 2, tensor.Float32); err != nil {
		return nil, err
	}
	if in[2].Ranked && !fitsInto(in[2].Shape, shape) {
		return nil, BadInput(2, "has shape %v, which does not broadcast to %v", in[2].Shape, shape)
	}
	return []Info{ranked(tensor.Float32, shape...)}, nil
}

// fitsInto says whether shape can be repeated to fill target, which stays as it
// is (the one-way broadcast of ONNX, Broadcasting.md).
func fitsInto(shape, target []int64) bool {
	if len(shape) > len(target) {
		return false
	}
	tail := target[len(target)-len(shape):]
	for i, d := range shape {
		if d != 1 && d != -1 && tail[i] != -1 && d != tail[i] {
			return false
		}
	}
	return true
}

func (o gemm) Run(env *Env, in, out []*tensor.Tensor) error {
	dst := out[0]
	if len(in) > 2 && in[2] != nil {
		if err := expand(env, dst, in[2]); err != nil {
			return err
		}
		if o.beta != 1 {
			if err := apply(env, tensor.Data[float32](dst), tensor.Data[float32](dst), func(x float32) float32 { return o.beta * x }); err != nil {
				return err
			}
		}
	}
	a, k := matrix(in[0], o.transA)
	b, _ := matrix(in[1], o.transB)
	return kernel.MatMul(env.On, tensor.Data[float32](dst), int(dst.Shape[0]), k, int(dst.Shape[1]), o.alpha, a, b)
}

// matrix views a rank-2 tensor, and returns its number of columns.
func matrix(t *tensor.Tensor, transposed bool) (kernel.Matrix, int) {
	rows, columns := int(t.Shape[0]), int(t.Shape[1])
	if transposed {
		return kernel.Matrix{Data: tensor.Data[float32](t), Row: 1, Col: columns}, rows
	}
	return kernel.Matrix{Data: tensor.Data[float32](t), Row: columns, Col: 1}, columns
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

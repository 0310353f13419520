package onnx

import (
	"context"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

func matrixOperators() map[string]operatorSpec {
	return map[string]operatorSpec{
		"MatMul": {2, 2, 1, func(*attributes, int64) (operator, error) { return matMul{}, nil }},
		"Gemm":   {2, 3, 1, makeGemm},
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

func (matMul) infer(in []*info) ([]info, error) {
	for i := range in {
		if err := needType(in, i, Float32); err != nil {
			return nil, err
		}
		if in[i].ranked && len(in[i].shape) == 0 {
			return nil, badInput(i, "is a scalar, must have at least one dimension")
		}
	}
	a, b := in[0], in[1]
	if !a.ranked || !b.ranked {
		return []info{unranked(Float32)}, nil
	}
	stackA, matrixA := split(a.shape, true)
	stackB, matrixB := split(b.shape, false)
	if _, ok := sameDim(matrixA[1], matrixB[0]); !ok {
		return nil, badInput(1, "has shape %v, which does not multiply with %v", b.shape, a.shape)
	}
	shape, err := broadcastShapes(stackA, stackB)
	if err != nil {
		return nil, &operandError{1, err}
	}
	if len(a.shape) > 1 {
		shape = append(shape, matrixA[0])
	}
	if len(b.shape) > 1 {
		shape = append(shape, matrixB[1])
	}
	return []info{ranked(Float32, shape...)}, nil
}

func (matMul) run(ctx context.Context, in, out []*Tensor) error {
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
	return kernel.Walk(ctx, stack, operands, func(count int, at, step []int) error {
		for i := range count {
			dst := out[0].F32[at[0]+i*step[0]:]
			a := kernel.Matrix{Data: in[0].F32[at[1]+i*step[1]:], Row: k, Col: 1}
			b := kernel.Matrix{Data: in[1].F32[at[2]+i*step[2]:], Row: n, Col: 1}
			if err := kernel.MatMul(ctx, dst[:m*n], m, k, n, 1, a, b); err != nil {
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

func makeGemm(a *attributes, _ int64) (operator, error) {
	return gemm{a.float("alpha", 1), a.float("beta", 1), a.flag("transA", false), a.flag("transB", false)}, nil
}

// turn returns a matrix shape after an optional transposition; -1 for all that
// is not known.
func turn(v *info, transposed bool) (rows, columns int64) {
	if !v.ranked {
		return -1, -1
	}
	if transposed {
		return v.shape[1], v.shape[0]
	}
	return v.shape[0], v.shape[1]
}

func (o gemm) infer(in []*info) ([]info, error) {
	for i := range 2 {
		if err := needType(in, i, Float32); err != nil {
			return nil, err
		}
		if in[i].ranked && len(in[i].shape) != 2 {
			return nil, badInput(i, "has shape %v, must be a matrix", in[i].shape)
		}
	}
	m, k := turn(in[0], o.transA)
	kB, n := turn(in[1], o.transB)
	if _, ok := sameDim(k, kB); !ok {
		return nil, badInput(1, "has %d rows after transposition, but A has %d columns", kB, k)
	}
	shape := []int64{m, n}
	if len(in) < 3 || in[2] == nil {
		return []info{ranked(Float32, shape...)}, nil
	}
	if err := needType(in, 2, Float32); err != nil {
		return nil, err
	}
	if in[2].ranked && !fitsInto(in[2].shape, shape) {
		return nil, badInput(2, "has shape %v, which does not broadcast to %v", in[2].shape, shape)
	}
	return []info{ranked(Float32, shape...)}, nil
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

func (o gemm) run(ctx context.Context, in, out []*Tensor) error {
	dst := out[0]
	if len(in) > 2 && in[2] != nil {
		if err := expand(ctx, dst, in[2]); err != nil {
			return err
		}
		if o.beta != 1 {
			if err := apply(ctx, dst.F32, dst.F32, func(x float32) float32 { return o.beta * x }); err != nil {
				return err
			}
		}
	}
	a, k := matrix(in[0], o.transA)
	b, _ := matrix(in[1], o.transB)
	return kernel.MatMul(ctx, dst.F32, int(dst.Shape[0]), k, int(dst.Shape[1]), o.alpha, a, b)
}

// matrix views a rank-2 tensor, and returns its number of columns.
func matrix(t *Tensor, transposed bool) (kernel.Matrix, int) {
	rows, columns := int(t.Shape[0]), int(t.Shape[1])
	if transposed {
		return kernel.Matrix{Data: t.F32, Row: 1, Col: columns}, rows
	}
	return kernel.Matrix{Data: t.F32, Row: columns, Col: 1}, columns
}

// expand repeats src to fill dst; both have one type.
func expand(ctx context.Context, dst, src *Tensor) error {
	return move(ctx, dst, 0, src, kernel.Broadcast(src.Shape, dst.Shape), dst.Shape)
}

// move copies the elements of src that the operand selects, in the shape given,
// to dst from element offset on, densely.
func move(ctx context.Context, dst *Tensor, offset int, src *Tensor, from kernel.Operand, shape []int64) error {
	return copyTo(ctx, dst, kernel.Operand{Offset: offset, Strides: kernel.Strides(shape)}, src, from, shape)
}

func copyTo(ctx context.Context, dst *Tensor, to kernel.Operand, src *Tensor, from kernel.Operand, shape []int64) error {
	var do kernel.Run
	switch dst.Type {
	case Float32:
		do = copier(dst.F32, src.F32)
	case Int64:
		do = copier(dst.I64, src.I64)
	case String:
		do = copier(dst.Str, src.Str)
	default:
		do = copier(dst.Bool, src.Bool)
	}
	return kernel.Walk(ctx, shape, []kernel.Operand{to, from}, do)
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

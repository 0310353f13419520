package fuse

import (
	"math"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/op"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// columns is a stack of heads that is some columns of a wider matrix: a part of what one
// product makes for queries, keys and values, which a Reshape would cut into heads. The
// attention reads it where it is. The Reshape's wanted shape is an operand still, number
// operand: it may show only in a run.
type columns struct {
	first, count, width int64 // of the matrix's columns: those of the stack, and all
	apart               bool  // the columns are a matrix by itself, behind those before it (op.Projections)
	reshape             op.Operator
	operand             int
}

// stack is the shape that the Reshape gives operand i.
func (c *columns) stack(i int, in []*op.Info) ([]int64, error) {
	part := op.Info{Type: in[i].Type, Ranked: true, Shape: slices.Clone(in[i].Shape)}
	n := len(part.Shape) - 1
	if n < 0 || part.Shape[n] != -1 && part.Shape[n] != c.width {
		return nil, op.BadInput(i, "has shape %v, expected rows of %d", part.Shape, c.width)
	}
	part.Shape[n] = c.count
	made, err := c.reshape.Infer([]*op.Info{&part, in[c.operand]})
	if err != nil {
		return nil, err
	}
	if !made[0].Ranked {
		return nil, op.BadInput(c.operand, "does not say how many dimensions a stack of heads has")
	}
	for _, d := range made[0].Shape {
		if d > math.MaxInt32 { // of a stack without elements: beside a zero it may be any number
			return nil, op.BadInput(c.operand, "asks for %d heads, rows or columns", d)
		}
	}
	return made[0].Shape, nil
}

// copies is how many elements have to be copied to be read.
func (c *columns) copies(matrix *op.Info, stack []int64) int64 {
	if c == nil || c.inRows(stack) {
		return 0
	}
	n := c.count
	for _, d := range matrix.Shape[:len(matrix.Shape)-1] {
		n *= d
	}
	return n
}

// inRows says whether each element of the stack is found by distances: the columns are a
// matrix by themselves, or the last two dimensions of the stack divide each row.
func (c *columns) inRows(stack []int64) bool { return c.apart || stack[2]*stack[3] == c.count }

// read finds the stack in the matrix, as data and the distances of the four dimensions.
// A stack that crosses the ends of rows is copied into scratch first. What is left of
// that is returned.
func (c *columns) read(on *kernel.On, matrix *tensor.Tensor, stack []int64, scratch []float32) (data []float32, steps []int, rest []float32, err error) {
	data, steps = tensor.Data[float32](matrix), kernel.Strides(stack)
	if !c.inRows(stack) {
		n := matrix.Len() / int(c.width) * int(c.count)
		rows := []int64{int64(matrix.Len()) / c.width, c.count}
		from := kernel.Operand{Offset: int(c.first), Strides: []int{int(c.width), 1}}
		err := kernel.Copy(on, rows, scratch[:n], kernel.Dense(rows), data, from)
		return scratch[:n], steps, scratch[n:], err
	}
	if c.apart {
		return data[matrix.Len()/int(c.width)*int(c.first):], steps, scratch, nil
	}
	data = data[min(int(c.first), len(data)):] // a matrix of no rows has no such column
	steps[1] = int(c.width)
	steps[0] = int(stack[1]) * steps[1]
	return data, steps, scratch, nil
}

// taken is the columns of what op.Projections makes, as a matrix of their own.
type taken struct{ first, count, width int64 }

func (o taken) Infer(in []*op.Info) ([]op.Info, error) {
	if !in[0].Ranked || len(in[0].Shape) == 0 {
		return nil, op.BadInput(0, "is not the products of matrices")
	}
	shape := slices.Clone(in[0].Shape)
	shape[len(shape)-1] = o.count
	return []op.Info{{Type: in[0].Type, Ranked: true, Shape: shape}}, nil
}

func (o taken) Run(env *op.Env, in, out []*tensor.Tensor) error {
	from := kernel.Dense(out[0].Shape)
	from.Offset = in[0].Len() / int(o.width) * int(o.first)
	return kernel.Copy(env.On, out[0].Shape, tensor.Data[float32](out[0]), kernel.Dense(out[0].Shape), tensor.Data[float32](in[0]), from)
}

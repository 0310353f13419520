package op

import (
	"fmt"
	"math"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// depthSpace moves squares of an image into channels, or back. Images have the shape
// [batch, channels, height, width].
type depthSpace struct {
	side    int64
	inner   bool // the channels of one square follow each other (mode CRD)
	toDepth bool
}

func makeSpaceToDepth(a *Attributes, opset int64) (Operator, error) {
	return makeDepthSpace(a, opset >= 28, true)
}

func makeDepthToSpace(a *Attributes, opset int64) (Operator, error) {
	return makeDepthSpace(a, opset >= 11, false)
}

func makeDepthSpace(a *Attributes, hasMode, toDepth bool) (Operator, error) {
	o := depthSpace{side: a.int("blocksize", 0), toDepth: toDepth}
	if o.side < 1 || o.side > math.MaxInt16 {
		return nil, fmt.Errorf(`attribute "blocksize" is %d, expected 1 to %d`, o.side, math.MaxInt16)
	}
	if hasMode {
		o.inner = a.oneOf("mode", "DCR", "CRD") == "CRD"
	}
	return o, nil
}

func (o depthSpace) Infer(in []*Info) ([]Info, error) {
	if err := needTensor(in, 0); err != nil {
		return nil, err
	}
	if err := needRank(in, 0, 4, "images of rank 4"); err != nil {
		return nil, err
	}
	if !in[0].Ranked {
		return []Info{ranked(in[0].Type, openShape(4)...)}, nil
	}
	shape, by := in[0].Shape, []int64{o.side * o.side, o.side, o.side}
	out := []int64{shape[0], -1, -1, -1}
	for i, n := range by {
		d := shape[i+1]
		grows := o.toDepth == (i == 0)
		switch {
		case d == -1:
		case grows && d > math.MaxInt64/n:
			return nil, BadInput(0, "dimension %d of shape %v overflows", i+1, shape)
		case grows:
			out[i+1] = d * n
		case d%n != 0:
			return nil, BadInput(0, "dimension %d of shape %v is no multiple of %d", i+1, shape, n)
		default:
			out[i+1] = d / n
		}
	}
	return []Info{ranked(in[0].Type, out...)}, nil
}

// Run sees both arrays as batch, channel, row, row in the square, column, column in
// the square.
func (o depthSpace) Run(env *Env, in, out []*tensor.Tensor) error {
	deep, flat := in[0], out[0]
	if o.toDepth {
		deep, flat = out[0], in[0]
	}
	channels, side := int(flat.Shape[1]), int(o.side)
	rows, columns := int(deep.Shape[2]), int(deep.Shape[3])
	image := rows * columns
	shape := []int64{flat.Shape[0], flat.Shape[1], deep.Shape[2], o.side, deep.Shape[3], o.side}
	inFlat := kernel.Dense(shape)
	channel, square := image, channels*image // from channel to channel, in a square
	if o.inner {
		channel, square = side*side*image, image
	}
	inDeep := kernel.Operand{Strides: []int{channels * side * side * image, channel, columns, side * square, 1, square}}
	if !o.toDepth {
		return copyTo(env, flat, inFlat, deep, inDeep, shape)
	}
	return copyTo(env, deep, turned(inDeep), flat, turned(inFlat), []int64{shape[0], shape[3], shape[5], shape[1], shape[2], shape[4]})
}

// turned puts the dimensions of depthSpace into the order of mode DCR, in which the
// longest runs come last.
func turned(o kernel.Operand) kernel.Operand {
	s := o.Strides
	return kernel.Operand{Offset: o.Offset, Strides: []int{s[0], s[3], s[5], s[1], s[2], s[4]}}
}

package pipeline

import (
	"fmt"

	"github.com/blindbox/blindbox/internal/strictyaml"
	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// floats is the form of a step's first value if that has floating numbers in so many dimensions,
// of which the first is for the elements of a request: any number of them, or one at a time.
func floats(f form, rank int, p strictyaml.Pos, path, meaning string) (onnx.ValueInfo, error) {
	v := f.values[0]
	if len(f.values) > 1 {
		return v, misfit(p, path, "the step top before it", "it before top")
	}
	if !floating(v.Type) || len(v.Shape) != rank || v.Shape[0] >= 0 && v.Shape[0] != 1 {
		return v, misfit(p, path, v.String(), fmt.Sprintf("floating numbers with %d dimensions: %s", rank, meaning))
	}
	v.Type = tensor.Float32 // what they become
	return v, nil
}

// matrix is a tensor cut into rows of its last dimension.
type matrix struct {
	data  []float32
	width int
}

func matrixOf(t *tensor.Tensor) matrix {
	width := 0
	if n := len(t.Shape); n > 0 {
		width = int(t.Shape[n-1])
	}
	return matrix{data: tensor.Data[float32](t), width: width}
}

func (m matrix) rows() int {
	if m.width == 0 {
		return 0
	}
	return len(m.data) / m.width
}

func (m matrix) row(i int) []float32 { return m.data[i*m.width : (i+1)*m.width] }

// result is a form of one value with the first dimension open.
func result(name string, t tensor.DataType, rest ...int64) onnx.ValueInfo {
	shape := append([]int64{-1}, rest...)
	return onnx.ValueInfo{Name: name, Type: t, Shape: shape, Symbols: make([]string, len(shape))}
}

package model

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"

	"github.com/blindbox/blindbox/internal/strictjson"
	"github.com/blindbox/blindbox/onnx"
)

// readTensor reads a tensor's data: a flat array in row-major order, or arrays
// inside arrays that follow the shape. n is the shape's element count.
func readTensor(data []byte, typ onnx.DataType, shape []int64, n int64) (*onnx.Tensor, error) {
	// An element takes at least two bytes with its comma or bracket, so what the
	// shape claims and the text cannot hold takes no memory.
	if n > int64(len(data))/2 {
		return nil, fmt.Errorf("shape %v needs %d elements, data has fewer", shape, n)
	}
	r, err := strictjson.NewReader(data, strictjson.Limits{Bytes: len(data) + 1})
	if err != nil {
		return nil, err
	}
	t := &onnx.Tensor{Type: typ, Shape: shape}
	e := &elementReader{r: r, t: t, n: n}
	e.reserve()
	if err := e.outer(); err != nil {
		return nil, err
	}
	if got := int64(t.Len()); got != n {
		return nil, fmt.Errorf("shape %v needs %d elements, data has %d", shape, n, got)
	}
	return t, nil
}

type elementReader struct {
	r *strictjson.Reader
	t *onnx.Tensor
	n int64
}

func (e *elementReader) reserve() {
	switch e.t.Type {
	case onnx.Float32:
		e.t.F32 = make([]float32, 0, e.n)
	case onnx.Int64:
		e.t.I64 = make([]int64, 0, e.n)
	case onnx.Bool:
		e.t.Bool = make([]bool, 0, e.n)
	case onnx.String:
		e.t.Str = make([]string, 0, e.n)
	}
}

// outer reads the data array; its first element tells flat from nested.
func (e *elementReader) outer() error {
	first, nested := true, false
	rows := int64(0)
	err := e.r.Array(func() error {
		if first {
			first, nested = false, e.r.Kind() == strictjson.Array
		}
		if !nested {
			return e.element()
		}
		if rows++; len(e.t.Shape) < 2 {
			return fmt.Errorf("arrays inside arrays for shape %v", e.t.Shape)
		}
		return e.nested(1)
	})
	if err == nil && nested && rows != e.t.Shape[0] {
		err = fmt.Errorf("data has %d rows, shape is %v", rows, e.t.Shape)
	}
	return err
}

// nested reads one array of dimension dim.
func (e *elementReader) nested(dim int) error {
	n := int64(0)
	err := e.r.Array(func() error {
		n++
		if dim == len(e.t.Shape)-1 {
			return e.element()
		}
		return e.nested(dim + 1)
	})
	if err == nil && n != e.t.Shape[dim] {
		err = fmt.Errorf("an array of dimension %d has %d elements, shape is %v", dim, n, e.t.Shape)
	}
	return err
}

// element reads one element of the tensor's type.
func (e *elementReader) element() (err error) {
	t := e.t
	if int64(t.Len()) == e.n {
		return fmt.Errorf("shape %v needs %d elements, data has more", t.Shape, e.n)
	}
	switch t.Type {
	case onnx.Float32:
		var v float64
		v, err = e.r.Float(32)
		t.F32 = append(t.F32, float32(v))
	case onnx.Int64:
		var v int64
		v, err = e.r.Int(64)
		t.I64 = append(t.I64, v)
	case onnx.Bool:
		var v bool
		v, err = e.r.Bool()
		t.Bool = append(t.Bool, v)
	default:
		var v string
		v, err = e.r.String()
		t.Str = append(t.Str, v)
	}
	return err
}

// encodeAnswer writes an $inference_response object within the limits.
func encodeAnswer(m *served, q *request, out map[string]*onnx.Tensor, elements, bytes int64) ([]byte, error) {
	names := q.outputs
	if len(names) == 0 {
		for _, v := range m.outputs {
			names = append(names, v.Name)
		}
	}
	b := append([]byte(`{"model_name":`), quoted(m.Name)...)
	b = append(b, `,"model_version":"`+version+`"`...)
	if q.id != "" {
		b = append(append(b, `,"id":`...), quoted(q.id)...)
	}
	b = append(b, `,"outputs":[`...)
	for i, name := range names {
		t := out[name]
		if elements -= int64(t.Len()); elements < 0 {
			return nil, fail(http.StatusBadRequest, "output %.80q: the answer has too many elements", name)
		}
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendTensor(b, name, t, bytes); err != nil {
			return nil, err
		}
	}
	return append(b, "]}"...), nil
}

// quoted is a string as JSON. Marshalling a string cannot fail.
func quoted(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		return []byte(`""`)
	}
	return b
}

func appendTensor(b []byte, name string, t *onnx.Tensor, limit int64) ([]byte, error) {
	b = append(append(b, `{"name":`...), quoted(name)...)
	b = append(b, `,"datatype":"`+datatypeOf(t.Type)+`","shape":[`...)
	for i, d := range t.Shape {
		b = strconv.AppendInt(comma(b, i), d, 10)
	}
	b = append(b, `],"data":[`...)
	b = slices.Grow(b, 2*t.Len())
	for i := range t.Len() {
		b = comma(b, i)
		switch t.Type {
		case onnx.Float32:
			v := float64(t.F32[i])
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, fail(http.StatusUnprocessableEntity, "output %.80q holds a value that is not a number or infinite, which JSON cannot carry", name)
			}
			b = strconv.AppendFloat(b, v, 'g', -1, 32)
		case onnx.Int64:
			b = strconv.AppendInt(b, t.I64[i], 10)
		case onnx.Bool:
			b = strconv.AppendBool(b, t.Bool[i])
		default:
			b = append(b, quoted(t.Str[i])...)
		}
		if int64(len(b)) > limit {
			return nil, fail(http.StatusBadRequest, "the answer is larger than %d bytes", limit)
		}
	}
	return append(b, "]}"...), nil
}

func comma(b []byte, i int) []byte {
	if i > 0 {
		return append(b, ',')
	}
	return b
}

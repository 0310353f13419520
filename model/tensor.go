package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/blindbox/blindbox/internal/sizes"
	"github.com/blindbox/blindbox/internal/strictjson"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// readTensor reads a tensor's data: a flat array in row-major order, or arrays
// inside arrays that follow the shape. n is the shape's element count.
func readTensor(data []byte, typ tensor.DataType, shape []int64, n int64, beside *work) (*tensor.Tensor, error) {
	// An element takes at least two bytes with its comma or bracket, so what the
	// shape claims and the text cannot hold takes no memory.
	if n > int64(len(data))/2 {
		return nil, fmt.Errorf("shape %v needs %d elements, data has fewer", shape, n)
	}
	r, err := strictjson.NewReader(data, strictjson.Limits{Bytes: len(data) + 1, Stop: beside.pause})
	if err != nil {
		return nil, err
	}
	e := &elementReader{shape: shape, n: n, r: r}
	if e.column = e.columnOf(typ); e.column == nil {
		return nil, fmt.Errorf("elements of type %s have no form in JSON: send them as bytes (the parameter binary_data_size)", datatypeOf(typ))
	}
	if err := e.outer(); err != nil {
		return nil, inData(err)
	}
	if got := e.column.len(); got != n {
		return nil, fmt.Errorf("shape %v needs %d elements, data has %d", shape, n, got)
	}
	return e.column.tensor(shape), nil
}

// inData says where the data of an input is wrong, for somebody who does not know what
// reads it.
func inData(err error) error {
	var at *strictjson.Error
	if !errors.As(err, &at) {
		return err
	}
	return fmt.Errorf("data, byte %d: %s", at.Offset, at.Reason)
}

type elementReader struct {
	r      *strictjson.Reader
	shape  []int64
	n      int64
	column column
}

// column gathers the elements of a tensor.
type column interface {
	read() error
	len() int64
	tensor(shape []int64) *tensor.Tensor
}

type columnOf[T tensor.Elem] struct {
	data []T
	next func() (T, error)
}

func (c *columnOf[T]) read() error {
	v, err := c.next()
	c.data = append(c.data, v)
	return err
}

func (c *columnOf[T]) len() int64                          { return int64(len(c.data)) }
func (c *columnOf[T]) tensor(shape []int64) *tensor.Tensor { return tensor.Of(c.data, shape...) }

// columnOf makes the column of an element type; nil for one that JSON has no form for.
func (e *elementReader) columnOf(t tensor.DataType) column {
	switch t {
	case tensor.Bool:
		return newColumn(e.n, e.r.Bool)
	case tensor.String:
		return newColumn(e.n, e.r.String)
	case tensor.Float32:
		return newColumn(e.n, func() (float32, error) { v, err := e.r.Float(32); return float32(v), err })
	case tensor.Float64:
		return newColumn(e.n, func() (float64, error) { return e.r.Float(64) })
	case tensor.Int8:
		return newColumn(e.n, signed[int8](e.r, 8))
	case tensor.Int16:
		return newColumn(e.n, signed[int16](e.r, 16))
	case tensor.Int32:
		return newColumn(e.n, signed[int32](e.r, 32))
	case tensor.Int64:
		return newColumn(e.n, signed[int64](e.r, 64))
	case tensor.Uint8:
		return newColumn(e.n, unsigned[uint8](e.r, 8))
	case tensor.Uint16:
		return newColumn(e.n, unsigned[uint16](e.r, 16))
	case tensor.Uint32:
		return newColumn(e.n, unsigned[uint32](e.r, 32))
	case tensor.Uint64:
		return newColumn(e.n, unsigned[uint64](e.r, 64))
	}
	return nil
}

func newColumn[T tensor.Elem](n int64, next func() (T, error)) column {
	return &columnOf[T]{make([]T, 0, n), next}
}

func signed[T int8 | int16 | int32 | int64](r *strictjson.Reader, bits int) func() (T, error) {
	return func() (T, error) { v, err := r.Int(bits); return T(v), err }
}

func unsigned[T uint8 | uint16 | uint32 | uint64](r *strictjson.Reader, bits int) func() (T, error) {
	return func() (T, error) { v, err := r.Uint(bits); return T(v), err }
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
		if rows++; len(e.shape) < 2 {
			return fmt.Errorf("arrays inside arrays for shape %v", e.shape)
		}
		return e.nested(1)
	})
	if err == nil && nested && rows != e.shape[0] {
		err = fmt.Errorf("data has %d rows, shape is %v", rows, e.shape)
	}
	return err
}

// nested reads one array of dimension dim.
func (e *elementReader) nested(dim int) error {
	n := int64(0)
	err := e.r.Array(func() error {
		n++
		if dim == len(e.shape)-1 {
			return e.element()
		}
		return e.nested(dim + 1)
	})
	if err == nil && n != e.shape[dim] {
		err = fmt.Errorf("an array of dimension %d has %d elements, shape is %v", dim, n, e.shape)
	}
	return err
}

// element reads one element of the tensor's type.
func (e *elementReader) element() error {
	if e.column.len() == e.n {
		return fmt.Errorf("shape %v needs %d elements, data has more", e.shape, e.n)
	}
	return e.column.read()
}

// reply is the body of an answer. If some of it is tensors as bytes, json is how
// many of its first bytes are not.
type reply struct {
	status int // 0: not said, which is 200
	body   []byte
	json   int
	// contentType is that of the body, "" for JSON.
	contentType string
	lent        bool // body is spare memory
}

// encode writes an $inference_response object within the limits, and behind it
// the outputs that the caller wants as bytes.
func (s *Server) encode(m *found, q *request, out map[string]*tensor.Tensor, beside *work) (reply, error) {
	beside.answers()
	elements := s.elements
	outputs := q.outputs
	if len(outputs) == 0 {
		for _, v := range m.outputs {
			outputs = append(outputs, wanted{v.Name, q.binary})
		}
	}
	b := append([]byte(`{"model_name":`), quoted(m.name)...)
	b = append(b, `,"model_version":"`+m.version+`"`...)
	if q.id != "" {
		b = append(append(b, `,"id":`...), quoted(q.id)...)
	}
	b = append(b, `,"outputs":[`...)
	var behind []*tensor.Tensor
	for i, o := range outputs {
		t := out[o.name]
		if elements -= int64(t.Len()); elements < 0 {
			return reply{}, fail(http.StatusBadRequest, "output %.80q: the answer has too many elements", o.name)
		}
		b = appendHead(comma(b, i), o.name, t)
		if o.binary {
			b = fmt.Appendf(b, `,"parameters":{"binary_data_size":%d}}`, binarySize(t))
			behind = append(behind, t)
			continue
		}
		var err error
		if b, err = appendTensor(b, o.name, t, s.config.answer, beside); err != nil {
			return reply{}, err
		}
	}
	return s.withTensors(append(b, "]}"...), behind, beside)
}

// withTensors puts tensors behind the JSON of an answer.
func (s *Server) withTensors(json []byte, behind []*tensor.Tensor, beside *work) (reply, error) {
	if len(behind) == 0 {
		return reply{body: json}, nil
	}
	size := int64(len(json))
	for _, t := range behind {
		if size += binarySize(t); size > s.config.answer {
			return reply{}, tooLong(s.config.answer)
		}
	}
	b, lent := s.spare.take(size)
	b = append(b, json...)
	for _, t := range behind {
		var err error
		if b, err = appendBinary(b, t, beside); err != nil {
			return reply{}, orFail(err, http.StatusUnprocessableEntity, "an output: %v", err)
		}
	}
	return reply{body: b, json: len(json), lent: lent}, nil
}

func tooLong(limit int64) error {
	return fail(http.StatusBadRequest, "the answer is larger than %s", sizes.Exact(limit))
}

// appendHead begins an output: its name, type and shape.
func appendHead(b []byte, name string, t *tensor.Tensor) []byte {
	b = append(append(b, `{"name":`...), quoted(name)...)
	b = append(b, `,"datatype":"`+datatypeOf(t.Type)+`","shape":[`...)
	for i, d := range t.Shape {
		b = strconv.AppendInt(comma(b, i), d, 10)
	}
	return append(b, ']')
}

// quoted is a string as JSON. Marshalling a string cannot fail.
func quoted(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		return []byte(`""`)
	}
	return b
}

// appendTensor ends an output with its elements as JSON.
func appendTensor(b []byte, name string, t *tensor.Tensor, limit int64, beside *work) ([]byte, error) {
	b = append(b, `,"data":[`...)
	b = slices.Grow(b, 2*t.Len())
	put := putter(t)
	if put == nil {
		return nil, fail(http.StatusUnprocessableEntity, "output %.80q is %s, which JSON cannot carry: ask for it as bytes (the parameter binary_data)", name, t.Type)
	}
	for i := range t.Len() {
		if err := beside.element(i); err != nil {
			return nil, err
		}
		var ok bool
		if b, ok = put(comma(b, i), i); !ok {
			return nil, fail(http.StatusUnprocessableEntity, "output %.80q holds a value that JSON cannot carry (not a number, infinite, or not UTF-8): ask for it as bytes (the parameter binary_data)", name)
		}
		if int64(len(b)) > limit {
			return nil, tooLong(limit)
		}
	}
	return append(b, "]}"...), nil
}

// putter writes element i of a tensor; it says no to what JSON cannot carry.
func putter(t *tensor.Tensor) func(b []byte, i int) ([]byte, bool) {
	switch t.Type {
	case tensor.Bool:
		d := tensor.Data[bool](t)
		return func(b []byte, i int) ([]byte, bool) { return strconv.AppendBool(b, d[i]), true }
	case tensor.String:
		d := tensor.Data[string](t)
		return func(b []byte, i int) ([]byte, bool) { return append(b, quoted(d[i])...), utf8.ValidString(d[i]) }
	case tensor.Float32:
		return floats(tensor.Data[float32](t), 32)
	case tensor.Float64:
		return floats(tensor.Data[float64](t), 64)
	case tensor.Int8:
		return integers(tensor.Data[int8](t))
	case tensor.Int16:
		return integers(tensor.Data[int16](t))
	case tensor.Int32:
		return integers(tensor.Data[int32](t))
	case tensor.Int64:
		return integers(tensor.Data[int64](t))
	case tensor.Uint8:
		return integers(tensor.Data[uint8](t))
	case tensor.Uint16:
		return integers(tensor.Data[uint16](t))
	case tensor.Uint32:
		return integers(tensor.Data[uint32](t))
	case tensor.Uint64:
		d := tensor.Data[uint64](t)
		return func(b []byte, i int) ([]byte, bool) { return strconv.AppendUint(b, d[i], 10), true }
	}
	return nil
}

func floats[T float32 | float64](d []T, bits int) func(b []byte, i int) ([]byte, bool) {
	return func(b []byte, i int) ([]byte, bool) {
		v := float64(d[i])
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return b, false
		}
		return strconv.AppendFloat(b, v, 'g', -1, bits), true
	}
}

func integers[T int8 | int16 | int32 | int64 | uint8 | uint16 | uint32](d []T) func(b []byte, i int) ([]byte, bool) {
	return func(b []byte, i int) ([]byte, bool) { return strconv.AppendInt(b, int64(d[i]), 10), true }
}

func comma(b []byte, i int) []byte {
	if i > 0 {
		return append(b, ',')
	}
	return b
}

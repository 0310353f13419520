package pipeline

import (
	"fmt"
	"maps"
	"slices"

	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// collector puts the results of several runs of a model together, in the order of the
// request.
type collector struct {
	values  []onnx.ValueInfo
	items   int
	columns []*tensor.Tensor
	text    int // bytes of all strings so far
}

func newCollector(values []onnx.ValueInfo, items int) *collector {
	return &collector{values: values, items: items, columns: make([]*tensor.Tensor, len(values))}
}

// maxElements bounds one output of a request: 64 MiB of float32. maxText bounds the bytes
// of all strings of a request.
const (
	maxElements = 16 << 20
	maxText     = 64 << 20
)

var errMuchText = fmt.Errorf("pipeline: the models made more than %d bytes of text", maxText)

// add puts the results of some elements where they belong.
func (c *collector) add(results []*tensor.Tensor, items []int) error {
	for i, t := range results {
		if err := c.column(i, t, len(items)); err != nil {
			return err
		}
		if c.text += textLength(t); c.text > maxText {
			return errMuchText
		}
		for from, to := range items {
			move(c.columns[i], to, t, from)
		}
	}
	return nil
}

// textLength is how many bytes a tensor's strings have.
func textLength(t *tensor.Tensor) (n int) {
	if t.Type != tensor.String {
		return 0
	}
	for _, s := range tensor.Data[string](t) {
		n += len(s)
	}
	return n
}

// column makes room for a result of the whole request when the first part of it is
// there, and checks that all parts have one shape.
func (c *collector) column(i int, t *tensor.Tensor, items int) error {
	v := c.values[i]
	if len(t.Shape) == 0 || t.Shape[0] != int64(items) || t.Len() == 0 {
		return fmt.Errorf("pipeline: %s is %v%v, expected %v and %d elements first", v.Name, t.Type, t.Shape, v.Type, items)
	}
	if have := c.columns[i]; have != nil {
		if !slices.Equal(have.Shape[1:], t.Shape[1:]) {
			return fmt.Errorf("pipeline: %s has the shape %v for some elements and %v for others", v.Name, have.Shape[1:], t.Shape[1:])
		}
		return nil
	}
	each := int64(t.Len() / items)
	if each > maxElements/int64(c.items) {
		return fmt.Errorf("pipeline: %s would have %d times %d elements, over the limit of %d", v.Name, c.items, each, maxElements)
	}
	var err error
	c.columns[i], err = tensor.New(t.Type, append([]int64{int64(c.items)}, t.Shape[1:]...))
	return err
}

// move copies an element of one tensor to a place in another.
func move(to *tensor.Tensor, at int, from *tensor.Tensor, i int) {
	switch to.Type {
	case tensor.Float32:
		moveOf[float32](to, at, from, i)
	case tensor.Int64:
		moveOf[int64](to, at, from, i)
	case tensor.String:
		moveOf[string](to, at, from, i)
	}
}

func moveOf[T tensor.Elem](to *tensor.Tensor, at int, from *tensor.Tensor, i int) {
	n := from.Len() / int(from.Shape[0])
	copy(tensor.Data[T](to)[at*n:(at+1)*n], tensor.Data[T](from)[i*n:(i+1)*n])
}

// done returns all results, with the source's own.
func (c *collector) done(own map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
	out := maps.Clone(own)
	if out == nil {
		out = map[string]*tensor.Tensor{}
	}
	for i, v := range c.values {
		if c.columns[i] == nil {
			return nil, fmt.Errorf("pipeline: there is no %s", v.Name)
		}
		out[v.Name] = c.columns[i]
	}
	return out, nil
}

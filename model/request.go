package model

import (
	"errors"
	"fmt"
	"slices"

	"github.com/blindbox/blindbox/internal/strictjson"
	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// request is a checked inference request.
type request struct {
	id      string
	inputs  map[string]*tensor.Tensor
	outputs []string // empty: all
}

// maxRank bounds the dimensions of a tensor before they are multiplied.
const maxRank = 16

// maxID bounds the id that a caller wants back.
const maxID = 256

// requestReader reads an $inference_request object against one model.
type requestReader struct {
	r        *strictjson.Reader
	m        *served
	elements int64 // still allowed
	q        request
	required bool // inputs were there
}

func parseRequest(data []byte, m *served, elements int64) (*request, error) {
	r, err := strictjson.NewReader(data, strictjson.Limits{Bytes: len(data) + 1})
	if err != nil {
		return nil, err
	}
	p := &requestReader{r: r, m: m, elements: elements}
	p.q.inputs = make(map[string]*tensor.Tensor, len(m.inputs))
	if err := r.Object(p.member); err != nil {
		return nil, err
	}
	if err := r.End(); err != nil {
		return nil, err
	}
	if !p.required {
		return nil, errors.New("request has no \"inputs\"")
	}
	return &p.q, nil
}

func (p *requestReader) member(name string) (err error) {
	switch name {
	case "id":
		if p.q.id, err = p.r.String(); err == nil && len(p.q.id) > maxID {
			err = fmt.Errorf("id of %d bytes, the limit is %d", len(p.q.id), maxID)
		}
	case "parameters":
		err = parameters(p.r)
	case "inputs":
		p.required = true
		err = p.r.Array(p.input)
	case "outputs":
		err = p.r.Array(p.output)
	default:
		err = unknown("request", name)
	}
	return err
}

func unknown(of, name string) error { return fmt.Errorf("%s: unknown member %.60q", of, name) }

// parameters reads a $parameters object. What would change the answer's meaning
// and is not built is refused; the rest is hints, which a server may ignore
// (binary_data_output among them: the answer is JSON, and says so).
func parameters(r *strictjson.Reader) error {
	refused := []string{"classification", "binary_data_size", "shared_memory_region", "shared_memory_offset",
		"shared_memory_byte_size", "sequence_id", "sequence_start", "sequence_end"}
	return r.Object(func(name string) error {
		if slices.Contains(refused, name) {
			return fmt.Errorf("parameter %q is not supported", name)
		}
		if k := r.Kind(); k == strictjson.Array || k == strictjson.Object || k == strictjson.Null {
			return fmt.Errorf("parameter %.60q is %s, must be a string, number or bool", name, k)
		}
		_, err := r.Skip()
		return err
	})
}

// input reads one $request_input. The data may come before its type and shape,
// so its text is kept and read last.
func (p *requestReader) input() error {
	var name, datatype string
	var shape []int64
	var data []byte
	var has struct{ name, shape, datatype bool }
	err := p.r.Object(func(member string) (err error) {
		switch member {
		case "name":
			has.name = true
			name, err = p.r.String()
		case "shape":
			has.shape = true
			shape, err = readShape(p.r)
		case "datatype":
			has.datatype = true
			datatype, err = p.r.String()
		case "parameters":
			err = parameters(p.r)
		case "data":
			data, err = p.r.Skip()
		default:
			err = unknown("input", member)
		}
		return err
	})
	if err != nil {
		return err
	}
	if !has.name || !has.shape || !has.datatype || data == nil {
		return errors.New("an input must have name, shape, datatype and data")
	}
	t, err := p.tensor(name, datatype, shape, data)
	if err != nil {
		return fmt.Errorf("input %.80q: %w", name, err)
	}
	p.q.inputs[name] = t
	return nil
}

// tensor checks an input against the model before its elements are read.
func (p *requestReader) tensor(name, datatype string, shape []int64, data []byte) (*tensor.Tensor, error) {
	if _, ok := p.q.inputs[name]; ok {
		return nil, errors.New("is there twice")
	}
	i := slices.IndexFunc(p.m.inputs, func(v onnx.ValueInfo) bool { return v.Name == name })
	if i < 0 {
		return nil, errors.New("the model has no such input")
	}
	typ, err := datatypeNamed(datatype)
	if err != nil {
		return nil, err
	}
	if want := p.m.inputs[i].Type; typ != want {
		return nil, fmt.Errorf("datatype %s, expected %s", datatype, datatypeOf(want))
	}
	n := int64(1)
	for _, d := range shape {
		if d != 0 && n > p.elements/d {
			return nil, fmt.Errorf("more elements than the %d that are left of the limit", p.elements)
		}
		n *= d
	}
	if n > p.elements {
		return nil, fmt.Errorf("more elements than the %d that are left of the limit", p.elements)
	}
	p.elements -= n
	return readTensor(data, typ, shape, n)
}

func readShape(r *strictjson.Reader) ([]int64, error) {
	shape := []int64{}
	err := r.Array(func() error {
		if len(shape) == maxRank {
			return fmt.Errorf("shape has more than %d dimensions", maxRank)
		}
		d, err := r.Int(64)
		if err == nil && d < 0 {
			err = fmt.Errorf("shape holds %d", d)
		}
		shape = append(shape, d)
		return err
	})
	return shape, err
}

// output reads one $request_output.
func (p *requestReader) output() error {
	var name string
	err := p.r.Object(func(member string) (err error) {
		switch member {
		case "name":
			name, err = p.r.String()
		case "parameters":
			err = parameters(p.r)
		default:
			err = unknown("output", member)
		}
		return err
	})
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(p.m.outputs, func(v onnx.ValueInfo) bool { return v.Name == name }) {
		return fmt.Errorf("output %.80q: the model has no such output", name)
	}
	if slices.Contains(p.q.outputs, name) {
		return fmt.Errorf("output %.80q is there twice", name)
	}
	p.q.outputs = append(p.q.outputs, name)
	return nil
}

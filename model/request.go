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
	outputs []wanted // empty: all
	binary  bool     // outputs that do not say are sent as bytes
}

// wanted is an output that the caller asks for.
type wanted struct {
	name   string
	binary bool
}

// maxRank bounds the dimensions of a tensor before they are multiplied.
const maxRank = 16

// maxMembers bounds the members of a request's objects that are inside each other: a
// reader keeps their names, which take several times the memory that the text does.
const maxMembers = 1 << 10

// maxID bounds the id that a caller wants back.
const maxID = 256

// requestReader reads an $inference_request object against one model.
type requestReader struct {
	r        *strictjson.Reader
	m        *found
	tensors  []byte // behind the JSON, and not read yet
	elements int64  // still allowed
	beside   *work
	q        request
	required bool // inputs were there
	asked    []output
}

// output is a wanted output as it was written: binary is nil if it does not say.
type output struct {
	name   string
	binary *bool
}

// parseRequest reads a request of JSON and the tensors behind it.
func parseRequest(head, tensors []byte, m *found, elements int64, beside *work) (*request, error) {
	if err := beside.on(len(head)); err != nil {
		return nil, err
	}
	r, err := strictjson.NewReader(head, strictjson.Limits{Bytes: len(head) + 1, Members: maxMembers, Stop: beside.pause})
	if err != nil {
		return nil, err
	}
	p := &requestReader{r: r, m: m, tensors: tensors, elements: elements, beside: beside}
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
	if len(p.tensors) > 0 {
		return nil, fmt.Errorf("%d bytes behind the JSON belong to no input", len(p.tensors))
	}
	for _, o := range p.asked { // the request's own parameters may come after its outputs
		w := wanted{o.name, p.q.binary}
		if o.binary != nil {
			w.binary = *o.binary
		}
		p.q.outputs = append(p.q.outputs, w)
	}
	return &p.q, nil
}

func (p *requestReader) member(name string) (err error) {
	switch name {
	case "id":
		if p.q.id, err = p.r.String(); err == nil && len(p.q.id) > maxID {
			err = fmt.Errorf("id of %d bytes, the limit is %d", len(p.q.id), maxID)
		}
	case "model_name": // kserve's client says it again
		var again string
		if again, err = p.r.String(); err == nil && again != p.m.asked && again != p.m.name {
			err = fmt.Errorf("model_name is %.80q, and the path is for %s", again, p.m.name)
		}
	case "parameters":
		var given settings
		if given, err = parameters(p.r, "binary_data_output"); err == nil && given.binaryOutput != nil {
			p.q.binary = *given.binaryOutput
		}
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

// settings are the parameters that this server knows; nil is one that is not there.
type settings struct {
	binarySize   *int64 // of an input: its bytes behind the JSON
	binary       *bool  // of an output: sent as bytes
	binaryOutput *bool  // of a request: outputs that do not say are sent as bytes
}

// parameters reads a $parameters object, in which known has its meaning. What would
// change the answer's meaning and is not built is refused; the rest is hints, which a
// server may ignore.
func parameters(r *strictjson.Reader, known string) (settings, error) {
	refused := []string{"classification", "binary_data_size", "shared_memory_region", "shared_memory_offset",
		"shared_memory_byte_size", "sequence_id", "sequence_start", "sequence_end"}
	var s settings
	return s, r.Object(func(name string) error {
		switch {
		case name == known:
			return s.read(r, name)
		case slices.Contains(refused, name):
			return fmt.Errorf("parameter %q is not supported", name)
		}
		if k := r.Kind(); k == strictjson.Array || k == strictjson.Object || k == strictjson.Null {
			return fmt.Errorf("parameter %.60q is %s, must be a string, number or bool", name, k)
		}
		_, err := r.Skip()
		return err
	})
}

func (s *settings) read(r *strictjson.Reader, name string) error {
	if name == "binary_data_size" {
		n, err := r.Int(64)
		if err == nil && n < 0 {
			err = fmt.Errorf("parameter %q is %d", name, n)
		}
		s.binarySize = &n
		return err
	}
	v, err := r.Bool()
	if s.binary = &v; name == "binary_data_output" {
		s.binary, s.binaryOutput = nil, &v
	}
	return err
}

// input reads one $request_input. The data may come before its type and shape,
// so its text is kept and read last.
func (p *requestReader) input() error {
	var name, datatype string
	var shape []int64
	var data []byte
	var given settings
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
			given, err = parameters(p.r, "binary_data_size")
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
	if !has.name || !has.shape || !has.datatype || (data == nil) == (given.binarySize == nil) {
		return errors.New("an input must have name, shape, datatype, and either data or the parameter binary_data_size")
	}
	t, err := p.tensor(name, datatype, shape, data, given.binarySize)
	if err != nil {
		return fmt.Errorf("input %.80q: %w", name, err)
	}
	p.q.inputs[name] = t
	return nil
}

// tensor checks an input against the model before its elements are read.
// They are JSON, or size bytes behind it.
func (p *requestReader) tensor(name, datatype string, shape []int64, data []byte, size *int64) (*tensor.Tensor, error) {
	if _, ok := p.q.inputs[name]; ok {
		return nil, errors.New("is there twice")
	}
	i := slices.IndexFunc(p.m.inputs, func(v onnx.ValueInfo) bool { return v.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("the model has no such input, expected one of %.400q", names(p.m.inputs))
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
	if size == nil {
		return readTensor(data, typ, shape, n, p.beside)
	}
	if data, err = p.takeBinary(*size); err != nil {
		return nil, err
	}
	return binaryTensor(data, typ, shape, n, p.beside)
}

// names are those of inputs or outputs, the first eight.
func names(of []onnx.ValueInfo) []string {
	list := []string{}
	for _, v := range of[:min(len(of), 8)] {
		list = append(list, v.Name)
	}
	return list
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
	var given settings
	err := p.r.Object(func(member string) (err error) {
		switch member {
		case "name":
			name, err = p.r.String()
		case "parameters":
			given, err = parameters(p.r, "binary_data")
		default:
			err = unknown("output", member)
		}
		return err
	})
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(p.m.outputs, func(v onnx.ValueInfo) bool { return v.Name == name }) {
		return fmt.Errorf("output %.80q: the model has no such output, expected some of %.400q", name, names(p.m.outputs))
	}
	if slices.ContainsFunc(p.asked, func(o output) bool { return o.name == name }) {
		return fmt.Errorf("output %.80q is there twice", name)
	}
	p.asked = append(p.asked, output{name, given.binary})
	return nil
}

package models

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"

	"github.com/blindbox/blindbox/internal/sizes"
)

// Value describes an input or output of a model; -1 is a dimension that it leaves open.
// Datatype is one of the Open Inference Protocol: FP32, INT64, BYTES.
type Value struct {
	Name     string  `json:"name"`
	Datatype string  `json:"datatype"`
	Shape    []int64 `json:"shape"`
}

// Pipeline is the platform of a model with a pipeline, which takes what people have.
const Pipeline = "blindbox_pipeline"

// Description is what a model takes and gives.
type Description struct {
	Name       string            `json:"name"`
	Versions   []string          `json:"versions"`
	Platform   string            `json:"platform"`
	Inputs     []Value           `json:"inputs"`
	Outputs    []Value           `json:"outputs"`
	Parameters map[string]string `json:"parameters"`
}

// Asks is the input of a model with a pipeline, "text", "image" or "audio", and whether
// one request may have several. It is "" for a model that is asked with tensors.
func (d *Description) Asks() (what string, several bool) {
	if d.Platform != Pipeline || len(d.Inputs) != 1 || d.Inputs[0].Datatype != "BYTES" || len(d.Inputs[0].Shape) != 1 {
		return "", false
	}
	return d.Inputs[0].Name, d.Inputs[0].Shape[0] < 0
}

// Tensor is a value with its elements as JSON, flat in row-major order or as arrays
// inside arrays. Bytes are elements of BYTES in their place, sent as they are: text,
// or what is no text, such as a picture.
type Tensor struct {
	Value
	Data  json.RawMessage `json:"data"`
	Bytes [][]byte        `json:"-"`
}

// Describe says what a model takes and gives. version is "" for the newest.
func (c *Client) Describe(ctx context.Context, name, version string) (d Description, err error) {
	return d, c.call(ctx, http.MethodGet, "/v2/models/"+at(name, version), nil, &d)
}

// Ask asks a model with a pipeline about texts, pictures (PNG or JPEG) or recordings
// (WAV), each as its bytes: what is what it takes, as [Description.Asks] says. If
// that may be several, each output has them in its first dimension.
func (c *Client) Ask(ctx context.Context, name, version, what string, items [][]byte, outputs ...string) ([]Tensor, error) {
	in := Tensor{Value: Value{what, "BYTES", []int64{int64(len(items))}}, Bytes: items}
	return c.Infer(ctx, name, version, []Tensor{in}, outputs...)
}

// Infer runs a model. It gives all outputs if none is named.
func (c *Client) Infer(ctx context.Context, name, version string, inputs []Tensor, outputs ...string) ([]Tensor, error) {
	body, head, err := encode(inputs, outputs)
	if err != nil {
		return nil, err
	}
	r, err := c.request(ctx, http.MethodPost, "/v2/models/"+at(name, version)+"/infer", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if head < len(body) {
		r.Header.Set("Content-Type", "application/octet-stream")
		r.Header.Set("Inference-Header-Content-Length", strconv.Itoa(head))
	}
	var a struct{ Outputs []Tensor }
	_, err = c.do(r, &a)
	return a.Outputs, err
}

// encode writes a request: its JSON, of so many bytes, and tensors behind it (Triton's
// binary tensor extension).
func encode(inputs []Tensor, outputs []string) (body []byte, head int, err error) {
	type size struct {
		Bytes int `json:"binary_data_size"`
	}
	type input struct {
		Value
		Parameters *size           `json:"parameters,omitempty"`
		Data       json.RawMessage `json:"data,omitempty"`
	}
	type wanted struct {
		Name string `json:"name"`
	}
	q := struct {
		Inputs  []input  `json:"inputs"`
		Outputs []wanted `json:"outputs,omitempty"`
	}{Inputs: []input{}}
	var tensors []byte
	for _, t := range inputs {
		in := input{Value: t.Value, Data: t.Data}
		if t.Bytes != nil {
			before := len(tensors)
			if tensors, err = appendBytes(tensors, t.Bytes); err != nil {
				return nil, 0, fmt.Errorf("models: input %q: %w", t.Name, err)
			}
			in.Parameters = &size{len(tensors) - before}
		}
		q.Inputs = append(q.Inputs, in)
	}
	for _, o := range outputs {
		q.Outputs = append(q.Outputs, wanted{o})
	}
	body, err = json.Marshal(q)
	return append(body, tensors...), len(body), err
}

// appendBytes writes elements, each behind its length in four bytes.
func appendBytes(to []byte, elements [][]byte) ([]byte, error) {
	total := 0
	for _, e := range elements {
		if uint64(len(e)) > math.MaxUint32 {
			return nil, fmt.Errorf("an element of %s, the protocol has room for %s", sizes.Exact(int64(len(e))), sizes.Exact(math.MaxUint32))
		}
		total += 4 + len(e)
	}
	to = slices.Grow(to, total)
	for _, e := range elements {
		to = append(binary.LittleEndian.AppendUint32(to, uint32(len(e))), e...)
	}
	return to, nil
}

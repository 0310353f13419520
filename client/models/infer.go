package models

import (
	"context"
	"encoding/json"
	"net/http"
)

// Value describes an input or output of a model; -1 is a dimension that it leaves open.
// Datatype is one of the Open Inference Protocol: FP32, INT64, BYTES.
type Value struct {
	Name     string  `json:"name"`
	Datatype string  `json:"datatype"`
	Shape    []int64 `json:"shape"`
}

// Description is what a model takes and gives.
type Description struct {
	Name       string            `json:"name"`
	Versions   []string          `json:"versions"`
	Inputs     []Value           `json:"inputs"`
	Outputs    []Value           `json:"outputs"`
	Parameters map[string]string `json:"parameters"`
}

// Tensor is a value with its elements as JSON, flat in row-major order or as arrays
// inside arrays.
type Tensor struct {
	Value
	Data json.RawMessage `json:"data"`
}

// Describe says what a model takes and gives. version is "" for the newest.
func (c *Client) Describe(ctx context.Context, name, version string) (d Description, err error) {
	return d, c.call(ctx, http.MethodGet, "/v2/models/"+at(name, version), nil, &d)
}

// Infer runs a model. It gives all outputs if none is named.
func (c *Client) Infer(ctx context.Context, name, version string, inputs []Tensor, outputs ...string) ([]Tensor, error) {
	type wanted struct {
		Name string `json:"name"`
	}
	q := struct {
		Inputs  []Tensor `json:"inputs"`
		Outputs []wanted `json:"outputs,omitempty"`
	}{Inputs: append([]Tensor{}, inputs...)}
	for _, o := range outputs {
		q.Outputs = append(q.Outputs, wanted{o})
	}
	body, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	var a struct{ Outputs []Tensor }
	return a.Outputs, c.call(ctx, http.MethodPost, "/v2/models/"+at(name, version)+"/infer", body, &a)
}

package inferencegrpc

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	pb "github.com/blindbox/blindbox/internal/inferencegrpc/inferencepb"
)

// The JSON of a request and of an answer: $inference_request and $inference_response.
type (
	parameters map[string]any

	request struct {
		ID         string       `json:"id,omitempty"`
		Parameters parameters   `json:"parameters,omitempty"`
		Inputs     []tensorHead `json:"inputs"`
		Outputs    []outputHead `json:"outputs,omitempty"`
	}
	outputHead struct {
		Name       string     `json:"name"`
		Parameters parameters `json:"parameters,omitempty"`
	}
	tensorHead struct {
		Name       string     `json:"name"`
		Datatype   string     `json:"datatype"`
		Shape      []int64    `json:"shape"`
		Parameters parameters `json:"parameters,omitempty"`
	}
	response struct {
		Model   string `json:"model_name"`
		Version string `json:"model_version"`
		ID      string `json:"id"`
		Outputs []struct {
			Name       string  `json:"name"`
			Datatype   string  `json:"datatype"`
			Shape      []int64 `json:"shape"`
			Parameters struct {
				Size *int64 `json:"binary_data_size"`
			} `json:"parameters"`
		} `json:"outputs"`
	}
)

// encode makes the JSON of a request and the bytes of its tensors.
func encode(q *pb.ModelInferRequest) (head []byte, tensors [][]byte, err error) {
	raw := q.RawInputContents
	if len(raw) > 0 && len(raw) != len(q.Inputs) {
		return nil, nil, fmt.Errorf("%d raw_input_contents for %d inputs", len(raw), len(q.Inputs))
	}
	r := request{ID: q.Id, Parameters: plain(q.Parameters), Inputs: []tensorHead{}}
	r.Parameters["binary_data_output"] = true
	for i, in := range q.Inputs {
		var data []byte
		switch {
		case len(raw) > 0 && in.Contents != nil:
			return nil, nil, fmt.Errorf("input %.80q has contents beside raw_input_contents", in.Name)
		case len(raw) > 0:
			data = raw[i]
		default:
			if data, err = contents(in.Datatype, in.Contents); err != nil {
				return nil, nil, fmt.Errorf("input %.80q: %w", in.Name, err)
			}
		}
		h := tensorHead{Name: in.Name, Datatype: in.Datatype, Shape: append([]int64{}, in.Shape...), Parameters: plain(in.Parameters)}
		h.Parameters["binary_data_size"] = len(data)
		r.Inputs, tensors = append(r.Inputs, h), append(tensors, data)
	}
	for _, out := range q.Outputs {
		r.Outputs = append(r.Outputs, outputHead{out.Name, plain(out.Parameters)})
	}
	head, err = json.Marshal(r)
	return head, tensors, err
}

// plain writes parameters as JSON has them. What says how tensors travel is not the
// caller's here.
func plain(in map[string]*pb.InferParameter) parameters {
	out := parameters{}
	for name, p := range in {
		switch v := p.GetParameterChoice().(type) {
		case *pb.InferParameter_BoolParam:
			out[name] = v.BoolParam
		case *pb.InferParameter_Int64Param:
			out[name] = v.Int64Param
		case *pb.InferParameter_StringParam:
			out[name] = v.StringParam
		case *pb.InferParameter_DoubleParam:
			out[name] = v.DoubleParam
		case *pb.InferParameter_Uint64Param:
			out[name] = v.Uint64Param
		}
	}
	delete(out, "binary_data")
	return out
}

// contents writes the elements of a tensor as bytes.
func contents(datatype string, c *pb.InferTensorContents) (b []byte, err error) {
	if c == nil {
		c = &pb.InferTensorContents{}
	}
	order := binary.LittleEndian
	switch datatype {
	case "BOOL":
		for _, v := range c.BoolContents {
			b = append(b, map[bool]byte{true: 1}[v])
		}
	case "INT8":
		return narrow(c.IntContents, math.MinInt8, math.MaxInt8, func(b []byte, v int32) []byte { return append(b, byte(v)) })
	case "INT16":
		return narrow(c.IntContents, math.MinInt16, math.MaxInt16, func(b []byte, v int32) []byte { return order.AppendUint16(b, uint16(v)) })
	case "INT32":
		return narrow(c.IntContents, math.MinInt32, math.MaxInt32, func(b []byte, v int32) []byte { return order.AppendUint32(b, uint32(v)) })
	case "UINT8":
		return narrow(c.UintContents, 0, math.MaxUint8, func(b []byte, v uint32) []byte { return append(b, byte(v)) })
	case "UINT16":
		return narrow(c.UintContents, 0, math.MaxUint16, func(b []byte, v uint32) []byte { return order.AppendUint16(b, uint16(v)) })
	case "UINT32":
		return narrow(c.UintContents, 0, math.MaxUint32, order.AppendUint32)
	case "INT64":
		for _, v := range c.Int64Contents {
			b = order.AppendUint64(b, uint64(v))
		}
	case "UINT64":
		for _, v := range c.Uint64Contents {
			b = order.AppendUint64(b, v)
		}
	case "FP32":
		for _, v := range c.Fp32Contents {
			b = order.AppendUint32(b, math.Float32bits(v))
		}
	case "FP64":
		for _, v := range c.Fp64Contents {
			b = order.AppendUint64(b, math.Float64bits(v))
		}
	case "BYTES":
		for _, v := range c.BytesContents {
			b = append(order.AppendUint32(b, uint32(len(v))), v...)
		}
	default:
		return nil, fmt.Errorf("datatype %.20q has no contents: use raw_input_contents", datatype)
	}
	return b, nil
}

// narrow writes integers that the message has in 32 bits in as few as their type has.
func narrow[T int32 | uint32](in []T, low, high int64, put func([]byte, T) []byte) (b []byte, err error) {
	for i, v := range in {
		if int64(v) < low || int64(v) > high {
			return nil, fmt.Errorf("element %d is %d, expected %d to %d", i, v, low, high)
		}
		b = put(b, v)
	}
	return b, nil
}

// decode reads the JSON of an answer and the tensors behind it.
func decode(head, tensors []byte) (*pb.ModelInferResponse, error) {
	var r response
	if err := json.Unmarshal(head, &r); err != nil {
		return nil, err
	}
	a := &pb.ModelInferResponse{ModelName: r.Model, ModelVersion: r.Version, Id: r.ID}
	for _, out := range r.Outputs {
		size := out.Parameters.Size
		if size == nil || *size < 0 || *size > int64(len(tensors)) {
			return nil, fmt.Errorf("output %.80q: no binary_data_size that fits into %d bytes", out.Name, len(tensors))
		}
		a.RawOutputContents = append(a.RawOutputContents, tensors[:*size])
		tensors = tensors[*size:]
		a.Outputs = append(a.Outputs, &pb.ModelInferResponse_InferOutputTensor{Name: out.Name, Datatype: out.Datatype, Shape: out.Shape})
	}
	if len(tensors) > 0 {
		return nil, errors.New("bytes follow the last output")
	}
	return a, nil
}

package model

import (
	"context"
	"fmt"

	"github.com/blindbox/blindbox/model/pipeline"
	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// asked is what answers a request: a session, or a pipeline over several.
type asked interface {
	Inputs() []onnx.ValueInfo
	Outputs() []onnx.ValueInfo
	// run answers, and takes the memory for it from a share.
	run(ctx context.Context, in map[string]*tensor.Tensor, share *onnx.Share) (map[string]*tensor.Tensor, error)
}

// single is a model that answers by itself.
type single struct{ *onnx.Session }

func (s single) run(ctx context.Context, in map[string]*tensor.Tensor, share *onnx.Share) (map[string]*tensor.Tensor, error) {
	return s.RunWithin(ctx, in, share)
}

// piped is a pipeline with its models.
type piped struct {
	*pipeline.Pipeline
	sessions map[string]*onnx.Session
}

// run has the pipeline ask its models one after the other, all from one share. What a
// model has said counts until the next one is asked: by then the pipeline has made
// something smaller of it. A pipeline that fails inside is that request's error alone.
func (p *piped) run(ctx context.Context, in map[string]*tensor.Tensor, share *onnx.Share) (out map[string]*tensor.Tensor, err error) {
	defer func() {
		if failed := recover(); failed != nil {
			out, err = nil, fmt.Errorf("model: a pipeline failed inside: %T", failed) // what it says may be of the request
		}
	}()
	held := int64(0)
	return p.Run(ctx, in, func(ctx context.Context, model string, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
		share.Give(held)
		held = 0
		out, err := p.sessions[model].RunWithin(ctx, in, share)
		for _, t := range out {
			held += t.Bytes()
		}
		return out, err
	})
}

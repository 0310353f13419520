package model

import (
	"context"
	"errors"
	"fmt"

	"github.com/blindbox/blindbox/model/pipeline"
	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// asked is what answers a request: a session, or a pipeline over several.
type asked interface {
	Inputs() []onnx.ValueInfo
	Outputs() []onnx.ValueInfo
	// run answers, has its sessions run by an engine, and takes the memory from a share.
	run(ctx context.Context, in map[string]*tensor.Tensor, share *onnx.Share, with engine) (map[string]*tensor.Tensor, error)
}

// engine runs a session: at once, or together with others.
type engine func(ctx context.Context, s *onnx.Session, in map[string]*tensor.Tensor, share *onnx.Share) (map[string]*tensor.Tensor, error)

// atOnce runs a session within the turn that its request has.
func atOnce(ctx context.Context, s *onnx.Session, in map[string]*tensor.Tensor, share *onnx.Share) (map[string]*tensor.Tensor, error) {
	return s.RunWithin(ctx, in, share)
}

// single is a model that answers by itself.
type single struct{ *onnx.Session }

func (s single) run(ctx context.Context, in map[string]*tensor.Tensor, share *onnx.Share, with engine) (map[string]*tensor.Tensor, error) {
	return with(ctx, s.Session, in, share)
}

// piped is a pipeline with its models.
type piped struct {
	*pipeline.Pipeline
	sessions map[string]*onnx.Session
}

// run has the pipeline ask its models one after the other, all from one share. A pipeline
// that fails inside is that request's error alone.
func (p *piped) run(ctx context.Context, in map[string]*tensor.Tensor, share *onnx.Share, with engine) (out map[string]*tensor.Tensor, err error) {
	defer func() {
		if failed := recover(); failed != nil {
			out, err = nil, fmt.Errorf("model: a pipeline failed inside: %T", failed) // what it says may be of the request
		}
	}()
	needs := p.Needs(in)
	if err := share.Take(needs); err != nil {
		return nil, err
	}
	defer share.Give(needs)
	return p.Run(ctx, in, p.within(share, with))
}

// within is what the pipeline asks its models with. What a model has said counts until
// the next one is asked: by then the pipeline has made something smaller of it.
func (p *piped) within(share *onnx.Share, with engine) pipeline.Ask {
	held := int64(0)
	return func(ctx context.Context, model string, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
		share.Give(held)
		held = 0
		out, err := with(ctx, p.sessions[model], in, share)
		for _, t := range out {
			held += t.Bytes()
		}
		return out, err
	}
}

// try refuses a pipeline whose models cannot take what it promises. If trials have no
// memory for it, or not now, that shows with a request.
func (p *piped) try(ctx context.Context, trials *onnx.Budget) error {
	share := trials.Share()
	defer share.Release()
	err := p.Try(ctx, p.within(share, atOnce))
	if errors.Is(err, onnx.ErrBusy) || errors.Is(err, onnx.ErrLimit) {
		return nil
	}
	return err
}

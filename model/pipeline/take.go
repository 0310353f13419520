package pipeline

import (
	"context"
	"slices"

	"github.com/blindbox/blindbox/internal/strictyaml"
	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// takeStep goes on with one output of a model that has several.
type takeStep struct{ strictyaml.At[string] }

func (s *takeStep) check(c *checker, path string) {
	if s.Value == "" {
		c.refuse(s.Pos, path, `""`, "the name of an output of the model")
	}
}

func (s *takeStep) fit(_ *binder, f form, path string) (form, apply, error) {
	i := slices.IndexFunc(f.values, func(v onnx.ValueInfo) bool { return v.Name == s.Value })
	if i < 0 {
		return form{}, nil, misfit(s.Pos, path, strictyaml.Quote(s.Value), "one of "+names(f.values))
	}
	v, err := floats(form{values: f.values[i : i+1]}, max(2, len(f.values[i].Shape)), s.Pos, path, "elements first")
	if err != nil {
		return form{}, nil, err
	}
	return form{values: []onnx.ValueInfo{v}}, func(ctx context.Context, st state) (state, error) {
		t, err := widened(ctx, st.values[i])
		st.values = []*tensor.Tensor{t}
		return st, err
	}, nil
}

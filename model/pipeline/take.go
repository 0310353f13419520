package pipeline

import (
	"context"
	"fmt"
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
	v := f.values[i]
	if v.Type != tensor.Float32 || len(v.Shape) < 2 {
		return form{}, nil, misfit(s.Pos, path, fmt.Sprint(v), "float32 with two dimensions or more")
	}
	return form{values: []onnx.ValueInfo{v}}, func(_ context.Context, st state) (state, error) {
		return state{values: st.values[i : i+1], rows: st.rows}, nil
	}, nil
}

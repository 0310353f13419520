package pipeline

import (
	"context"
	"math"

	"github.com/blindbox/blindbox/internal/strictyaml"
	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// softmaxStep makes probabilities of a classifier's logits.
type softmaxStep struct{ Pos strictyaml.Pos }

func (s *softmaxStep) check(*checker, string) {}

func (s *softmaxStep) fit(_ *binder, f form, path string) (form, apply, error) {
	v, err := floats(f, 2, s.Pos, path, "elements, classes")
	if err != nil {
		return form{}, nil, err
	}
	return form{values: []onnx.ValueInfo{result("score", tensor.Float32, v.Shape[1])}}, probabilities, nil
}

func probabilities(ctx context.Context, s state) (state, error) {
	t, err := s.floats(ctx, 2)
	if err != nil {
		return s, err
	}
	m := matrixOf(t)
	for i := range m.rows() {
		if err := ctx.Err(); err != nil {
			return s, err
		}
		softmax(m.row(i))
	}
	return s, nil
}

func softmax(v []float32) {
	top := float32(math.Inf(-1))
	for _, x := range v {
		top = max(top, x)
	}
	sum := 0.0
	for _, x := range v {
		sum += math.Exp(float64(x - top))
	}
	for i, x := range v {
		v[i] = float32(math.Exp(float64(x-top)) / sum)
	}
}

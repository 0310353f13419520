package pipeline

import (
	"context"
	"math"

	"github.com/blindbox/blindbox/internal/strictyaml"
	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// normalizeStep makes the Euclidean length of each embedding 1.
type normalizeStep struct{ Pos strictyaml.Pos }

func (s *normalizeStep) check(*checker, string) {}

func (s *normalizeStep) fit(_ *binder, f form, path string) (form, apply, error) {
	v, err := floats(f, 2, s.Pos, path, "elements, features")
	if err != nil {
		return form{}, nil, err
	}
	return form{values: []onnx.ValueInfo{result("embedding", tensor.Float32, v.Shape[1])}}, normalized, nil
}

func normalized(ctx context.Context, s state) (state, error) {
	t, err := s.floats(ctx, 2)
	if err != nil {
		return s, err
	}
	m := matrixOf(t)
	for i := range m.rows() {
		if err := ctx.Err(); err != nil {
			return s, err
		}
		scaleToOne(m.row(i))
	}
	return s, nil
}

// shortest is the length below which a vector is not made longer, as in PyTorch's
// normalize: zero stays zero.
const shortest = 1e-12

func scaleToOne(v []float32) {
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	by := 1 / max(math.Sqrt(sum), shortest)
	for i, x := range v {
		v[i] = float32(float64(x) * by)
	}
}

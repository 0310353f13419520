package pipeline

import (
	"context"
	"fmt"

	"github.com/blindbox/blindbox/internal/strictyaml"
	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// poolStep makes one row of the rows that a model gives for each element, which are
// those of its tokens.
type poolStep struct{ strictyaml.At[string] }

func (s *poolStep) check(c *checker, path string) {
	c.oneOf(s.At, path, "mean", "cls", "last")
}

func (s *poolStep) fit(_ *binder, f form, path string) (form, apply, error) {
	v, err := floats(f, 3, s.Pos, path, "elements, tokens, features")
	if err != nil {
		return form{}, nil, err
	}
	pools := map[string]func(to []float32, rows matrix){"mean": mean, "cls": first, "last": last}
	pool := pools[s.Value]
	return form{values: []onnx.ValueInfo{result("embedding", tensor.Float32, v.Shape[2])}},
		func(ctx context.Context, st state) (state, error) { return pooled(ctx, st, pool) }, nil
}

func pooled(ctx context.Context, s state, pool func([]float32, matrix)) (state, error) {
	t, err := s.floats(ctx, 3)
	if err != nil {
		return s, err
	}
	items, rows, width := int(t.Shape[0]), int(t.Shape[1]), int(t.Shape[2])
	if t.Len() == 0 {
		return s, fmt.Errorf("pipeline: the model gave %v%v, which has nothing to pool", t.Type, t.Shape)
	}
	data, out := tensor.Data[float32](t), make([]float32, items*width)
	for i := range items {
		if err := ctx.Err(); err != nil {
			return s, err
		}
		own := rows
		if s.rows != nil {
			own = min(own, s.rows[i])
		}
		if own > 0 {
			at := i * rows * width
			pool(out[i*width:(i+1)*width], matrix{data[at : at+own*width], width})
		}
	}
	return s.then(tensor.Of(out, int64(items), int64(width))), nil
}

func first(to []float32, rows matrix) { copy(to, rows.row(0)) }
func last(to []float32, rows matrix)  { copy(to, rows.row(rows.rows()-1)) }

// mean adds in float64: the sum of many tokens loses nothing that matters.
func mean(to []float32, rows matrix) {
	sum := make([]float64, rows.width)
	for i := range rows.rows() {
		for j, v := range rows.row(i) {
			sum[j] += float64(v)
		}
	}
	n := float64(rows.rows())
	for j, v := range sum {
		to[j] = float32(v / n)
	}
}

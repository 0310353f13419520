package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/blindbox/blindbox/internal/strictyaml"
	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// topStep keeps the classes with the highest scores, the highest first.
type topStep struct{ strictyaml.At[int] }

// maxTop is more classes than anybody reads, and less than sorting takes long for.
const maxTop = 1000

func (s *topStep) check(c *checker, path string) { c.between(s.At, path, 1, maxTop) }

func (s *topStep) fit(_ *binder, f form, path string) (form, apply, error) {
	v, err := floats(f, 2, s.Pos, path, "elements, classes")
	if err != nil {
		return form{}, nil, err
	}
	if v.Shape[1] >= 0 && v.Shape[1] < int64(s.Value) {
		return form{}, nil, misfit(s.Pos, path, strconv.Itoa(s.Value), fmt.Sprintf("at most %d, the classes of %v", v.Shape[1], v))
	}
	k := s.Value
	score, index := result("score", tensor.Float32, int64(k)), result("index", tensor.Int64, int64(k))
	return form{values: []onnx.ValueInfo{score, index}, classes: v.Shape[1]}, func(ctx context.Context, st state) (state, error) {
		return best(ctx, st, k)
	}, nil
}

func best(ctx context.Context, s state, k int) (state, error) {
	t, err := s.floats(ctx, 2)
	if err != nil {
		return s, err
	}
	m := matrixOf(t)
	if m.width < k {
		return s, fmt.Errorf("pipeline: the model gave %d classes, expected %d or more", m.width, k)
	}
	scores, indices := make([]float32, 0, m.rows()*k), make([]int64, 0, m.rows()*k)
	for i := range m.rows() {
		row := m.row(i)
		order, err := highest(ctx, row, k)
		if err != nil {
			return s, err
		}
		for _, j := range order {
			indices, scores = append(indices, j), append(scores, row[j])
		}
	}
	n := int64(m.rows())
	return s.then(tensor.Of(scores, n, int64(k)), tensor.Of(indices, n, int64(k))), nil
}

// highest returns the k classes with the highest scores of a row that has so many. It sorts
// some more at a time, for the row may be long. What is no number is never better than what
// is one. Among equals the first class wins.
func highest(ctx context.Context, row []float32, k int) ([]int64, error) {
	more := 2*k + 64
	order := make([]int64, 0, k+more)
	for j := 0; j < len(row); {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for end := min(j+more, len(row)); j < end; j++ {
			order = append(order, int64(j))
		}
		slices.SortStableFunc(order, func(a, b int64) int { return cmp.Compare(row[b], row[a]) })
		order = order[:min(k, len(order))]
	}
	return order, nil
}

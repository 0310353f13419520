package op

import (
	"math"

	"github.com/blindbox/blindbox/onnx/tensor"
)

func linearOperators() map[string]Spec {
	return map[string]Spec{
		"Det":    {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: always(det{}), Since: 11},
		"Einsum": {MinIn: 1, MaxIn: Variadic, MaxOut: 1, Make: makeEinsum, Since: 12},
	}
}

// det is the determinant of the square matrices in the last two axes.
type det struct{}

func (det) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, floatTypes()...); err != nil {
		return nil, err
	}
	if !in[0].Ranked {
		return []Info{unranked(in[0].Type)}, nil
	}
	shape, n := in[0].Shape, len(in[0].Shape)
	if n < 2 {
		return nil, BadInput(0, "has shape %v, expected matrices", shape)
	}
	if _, ok := sameDim(shape[n-2], shape[n-1]); !ok {
		return nil, BadInput(0, "has shape %v, expected square matrices", shape)
	}
	return []Info{ranked(in[0].Type, append([]int64{}, shape[:n-2]...)...)}, nil
}

func (det) Run(env *Env, in, out []*tensor.Tensor) error {
	n := int(in[0].Shape[len(in[0].Shape)-1])
	m, err := work[float64](env, n*n)
	if err != nil {
		return err
	}
	from, failed := reader[float64](in[0]), error(nil)
	err = fillBy(env, out[0], func(i int) float64 {
		from(m, i*n*n, 1)
		var d float64
		if failed == nil {
			d, failed = determinant(env, m, n)
		}
		return d
	})
	if failed != nil {
		return failed
	}
	return err
}

// determinant eliminates columns by the largest element of each.
func determinant(env *Env, m []float64, n int) (float64, error) {
	d := 1.0
	for c := range n {
		top := c
		for r := c + 1; r < n; r++ {
			if math.Abs(m[r*n+c]) > math.Abs(m[top*n+c]) {
				top = r
			}
		}
		if top != c {
			d = -d
			for k := range n {
				m[c*n+k], m[top*n+k] = m[top*n+k], m[c*n+k]
			}
		}
		d *= m[c*n+c]
		if d == 0 {
			return 0, nil
		}
		for r := c + 1; r < n; r++ {
			if err := env.On.Err(); err != nil {
				return 0, err
			}
			f := m[r*n+c] / m[c*n+c]
			for k := c; k < n; k++ {
				m[r*n+k] -= f * m[c*n+k]
			}
		}
	}
	return d, nil
}

package op

import (
	"fmt"
	"math"

	"github.com/blindbox/blindbox/onnx/tensor"
)

func generateOperators() map[string]Spec {
	window := func(terms ...float64) Spec {
		return Spec{MinIn: 1, MaxIn: 1, MaxOut: 1, Since: 17, Make: func(a *Attributes, _ int64) (Operator, error) {
			return window{resultType(a, "output_datatype", tensor.Float32), a.flag("periodic", true), terms}, nil
		}}
	}
	const hamming = 25.0 / 46
	return map[string]Spec{
		"EyeLike":         {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: makeEye, Since: 9},
		"Range":           {MinIn: 3, MaxIn: 3, MaxOut: 1, Make: makeRange, Since: 11},
		"HannWindow":      window(0.5, -0.5),
		"HammingWindow":   window(hamming, hamming-1),
		"BlackmanWindow":  window(0.42, -0.5, 0.08),
		"MelWeightMatrix": {MinIn: 5, MaxIn: 5, MaxOut: 1, Make: makeMel, Since: 17},
	}
}

// resultType reads an attribute that names an element type.
func resultType(a *Attributes, name string, otherwise tensor.DataType) tensor.DataType {
	return tensor.TypeNumbered(a.int(name, int64(otherwise)))
}

// needNumber refuses a result of a type that holds no numbers.
func needNumber(t tensor.DataType) error {
	if classOf(t) == none {
		return fmt.Errorf("results of type %s are not numbers", t)
	}
	return nil
}

// eye is a matrix of the shape of operand 0 with ones on a diagonal.
type eye struct {
	to       tensor.DataType // 0: that of operand 0
	diagonal int64           // above the main one
}

func makeEye(a *Attributes, _ int64) (Operator, error) {
	return eye{resultType(a, "dtype", 0), a.int("k", 0)}, nil
}

func (o eye) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, anyType()...); err != nil {
		return nil, err
	}
	if err := needRank(in, 0, 2, "a matrix"); err != nil {
		return nil, err
	}
	result := likeFirst(in)
	if o.to != 0 {
		result[0].Type = o.to
	}
	if classOf(result[0].Type) == none && result[0].Type != tensor.Bool {
		return nil, fmt.Errorf("results of type %s are not numbers", result[0].Type)
	}
	return result, nil
}

func (o eye) Run(env *Env, _, out []*tensor.Tensor) error {
	rows, columns := out[0].Shape[0], out[0].Shape[1]
	row, err := work[int64](env, int(columns))
	if err != nil {
		return err
	}
	put := writer[int64](out[0])
	for r := range rows {
		if err := env.On.Err(); err != nil {
			return err
		}
		at := r + o.diagonal
		within := at >= 0 && at < columns && (o.diagonal < 0 || at >= r)
		if within {
			row[at] = 1
		}
		put(row, int(r*columns), 1)
		if within {
			row[at] = 0
		}
	}
	return nil
}

// sequence counts from operand 0 to operand 1, which it leaves out, in steps of
// operand 2.
type sequence struct{}

func makeRange(a *Attributes, opset int64) (Operator, error) {
	if opset >= 27 {
		a.int("stash_type", 0) // numbers are counted in float64
	}
	return sequence{}, nil
}

func (sequence) Infer(in []*Info) ([]Info, error) {
	for i := range in {
		if err := needScalar(in, i, numberTypes()...); err != nil {
			return nil, err
		}
	}
	if err := needSame(in, in[0].Type); err != nil {
		return nil, err
	}
	n := int64(-1)
	if in[0].Value != nil && in[1].Value != nil && in[2].Value != nil {
		var err error
		if n, err = countSteps([]*tensor.Tensor{in[0].Value, in[1].Value, in[2].Value}); err != nil {
			return nil, err
		}
	}
	return []Info{ranked(in[0].Type, n)}, nil
}

// countSteps is how many numbers a sequence has.
func countSteps(in []*tensor.Tensor) (int64, error) {
	if classOf(in[0].Type) != floating {
		from, to, by := scalarOr[int64](in, 0, 0), scalarOr[int64](in, 1, 0), scalarOr[int64](in, 2, 0)
		return countInts(from, to, by)
	}
	from, to, by := scalarOr[float64](in, 0, 0), scalarOr[float64](in, 1, 0), scalarOr[float64](in, 2, 0)
	n := math.Ceil((to - from) / by)
	if by == 0 || n != n || n >= 1<<53 {
		return 0, fmt.Errorf("from %v to %v in steps of %v never ends", from, to, by)
	}
	return int64(max(n, 0)), nil
}

func countInts(from, to, by int64) (int64, error) {
	var distance, step uint64
	switch {
	case by == 0:
		return 0, BadInput(2, "is zero: the steps never end")
	case by > 0 && from < to:
		distance, step = uint64(to)-uint64(from), uint64(by)
	case by < 0 && from > to:
		distance, step = uint64(from)-uint64(to), -uint64(by)
	default:
		return 0, nil
	}
	n := distance / step
	if distance%step != 0 {
		n++
	}
	return int64(min(n, math.MaxInt64)), nil
}

func (sequence) Run(env *Env, in, out []*tensor.Tensor) error {
	if classOf(in[0].Type) == floating {
		return steps[float64](env, in, out[0])
	}
	return steps[int64](env, in, out[0])
}

func steps[V int64 | float64](env *Env, in []*tensor.Tensor, out *tensor.Tensor) error {
	from, by := scalarOr[V](in, 0, 0), scalarOr[V](in, 2, 0)
	return fillBy(env, out, func(i int) V { return from + V(i)*by })
}

// window is a sum of cosines: terms[k] * cos(2*pi*k*i/n) over all k. Operand 0 is how
// many elements it has. A window that is not periodic ends as it begins.
type window struct {
	to       tensor.DataType
	periodic bool
	terms    []float64
}

func (o window) Infer(in []*Info) ([]Info, error) {
	if err := needScalar(in, 0, tensor.Int32, tensor.Int64); err != nil {
		return nil, err
	}
	if err := needNumber(o.to); err != nil {
		return nil, err
	}
	n, known := in[0].number()
	if known && n < 0 {
		return nil, BadInput(0, "is %d, expected 0 or more", n)
	}
	return []Info{ranked(o.to, n)}, nil
}

func (o window) Run(env *Env, _, out []*tensor.Tensor) error {
	n := float64(out[0].Len())
	if !o.periodic {
		n = max(n-1, 1)
	}
	return fillBy(env, out[0], func(i int) float64 {
		sum := 0.0
		for k, term := range o.terms {
			sum += term * math.Cos(2*math.Pi*float64(k)*float64(i)/n)
		}
		return sum
	})
}

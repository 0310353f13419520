package op

import "github.com/blindbox/blindbox/onnx/tensor"

// fold applies a function of two numbers to any number of operands of one type, from
// the first to the last. With mean, the result is divided by how many there are.
type fold struct {
	binary
	mean bool
}

func foldOperators() map[string]Spec {
	many := func(o fold) Spec {
		return Spec{MinIn: 1, MaxIn: Variadic, MaxOut: 1, Make: func(a *Attributes, opset int64) (Operator, error) {
			legacy(a, opset)
			return o, nil
		}}
	}
	v := vectorPairs()
	// The built-in max and min give NaN if either is NaN, as numpy does.
	return map[string]Spec{
		"Max":  many(fold{binary: binary{f: larger[float64], i: larger[int64], u: larger[uint64], v: v["Max"]}}),
		"Min":  many(fold{binary: binary{f: smaller[float64], i: smaller[int64], u: smaller[uint64], v: v["Min"]}}),
		"Sum":  many(fold{binary: binary{f: add[float64], v: v["Add"]}}),
		"Mean": many(fold{binary: binary{f: add[float64]}, mean: true}),
	}
}

func larger[V numeric](a, b V) V  { return max(a, b) }
func smaller[V numeric](a, b V) V { return min(a, b) }

func (o fold) Infer(in []*Info) ([]Info, error) {
	if err := needSame(in, o.types()...); err != nil {
		return nil, err
	}
	shape, isRanked, err := broadcast(in)
	return []Info{{Type: in[0].Type, Ranked: isRanked, Shape: shape}}, err
}

// InPlace is operand 0 alone: the others are read after the result has been written.
func (o fold) InPlace() []int { return []int{0} }

func (o fold) Run(env *Env, in, out []*tensor.Tensor) error {
	if len(in) == 1 {
		return expand(env, out[0], in[0])
	}
	a := in[0]
	for i, b := range in[1:] {
		if o.v != nil && a.Type == tensor.Float32 {
			if err := o.v.run(env, out[0], a, b); err != nil {
				return err
			}
			a = out[0]
			continue
		}
		f := o.f
		if o.mean && i == len(in)-2 {
			f = func(a, b float64) float64 { return (a + b) / float64(len(in)) }
		}
		if err := twoBy(env, out[0], a, b, f, o.i, o.u); err != nil {
			return err
		}
		a = out[0]
	}
	return nil
}

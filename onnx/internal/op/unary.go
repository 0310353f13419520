package op

import (
	"math"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/vec"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// unary is an operator that changes every number by itself. It takes the types of
// the classes that it has a function for.
type unary struct {
	f func(float64) float64
	i func(int64) int64
	u func(uint64) uint64
	v vector // for float32; nil: f
}

func unaryOperators() map[string]Spec {
	table := map[string]Spec{
		"Abs":        simple(unary{math.Abs, absInt, same[uint64], vec.Abs}),
		"Neg":        simple(unary{f: func(x float64) float64 { return -x }, i: func(x int64) int64 { return -x }, v: vec.Neg}),
		"Sign":       simple(unary{f: sign, i: signInt, u: func(x uint64) uint64 { return min(x, 1) }}),
		"Relu":       simple(unary{f: func(x float64) float64 { return max(x, 0) }, i: func(x int64) int64 { return max(x, 0) }, v: vec.Relu}),
		"BitwiseNot": simple(unary{i: func(x int64) int64 { return ^x }, u: func(x uint64) uint64 { return ^x }}),
		"Not":        simple(not{}),
		"IsNaN":      simple(test{math.IsNaN}),
		"IsInf":      {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: makeIsInf},
	}
	vectors := vectors()
	for name, f := range floatFunctions() {
		table[name] = simple(unary{f: f, v: vectors[name]})
	}
	return table
}

// simple is an operator on one operand, without attributes that matter.
func simple(o Operator) Spec {
	return Spec{MinIn: 1, MaxIn: 1, MaxOut: 1, Make: func(a *Attributes, opset int64) (Operator, error) {
		legacy(a, opset)
		return o, nil
	}}
}

// legacy takes an attribute of operator sets before 6 that was a hint to share memory.
func legacy(a *Attributes, opset int64) {
	if opset < 6 {
		a.ints("consumed_inputs")
	}
}

// floatFunctions are the operators on floats alone.
func floatFunctions() map[string]func(float64) float64 {
	return map[string]func(float64) float64{
		"Acos": math.Acos, "Acosh": math.Acosh, "Asin": math.Asin, "Asinh": math.Asinh, "Atan": math.Atan, "Atanh": math.Atanh,
		"Cos": math.Cos, "Cosh": math.Cosh, "Sin": math.Sin, "Sinh": math.Sinh, "Tan": math.Tan, "Tanh": math.Tanh,
		"Ceil": math.Ceil, "Floor": math.Floor, "Round": math.RoundToEven,
		"Exp": math.Exp, "Log": math.Log, "Sqrt": math.Sqrt, "Erf": math.Erf,
		"Reciprocal": func(x float64) float64 { return 1 / x },
		"Sigmoid":    sigmoid,
		"HardSwish":  func(x float64) float64 { return x * max(0, min(1, x/6+0.5)) },
		"Mish":       func(x float64) float64 { return x * math.Tanh(softplus(x)) },
		"Softplus":   softplus,
		"Softsign":   func(x float64) float64 { return x / (1 + math.Abs(x)) },
	}
}

func same[V numeric](x V) V { return x }

func absInt(x int64) int64 { return max(x, -x) }

func sign(x float64) float64 {
	if x > 0 {
		return 1
	} else if x < 0 {
		return -1
	}
	return x // zero, or NaN
}

func signInt(x int64) int64 {
	if x > 0 {
		return 1
	}
	return x >> 63
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// softplus is log(1 + exp(x)) without overflow.
func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

func (o unary) types() []tensor.DataType {
	var t []tensor.DataType
	if o.f != nil {
		t = floatTypes()
	}
	if o.i != nil {
		t = append(t, signedTypes()...)
	}
	if o.u != nil {
		t = append(t, unsignedTypes()...)
	}
	return t
}

func (o unary) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, o.types()...); err != nil {
		return nil, err
	}
	return likeFirst(in), nil
}

func (o unary) InPlace() []int { return []int{0} }

func (o unary) Run(env *Env, in, out []*tensor.Tensor) error {
	if o.v != nil && in[0].Type == tensor.Float32 {
		return o.v.run(env, out[0], in[0])
	}
	return oneBy(env, out[0], in[0], o.f, o.i, o.u)
}

// test is a question about a float.
type test struct{ f func(float64) bool }

// makeIsInf leaves out the infinities that the attributes do not ask for.
func makeIsInf(a *Attributes, _ int64) (Operator, error) {
	low, high := a.flag("detect_negative", true), a.flag("detect_positive", true)
	return test{func(x float64) bool { return low && math.IsInf(x, -1) || high && math.IsInf(x, 1) }}, nil
}

func (o test) Infer(in []*Info) ([]Info, error) {
	types := slices.DeleteFunc(tensor.Types(), func(t tensor.DataType) bool { return classOf(t) != floating })
	if err := needType(in, 0, types...); err != nil {
		return nil, err
	}
	return []Info{like(in[0], tensor.Bool)}, nil
}

func (o test) Run(env *Env, in, out []*tensor.Tensor) error {
	return one(env, out[0], in[0], func(x float64) uint64 { return truth(o.f(x)) })
}

// truth is a bool as a number.
func truth(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

type not struct{}

func (not) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, tensor.Bool); err != nil {
		return nil, err
	}
	return likeFirst(in), nil
}

func (not) InPlace() []int { return []int{0} }

func (not) Run(env *Env, in, out []*tensor.Tensor) error {
	return one(env, out[0], in[0], func(x uint64) uint64 { return 1 - x })
}

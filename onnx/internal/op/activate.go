package op

import (
	"math"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/vec"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// activationOperators are the functions of one number that have parameters.
func activationOperators() map[string]Spec {
	with := func(f func(p parameters) (func(float64) float64, vector)) Spec {
		return Spec{MinIn: 1, MaxIn: 1, MaxOut: 1, Make: func(a *Attributes, opset int64) (Operator, error) {
			legacy(a, opset)
			general, v := f(parameters{a})
			return unary{f: general, v: v}, nil
		}}
	}
	return map[string]Spec{
		"LeakyRelu":       with(leakyRelu),
		"Elu":             with(elu),
		"Celu":            with(celu),
		"Selu":            with(selu),
		"HardSigmoid":     with(hardSigmoid),
		"ThresholdedRelu": with(thresholdedRelu),
		"Gelu":            with(gelu),
		"Swish":           with(swish),
		"Shrink":          {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: makeShrink},
		"Clip":            {MinIn: 1, MaxIn: 3, MaxOut: 1, Make: makeClip},
		"SwiGLU":          {MinIn: 2, MaxIn: 2, MaxOut: 1, Make: makeSwiGLU, Since: 28},
		"PRelu":           {MinIn: 2, MaxIn: 2, MaxOut: 1, Make: makePRelu},
	}
}

// parameters reads the numbers that an activation has.
type parameters struct{ a *Attributes }

func (p parameters) number(name string, otherwise float32) float64 {
	return float64(p.a.float(name, otherwise))
}

func leakyRelu(p parameters) (func(float64) float64, vector) {
	slope := p.number("alpha", 0.01)
	return func(x float64) float64 {
		if x < 0 {
			return slope * x
		}
		return x
	}, func(l kernel.Level, dst, src []float32) { vec.LeakyRelu(l, dst, src, float32(slope)) }
}

func elu(p parameters) (func(float64) float64, vector) {
	alpha := p.number("alpha", 1)
	return func(x float64) float64 {
		if x < 0 {
			return alpha * math.Expm1(x)
		}
		return x
	}, func(l kernel.Level, dst, src []float32) { vec.Elu(l, dst, src, float32(alpha)) }
}

func celu(p parameters) (func(float64) float64, vector) {
	alpha := p.number("alpha", 1)
	return func(x float64) float64 { return max(0, x) + min(0, alpha*math.Expm1(x/alpha)) }, nil
}

// selu has the constants of its paper (Klambauer et al. 2017), as ONNX rounds them.
func selu(p parameters) (func(float64) float64, vector) {
	alpha, gamma := p.number("alpha", 1.67326319217681884765625), p.number("gamma", 1.05070102214813232421875)
	return func(x float64) float64 {
		if x <= 0 {
			return gamma * alpha * math.Expm1(x)
		}
		return gamma * x
	}, nil
}

func hardSigmoid(p parameters) (func(float64) float64, vector) {
	alpha, beta := p.number("alpha", 0.2), p.number("beta", 0.5)
	return func(x float64) float64 { return max(0, min(1, alpha*x+beta)) },
		func(l kernel.Level, dst, src []float32) { vec.HardSigmoid(l, dst, src, float32(alpha), float32(beta)) }
}

func thresholdedRelu(p parameters) (func(float64) float64, vector) {
	alpha := p.number("alpha", 1)
	return func(x float64) float64 {
		if x > alpha {
			return x
		}
		return 0
	}, nil
}

func gelu(p parameters) (func(float64) float64, vector) {
	if p.a.oneOf("approximate", "none", "tanh") == "tanh" {
		return func(x float64) float64 {
			return 0.5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
		}, vec.GeluTanh
	}
	return func(x float64) float64 { return 0.5 * x * (1 + math.Erf(x/math.Sqrt2)) }, vec.Gelu
}

func swish(p parameters) (func(float64) float64, vector) {
	alpha := p.number("alpha", 1)
	if alpha == 1 {
		return func(x float64) float64 { return x * sigmoid(x) }, vec.SiLU
	}
	return func(x float64) float64 { return x * sigmoid(alpha*x) }, nil
}

// makeShrink brings numbers nearer to zero by bias, and those within lambd to it.
func makeShrink(a *Attributes, _ int64) (Operator, error) {
	bias, lambd := float64(a.float("bias", 0)), float64(a.float("lambd", 0.5))
	f := func(x float64) float64 {
		switch {
		case x < -lambd:
			return x + bias
		case x > lambd:
			return x - bias
		}
		return 0
	}
	return unary{f: f, i: func(x int64) int64 { return int64Of(f(float64(x))) }, u: func(x uint64) uint64 { return uint64Of(f(float64(x))) }}, nil
}

// clip bounds numbers from below (operand 1) and above (operand 2), both optional
// scalars. Before operator set 11 the bounds are attributes.
type clip struct {
	attributes bool
	low, high  float64
}

func makeClip(a *Attributes, opset int64) (Operator, error) {
	legacy(a, opset)
	if opset >= 11 {
		return clip{low: math.Inf(-1), high: math.Inf(1)}, nil
	}
	return clip{true, float64(a.float("min", -math.MaxFloat32)), float64(a.float("max", math.MaxFloat32))}, nil
}

func (o clip) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, numberTypes()...); err != nil {
		return nil, err
	}
	for i := 1; i < len(in); i++ {
		if in[i] == nil {
			continue
		}
		if o.attributes {
			return nil, BadInput(i, "is not expected: before operator set 11 the bounds are attributes")
		}
		if err := needScalar(in, i, in[0].Type); err != nil {
			return nil, err
		}
	}
	return likeFirst(in), nil
}

func (o clip) InPlace() []int { return []int{0} }

func (o clip) Run(env *Env, in, out []*tensor.Tensor) error {
	if in[0].Type == tensor.Float32 {
		low, high := float32(scalarOr(in, 1, o.low)), float32(scalarOr(in, 2, o.high))
		limit := func(l kernel.Level, dst, src []float32) { vec.Clip(l, dst, src, low, high) }
		return vector(limit).run(env, out[0], in[0])
	}
	if classOf(in[0].Type) == signed {
		return clipTo[int64](env, in, out[0], math.MinInt64, math.MaxInt64)
	}
	if classOf(in[0].Type) == unsigned {
		return clipTo[uint64](env, in, out[0], 0, math.MaxUint64)
	}
	return clipTo(env, in, out[0], o.low, o.high)
}

func clipTo[V numeric](env *Env, in []*tensor.Tensor, out *tensor.Tensor, low, high V) error {
	low, high = scalarOr(in, 1, low), scalarOr(in, 2, high)
	return one(env, out, in[0], func(x V) V { return min(max(x, low), high) })
}

// scalarOr is an optional operand of one element, or else a default.
func scalarOr[V numeric](in []*tensor.Tensor, index int, otherwise V) V {
	if !present(in, index) || in[index].Len() == 0 {
		return otherwise
	}
	var v [1]V
	reader[V](in[index])(v[:], 0, 1)
	return v[0]
}

// prelu multiplies negative numbers with a slope, which broadcasts to their shape.
type prelu struct{ old bool }

func makePRelu(a *Attributes, opset int64) (Operator, error) {
	legacy(a, opset)
	return prelu{opset < 7}, nil
}

func (o prelu) Infer(in []*Info) ([]Info, error) {
	if err := needSame(in, numberTypes()...); err != nil {
		return nil, err
	}
	if in[0].Ranked && in[1].Ranked && !fitsInto(o.slope(in[1].Shape, len(in[0].Shape)), in[0].Shape) {
		return nil, BadInput(1, "has shape %v, which does not broadcast to %v", in[1].Shape, in[0].Shape)
	}
	return likeFirst(in), nil
}

// slope is the shape of the slopes. Before operator set 7, when nothing broadcast by
// itself, they were a list with one for each channel, or one for all.
func (o prelu) slope(shape []int64, rank int) []int64 {
	if !o.old || len(shape) != 1 || rank < 2 {
		return shape
	}
	channels := make([]int64, rank-1)
	for i := range channels {
		channels[i] = 1
	}
	channels[0] = shape[0]
	return channels
}

func (prelu) InPlace() []int { return []int{0} }

func (o prelu) Run(env *Env, in, out []*tensor.Tensor) error {
	slope := in[1].Reshaped(o.slope(in[1].Shape, len(in[0].Shape)))
	return twoBy(env, out[0], in[0], slope, leak[float64], leak[int64], same2[uint64])
}

func leak[V numeric](x, slope V) V {
	if x < 0 {
		return slope * x
	}
	return x
}

func same2[V numeric](x, _ V) V { return x }

// swiGLU multiplies the swish of operand 0 with operand 1, of the same shape.
type swiGLU struct{ binary }

func makeSwiGLU(a *Attributes, _ int64) (Operator, error) {
	f, _ := swish(parameters{a})
	return swiGLU{binary{f: func(a, b float64) float64 { return f(a) * b }}}, nil
}

func (o swiGLU) Infer(in []*Info) ([]Info, error) {
	if err := needSame(in, floatTypes()...); err != nil {
		return nil, err
	}
	if in[0].Ranked && in[1].Ranked && !agreeing(in[0].Shape, in[1].Shape) {
		return nil, BadInput(1, "has shape %v, expected %v", in[1].Shape, in[0].Shape)
	}
	return likeFirst(in), nil
}

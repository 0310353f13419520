package op

import (
	"math"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/vec"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// binary is an operator on two operands of one type that broadcast together. It takes
// the types of the classes that it has a function for.
type binary struct {
	f    func(a, b float64) float64
	i    func(a, b int64) int64
	u    func(a, b uint64) uint64
	v    *vectorPair // for float32; nil: f
	zero bool        // refuse integer divisors of zero
	old  oldBroadcast
}

func arithmeticOperators() map[string]Spec {
	v := vectorPairs()
	return map[string]Spec{
		"Add":        pair(binary{f: add[float64], i: add[int64], u: add[uint64], v: v["Add"]}),
		"Sub":        pair(binary{f: sub[float64], i: sub[int64], u: sub[uint64], v: v["Sub"]}),
		"Mul":        pair(binary{f: mul[float64], i: mul[int64], u: mul[uint64], v: v["Mul"]}),
		"Div":        pair(binary{f: div[float64], i: div[int64], u: div[uint64], v: v["Div"], zero: true}),
		"BitwiseAnd": pair(binary{i: and[int64], u: and[uint64]}),
		"BitwiseOr":  pair(binary{i: or[int64], u: or[uint64]}),
		"BitwiseXor": pair(binary{i: xor[int64], u: xor[uint64]}),
		"Mod":        {MinIn: 2, MaxIn: 2, MaxOut: 1, Make: makeMod},
		"BitShift":   {MinIn: 2, MaxIn: 2, MaxOut: 1, Make: makeShift},
		"Pow":        {MinIn: 2, MaxIn: 2, MaxOut: 1, Make: makePower},
	}
}

func pair(o binary) Spec {
	return Spec{MinIn: 2, MaxIn: 2, MaxOut: 1, Make: func(a *Attributes, opset int64) (Operator, error) {
		o := o
		o.old = oldBroadcastOf(a, opset)
		return o, nil
	}}
}

func add[V numeric](a, b V) V        { return a + b }
func sub[V numeric](a, b V) V        { return a - b }
func mul[V numeric](a, b V) V        { return a * b }
func div[V numeric](a, b V) V        { return a / b }
func and[V int64 | uint64](a, b V) V { return a & b }
func or[V int64 | uint64](a, b V) V  { return a | b }
func xor[V int64 | uint64](a, b V) V { return a ^ b }

// oldBroadcast is how operand 1 fills the shape of operand 0 before operator set 7:
// only if the attribute broadcast says so, and then from dimension axis on, or at the
// end.
type oldBroadcast struct {
	applies, allowed, placed bool
	axis                     int64
}

func oldBroadcastOf(a *Attributes, opset int64) oldBroadcast {
	if opset >= 7 {
		return oldBroadcast{}
	}
	legacy(a, opset)
	return oldBroadcast{applies: true, allowed: a.flag("broadcast", false), placed: a.has("axis"), axis: a.int("axis", 0)}
}

// shape returns the shape of operand 1 such that the new rules apply: with ones
// behind its last dimension.
func (o oldBroadcast) shape(a, b []int64) ([]int64, error) {
	if !o.applies || !o.placed || len(b) > len(a) {
		return b, nil
	}
	at, err := axis(o.axis, len(a)+1)
	if err != nil {
		return nil, &OperandError{1, err}
	}
	b = slices.Clone(b)
	for len(b) < len(a)-at {
		b = append(b, 1)
	}
	return b, nil
}

// infer broadcasts two operands that have passed the check of their types.
func (o oldBroadcast) infer(in []*Info, result tensor.DataType) ([]Info, error) {
	if !in[0].Ranked || !in[1].Ranked {
		return []Info{unranked(result)}, nil
	}
	b, err := o.shape(in[0].Shape, in[1].Shape)
	if err != nil {
		return nil, err
	}
	shape, err := broadcastShapes(in[0].Shape, b)
	if err != nil {
		return nil, &OperandError{1, err}
	}
	if o.applies && (len(shape) != len(in[0].Shape) || !o.allowed && len(in[0].Shape) != len(in[1].Shape)) {
		return nil, BadInput(1, "has shape %v, which does not broadcast to %v before operator set 7", in[1].Shape, in[0].Shape)
	}
	return []Info{ranked(result, shape...)}, nil
}

// operand is operand 1 in its new shape.
func (o oldBroadcast) operand(in []*tensor.Tensor) (*tensor.Tensor, error) {
	shape, err := o.shape(in[0].Shape, in[1].Shape)
	return in[1].Reshaped(shape), err
}

func (o binary) types() []tensor.DataType {
	return unary{f: only(o.f), i: only(o.i), u: only(o.u)}.types()
}

// only says that there is a function.
func only[V numeric](f func(a, b V) V) func(V) V {
	if f == nil {
		return nil
	}
	return same[V]
}

func (o binary) Infer(in []*Info) ([]Info, error) {
	if err := needSame(in, o.types()...); err != nil {
		return nil, err
	}
	return o.old.infer(in, in[0].Type)
}

func (o binary) InPlace() []int { return []int{0, 1} }

// Cheap: weights may be stored as small integers with a scale.
func (o binary) Cheap() {}

func (o binary) Run(env *Env, in, out []*tensor.Tensor) error {
	b, err := o.old.operand(in)
	if err != nil {
		return err
	}
	if o.zero && classOf(in[1].Type) != floating {
		if err := noZero(env, b); err != nil {
			return err
		}
	}
	if o.v != nil && in[0].Type == tensor.Float32 {
		return o.v.run(env, out[0], in[0], b)
	}
	return twoBy(env, out[0], in[0], b, o.f, o.i, o.u)
}

// noZero refuses an integer divisor of zero.
func noZero(env *Env, t *tensor.Tensor) error {
	found := false
	err := each(env, t, func(x int64) { found = found || x == 0 })
	if found {
		return BadInput(1, "holds an integer zero: division by zero")
	}
	return err
}

// makeMod has the sign of the divisor, as in Python, or with fmod that of the
// dividend, as in C. Floats have the latter alone.
func makeMod(a *Attributes, _ int64) (Operator, error) {
	if a.flag("fmod", false) {
		return binary{f: math.Mod, i: rem[int64], u: rem[uint64], zero: true}, nil
	}
	return binary{f: floorMod, i: floorModInt, u: rem[uint64], zero: true}, nil
}

func rem[V int64 | uint64](a, b V) V { return a % b }

func floorMod(a, b float64) float64 {
	r := math.Mod(a, b)
	if r != 0 && (r < 0) != (b < 0) {
		r += b
	}
	return r
}

func floorModInt(a, b int64) int64 {
	r := a % b
	if r != 0 && (r < 0) != (b < 0) {
		r += b
	}
	return r
}

// makeShift moves bits. Bits that leave the type are lost; a negative number that moves
// right stays negative. A shift that is negative or beyond the type leaves signs alone.
func makeShift(a *Attributes, opset int64) (Operator, error) {
	o := binary{u: func(a, b uint64) uint64 { return a >> b }}
	left := a.oneOf("direction", "", "LEFT", "RIGHT") == "LEFT"
	if left {
		o.u = func(a, b uint64) uint64 { return a << b }
	}
	switch {
	case opset >= 28 && left:
		o.i = func(a, b int64) int64 { return a << uint64(b) }
	case opset >= 28:
		o.i = func(a, b int64) int64 { return a >> uint64(b) }
	}
	return o, nil
}

// power raises numbers to powers of any numeric type; the result has the type of the
// base.
type power struct{ old oldBroadcast }

func makePower(a *Attributes, opset int64) (Operator, error) {
	return power{oldBroadcastOf(a, opset)}, nil
}

func (o power) Infer(in []*Info) ([]Info, error) {
	for i := range in {
		if err := needType(in, i, numberTypes()...); err != nil {
			return nil, err
		}
	}
	return o.old.infer(in, in[0].Type)
}

func (o power) InPlace() []int { return []int{0} }

func (o power) Run(env *Env, in, out []*tensor.Tensor) error {
	b, err := o.old.operand(in)
	if err != nil {
		return err
	}
	if isTwo(b) && isFloat32(in...) && slices.Equal(in[0].Shape, out[0].Shape) {
		return vector(square).run(env, out[0], in[0])
	}
	switch base, exponent := classOf(in[0].Type), classOf(in[1].Type); {
	case base == floating || exponent == floating:
		return two(env, out[0], in[0], b, raise)
	case base == unsigned:
		return two(env, out[0], in[0], b, raiseInt[uint64])
	}
	return two(env, out[0], in[0], b, raiseInt[int64])
}

// isTwo says whether the exponent is that of most models.
func isTwo(exponent *tensor.Tensor) bool {
	return exponent.Len() == 1 && exponent.Type == tensor.Float32 && tensor.Data[float32](exponent)[0] == 2
}

// square is a vector.
func square(l kernel.Level, dst, src []float32) { vec.Mul(l, dst, src, src) }

// raise knows the power that most models have.
func raise(a, b float64) float64 {
	if b == 2 {
		return a * a
	}
	return math.Pow(a, b)
}

// raiseInt computes modulo 2^64, and truncates what a negative power gives.
func raiseInt[V int64 | uint64](a, b V) V {
	if b < 0 {
		switch {
		case a == 1:
			return 1
		case a+1 == 0:
			return 1 + (b&1)*(a-1)
		}
		return 0
	}
	result := V(1)
	for e := uint64(b); e > 0; e >>= 1 {
		if e&1 == 1 {
			result *= a
		}
		a *= a
	}
	return result
}

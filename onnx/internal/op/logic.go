package op

import (
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// relation is an operator on two operands of one type that broadcast together and
// gives bools. A nil function means that the operator does not take that class.
type relation struct {
	f    func(a, b float64) bool
	i    func(a, b int64) bool
	u    func(a, b uint64) bool
	b    func(a, b bool) bool
	text func(a, b string) bool
	old  oldBroadcast
}

func logicOperators() map[string]Spec {
	return map[string]Spec{
		"Equal":       related(relation{equal[float64], equal[int64], equal[uint64], equal[bool], equal[string], oldBroadcast{}}),
		"Less":        related(relation{f: less[float64], i: less[int64], u: less[uint64]}),
		"LessOrEqual": related(relation{f: lessOrEqual[float64], i: lessOrEqual[int64], u: lessOrEqual[uint64]}),
		"Greater":     related(relation{f: swapped(less[float64]), i: swapped(less[int64]), u: swapped(less[uint64])}),
		"GreaterOrEqual": related(relation{f: swapped(lessOrEqual[float64]), i: swapped(lessOrEqual[int64]),
			u: swapped(lessOrEqual[uint64])}),
		"And": related(relation{b: func(a, b bool) bool { return a && b }}),
		"Or":  related(relation{b: func(a, b bool) bool { return a || b }}),
		"Xor": related(relation{b: func(a, b bool) bool { return a != b }}),
	}
}

func equal[T comparable](a, b T) bool    { return a == b }
func less[V numeric](a, b V) bool        { return a < b }
func lessOrEqual[V numeric](a, b V) bool { return a <= b }
func swapped[V numeric](f func(a, b V) bool) func(a, b V) bool {
	return func(a, b V) bool { return f(b, a) }
}

func related(o relation) Spec {
	return Spec{MinIn: 2, MaxIn: 2, MaxOut: 1, Make: func(a *Attributes, opset int64) (Operator, error) {
		o := o
		o.old = oldBroadcastOf(a, opset)
		return o, nil
	}}
}

func (o relation) types() []tensor.DataType {
	var t []tensor.DataType
	if o.f != nil {
		t = numberTypes()
	}
	if o.b != nil {
		t = append(t, tensor.Bool)
	}
	if o.text != nil {
		t = append(t, tensor.String)
	}
	return t
}

func (o relation) Infer(in []*Info) ([]Info, error) {
	if err := needSame(in, o.types()...); err != nil {
		return nil, err
	}
	return o.old.infer(in, tensor.Bool)
}

func (o relation) Run(env *Env, in, out []*tensor.Tensor) error {
	b, err := o.old.operand(in)
	if err != nil {
		return err
	}
	switch in[0].Type {
	case tensor.Bool:
		return zip(env, out[0], in[0], b, o.b)
	case tensor.String:
		return zip(env, out[0], in[0], b, o.text)
	case tensor.Float32:
		return zip(env, out[0], in[0], b, func(a, b float32) bool { return o.f(float64(a), float64(b)) })
	case tensor.Int64:
		return zip(env, out[0], in[0], b, o.i)
	}
	return twoBy(env, out[0], in[0], b, asNumber(o.f), asNumber(o.i), asNumber(o.u))
}

func asNumber[V numeric](f func(a, b V) bool) func(a, b V) uint64 {
	return func(a, b V) uint64 { return truth(f(a, b)) }
}

// zip runs f over two operands that broadcast to the shape of out.
func zip[T, R tensor.Elem](env *Env, out, a, b *tensor.Tensor, f func(a, b T) R) error {
	dst, left, right := tensor.Data[R](out), tensor.Data[T](a), tensor.Data[T](b)
	operands := []kernel.Operand{kernel.Dense(out.Shape), kernel.Broadcast(a.Shape, out.Shape), kernel.Broadcast(b.Shape, out.Shape)}
	return kernel.Walk(env.On, out.Shape, operands, func(n int, at, step []int) error {
		for i := range n {
			dst[at[0]+i] = f(left[at[1]+i*step[1]], right[at[2]+i*step[2]])
		}
		return nil
	})
}

package op

import (
	"math"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/vec"
)

// Activation is a function of single elements that a product or a convolution applies
// to its result while that is at hand. The zero value changes nothing.
type Activation struct {
	Kind ActivationKind
	A, B float32 // Clip: the bounds; LeakyRelu: the slope; HardSigmoid: slope and shift
}

// ActivationKind names an activation.
type ActivationKind uint8

// The activations.
const (
	NoActivation ActivationKind = iota
	Relu
	Clip
	LeakyRelu
	Sigmoid
	Tanh
	Gelu
	GeluTanh
	SiLU
	HardSwish
	HardSigmoid
	Elu
	Softplus
)

// Bounds returns the range that Relu and Clip keep elements in.
func (a Activation) Bounds() (low, high float32, ok bool) {
	switch a.Kind {
	case Relu:
		return 0, float32(math.Inf(1)), true
	case Clip:
		return a.A, a.B, true
	}
	return 0, 0, false
}

// Row returns the function that applies the activation to a row in place, or nil for
// one that Bounds describes and for none.
func (a Activation) Row() func(kernel.Level, []float32) {
	var f func(l kernel.Level, dst, src []float32)
	switch a.Kind {
	case LeakyRelu:
		f = func(l kernel.Level, dst, src []float32) { vec.LeakyRelu(l, dst, src, a.A) }
	case HardSigmoid:
		f = func(l kernel.Level, dst, src []float32) { vec.HardSigmoid(l, dst, src, a.A, a.B) }
	case Elu:
		f = func(l kernel.Level, dst, src []float32) { vec.Elu(l, dst, src, a.A) }
	case Sigmoid:
		f = vec.Sigmoid
	case Tanh:
		f = vec.Tanh
	case Gelu:
		f = vec.Gelu
	case GeluTanh:
		f = vec.GeluTanh
	case SiLU:
		f = vec.SiLU
	case HardSwish:
		f = vec.HardSwish
	case Softplus:
		f = vec.Softplus
	default:
		return nil
	}
	return func(l kernel.Level, row []float32) { f(l, row, row) }
}

// apply applies the activation in place.
func (a Activation) apply(env *Env, data []float32) error {
	low, high, bounded := a.Bounds()
	row := a.Row()
	if row == nil && !bounded {
		return nil
	}
	return rows(env.On, len(data), 1, func(from, to int) {
		d := data[from:to]
		if bounded {
			vec.Clip(env.On.Level, d, d, low, high)
			return
		}
		row(env.On.Level, d)
	})
}

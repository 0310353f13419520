package conv

import (
	"math"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/vec"
)

// Activation is what happens to each element before it is stored. The zero value
// changes nothing.
type Activation struct {
	kind   actKind
	lo, hi float32
	alpha  float32
	each   func(x []float32)
}

type actKind uint32

const (
	actNone actKind = iota
	actClip
	actLeaky
	actEach
)

// Relu is max(x, 0). NaN stays NaN.
func Relu() Activation { return Clip(0, float32(math.Inf(1))) }

// Clip is min(max(x, lo), hi). NaN stays NaN.
func Clip(lo, hi float32) Activation { return Activation{kind: actClip, lo: lo, hi: hi} }

// LeakyRelu is x, or alpha*x if x is negative.
func LeakyRelu(alpha float32) Activation { return Activation{kind: actLeaky, alpha: alpha} }

// Each is any function of single elements: it changes x in place, and is called
// on stretches of the finished output from several goroutines.
func Each(change func(x []float32)) Activation { return Activation{kind: actEach, each: change} }

// at is the activation of one element, except for Each.
func (a *Activation) at(x float32) float32 {
	switch a.kind {
	case actClip:
		if x < a.lo {
			x = a.lo
		}
		if x > a.hi {
			x = a.hi
		}
	case actLeaky:
		if x < 0 {
			x *= a.alpha
		}
	}
	return x
}

// finish applies a function to a stretch that is otherwise done.
func (a *Activation) finish(x []float32) {
	if a.kind == actEach {
		a.each(x)
	}
}

// apply changes a stretch in place.
func (a *Activation) apply(level kernel.Level, x []float32) {
	switch a.kind {
	case actClip:
		vec.Clip(level, x, x, a.lo, a.hi)
	case actLeaky:
		vec.LeakyRelu(level, x, x, a.alpha)
	case actEach:
		a.each(x)
	}
}

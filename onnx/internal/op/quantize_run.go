package op

import (
	"math"

	"github.com/blindbox/blindbox/onnx/internal/narrow"
	"github.com/blindbox/blindbox/onnx/internal/qgemm"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// stretches cuts the elements of an operand into runs of one length, in which the
// scale changes after every so many elements.
type stretches struct {
	length, every int
	base          func(run int) int // where the scales of a run begin
}

// stretches follows the three ways to give scales: one for all, one for each index of
// the axis, one for each block of indices and everything beside the axis.
func (o scaling) stretches(x, scale []int64, total int) stretches {
	if len(scale) == 0 || len(scale) == 1 && scale[0] == 1 {
		return stretches{total, total, func(int) int { return 0 }}
	}
	at, _ := axis(o.axis, len(x))
	n, inner := int(x[at]), int(countStack(x[at+1:]))
	block, blocks := int(o.block), 1
	if block > 0 {
		blocks = int(scale[at])
	}
	switch {
	case block == 0 && inner == 1:
		return stretches{n, 1, func(int) int { return 0 }}
	case block == 0:
		return stretches{inner, inner, func(run int) int { return run % n }}
	case inner == 1:
		return stretches{n, block, func(run int) int { return run * blocks }}
	}
	return stretches{inner, 1, func(run int) int { return (run/n*blocks + run%n/block) * inner }}
}

// each calls do for pieces of runs, of at most so many elements: where they begin among
// the elements, how many elements they have, where their scales begin and after how many
// elements the first one ends.
func (s stretches) each(env *Env, total, most int, do func(at, n, scale, first int)) error {
	return rows(env.On, total, 1, func(at, end int) {
		for at < end {
			run, i := at/s.length, at%s.length
			n := min(most, s.length-i, end-at)
			do(at, n, s.base(run)+i/s.every, s.every-i%s.every)
			at += n
		}
	})
}

// eachScale calls do for pieces in which the scale stays the same: where they begin and
// end among the elements, and which scale it is.
func (s stretches) eachScale(env *Env, total int, do func(from, to, scale int)) error {
	return s.each(env, total, stretch, func(at, n, scale, first int) {
		for end := at + n; at < end; scale++ {
			to := min(at+first, end)
			do(at, to, scale)
			at, first = to, s.every
		}
	})
}

// spread writes n of the scales that begin at, each as often as it is used.
func (s stretches) spread(dst []float32, t *tensor.Tensor, at, first int) {
	if first >= len(dst) {
		widen(dst[:1], t, at)
		for i := range dst {
			dst[i] = dst[0]
		}
		return
	}
	if s.every == 1 {
		widen(dst, t, at)
		return
	}
	for len(dst) > 0 {
		n := min(first, len(dst))
		s.spread(dst[:n], t, at, n)
		dst, at, first = dst[n:], at+1, s.every
	}
}

func (o quantize) Run(env *Env, in, out []*tensor.Tensor) error {
	x, scale, zero := in[0], in[1], operand(in, 2)
	s := o.stretches(x.Shape, scale.Shape, x.Len())
	precision := o.precision
	if precision == 0 {
		precision = scale.Type
	}
	low, high := rangeOf(out[0].Type)
	if s.every >= quantVector && x.Type == tensor.Float32 && scale.Type == tensor.Float32 && precision == tensor.Float32 {
		switch out[0].Type {
		case tensor.Uint8:
			return quantizeBytes[uint8](env, s, x, scale, zero, out[0])
		case tensor.Int8:
			return quantizeBytes[int8](env, s, x, scale, zero, out[0])
		}
	}
	return s.each(env, x.Len(), block, func(at, n, scaleAt, first int) {
		var values, scales, zeros [block]float32
		v, z := values[:n], zeros[:n]
		widen(v, x, at)
		s.spread(scales[:n], scale, scaleAt, first)
		for i := range v {
			v[i] /= scales[i]
		}
		round(v, precision)
		if zero != nil {
			s.spread(z, zero, scaleAt, first)
		}
		if high > 0 {
			toIntegers(v, z, low, high)
		} else {
			for i := range v {
				v[i] += z[i]
			}
		}
		narrowInto(out[0], at, v, o.saturate)
	})
}

// quantVector is how many elements must have one scale for vectors to be worth it.
const quantVector = 16

// quantizeBytes is the way of most models: float32 to 8 bits, and stretches with one
// scale.
func quantizeBytes[T uint8 | int8](env *Env, s stretches, x, scale, zero, y *tensor.Tensor) error {
	src, dst, factors := tensor.Data[float32](x), tensor.Data[T](y), tensor.Data[float32](scale)
	return s.eachScale(env, len(src), func(from, to, i int) {
		qgemm.Quantize(env.On.Level, dst[from:to], src[from:to], factors[i], quantAt[T](zero, i))
	})
}

// dequantizeBytes is the way back.
func dequantizeBytes[T uint8 | int8](env *Env, s stretches, x, scale, zero, y *tensor.Tensor) error {
	src, dst, factors := tensor.Data[T](x), tensor.Data[float32](y), tensor.Data[float32](scale)
	return s.eachScale(env, len(src), func(from, to, i int) {
		qgemm.Dequantize(env.On.Level, dst[from:to], src[from:to], factors[i], quantAt[T](zero, i))
	})
}

func quantAt[T tensor.Elem](t *tensor.Tensor, i int) (v T) {
	if t != nil {
		v = tensor.Data[T](t)[i]
	}
	return v
}

// round gives numbers the precision of a type, if that is less than float32's.
func round(v []float32, to tensor.DataType) {
	switch to {
	case tensor.Float16:
		for i, x := range v {
			v[i] = narrow.F16ToFloat32(narrow.F16FromFloat32(x))
		}
	case tensor.BFloat16:
		for i, x := range v {
			v[i] = narrow.BF16ToFloat32(narrow.BF16FromFloat32(x))
		}
	}
}

// toIntegers rounds to even, shifts, and holds the result to low..high. NaN becomes
// low: the specification leaves it open.
func toIntegers(v, zero []float32, low, high float32) {
	for i, x := range v {
		z := zero[i]
		if !(x > low-z) {
			x = low - z
		}
		if !(x < high-z) {
			x = high - z
		}
		v[i] = float32(math.RoundToEven(float64(x))) + z
	}
}

// rangeOf is the least and the greatest number of an integer type; 0 and 0 of others.
func rangeOf(t tensor.DataType) (low, high float32) {
	switch t {
	case tensor.Uint8:
		return 0, math.MaxUint8
	case tensor.Int8:
		return math.MinInt8, math.MaxInt8
	case tensor.Uint16:
		return 0, math.MaxUint16
	case tensor.Int16:
		return math.MinInt16, math.MaxInt16
	case tensor.Uint4:
		return 0, 15
	case tensor.Int4:
		return -8, 7
	case tensor.Uint2:
		return 0, 3
	case tensor.Int2:
		return -2, 1
	}
	return 0, 0
}

func (o dequantize) Run(env *Env, in, out []*tensor.Tensor) error {
	x, scale, zero := in[0], in[1], operand(in, 2)
	s := o.stretches(x.Shape, scale.Shape, x.Len())
	if s.every >= quantVector && scale.Type == tensor.Float32 && out[0].Type == tensor.Float32 {
		switch x.Type {
		case tensor.Uint8:
			return dequantizeBytes[uint8](env, s, x, scale, zero, out[0])
		case tensor.Int8:
			return dequantizeBytes[int8](env, s, x, scale, zero, out[0])
		}
	}
	return s.each(env, x.Len(), block, func(at, n, scaleAt, first int) {
		var values, scales, zeros [block]float32
		v, f, z := values[:n], scales[:n], zeros[:n]
		widen(v, x, at)
		s.spread(f, scale, scaleAt, first)
		if zero != nil {
			s.spread(z, zero, scaleAt, first)
		}
		for i := range v {
			v[i] = (v[i] - z[i]) * f[i]
		}
		narrowInto(out[0], at, v, false)
	})
}

// widen reads elements from a place on as float32.
func widen(dst []float32, t *tensor.Tensor, at int) {
	switch t.Type {
	case tensor.Float32:
		copy(dst, tensor.Data[float32](t)[at:])
	case tensor.Float16:
		narrow.Widen(dst, tensor.Data[tensor.F16](t)[at:])
	case tensor.BFloat16:
		narrow.Widen(dst, tensor.Data[tensor.BF16](t)[at:])
	case tensor.Uint8:
		widenIntegers(dst, tensor.Data[uint8](t)[at:])
	case tensor.Int8:
		widenIntegers(dst, tensor.Data[int8](t)[at:])
	case tensor.Uint16:
		widenIntegers(dst, tensor.Data[uint16](t)[at:])
	case tensor.Int16:
		widenIntegers(dst, tensor.Data[int16](t)[at:])
	case tensor.Int32:
		widenIntegers(dst, tensor.Data[int32](t)[at:])
	default:
		widenSmall(dst, t, at)
	}
}

func widenSmall(dst []float32, t *tensor.Tensor, at int) {
	switch t.Type {
	case tensor.Uint4:
		widenIntegers(dst, tensor.Data[tensor.U4](t)[at:])
	case tensor.Int4:
		widenIntegers(dst, tensor.Data[tensor.I4](t)[at:])
	case tensor.Uint2:
		widenIntegers(dst, tensor.Data[tensor.U2](t)[at:])
	case tensor.Int2:
		widenIntegers(dst, tensor.Data[tensor.I2](t)[at:])
	case tensor.Float8E4M3FN:
		narrow.Widen(dst, tensor.Data[tensor.E4M3](t)[at:])
	case tensor.Float8E4M3FNUZ:
		narrow.Widen(dst, tensor.Data[tensor.E4M3UZ](t)[at:])
	case tensor.Float8E5M2:
		narrow.Widen(dst, tensor.Data[tensor.E5M2](t)[at:])
	case tensor.Float8E5M2FNUZ:
		narrow.Widen(dst, tensor.Data[tensor.E5M2UZ](t)[at:])
	case tensor.Float4E2M1:
		narrow.Widen(dst, tensor.Data[tensor.E2M1](t)[at:])
	case tensor.Float8E8M0:
		for i, v := range tensor.Data[tensor.E8M0](t)[at:][:len(dst)] {
			dst[i] = float32(narrow.E8M0ToFloat64(v))
		}
	}
}

type quantInteger interface {
	uint8 | int8 | uint16 | int16 | int32 | tensor.U4 | tensor.I4 | tensor.U2 | tensor.I2
}

func widenIntegers[T quantInteger](dst []float32, src []T) {
	for i, v := range src[:len(dst)] {
		dst[i] = float32(v)
	}
}

// narrowInto writes numbers, which are integers in range if the type is one.
func narrowInto(t *tensor.Tensor, at int, v []float32, saturate bool) {
	switch t.Type {
	case tensor.Float32:
		copy(tensor.Data[float32](t)[at:], v)
	case tensor.Float16:
		narrow.Narrow(tensor.Data[tensor.F16](t)[at:][:len(v)], v, saturate)
	case tensor.BFloat16:
		narrow.Narrow(tensor.Data[tensor.BF16](t)[at:][:len(v)], v, saturate)
	case tensor.Uint8:
		narrowIntegers(tensor.Data[uint8](t)[at:], v)
	case tensor.Int8:
		narrowIntegers(tensor.Data[int8](t)[at:], v)
	case tensor.Uint16:
		narrowIntegers(tensor.Data[uint16](t)[at:], v)
	case tensor.Int16:
		narrowIntegers(tensor.Data[int16](t)[at:], v)
	default:
		narrowSmall(t, at, v, saturate)
	}
}

func narrowSmall(t *tensor.Tensor, at int, v []float32, saturate bool) {
	switch t.Type {
	case tensor.Uint4:
		narrowIntegers(tensor.Data[tensor.U4](t)[at:], v)
	case tensor.Int4:
		narrowIntegers(tensor.Data[tensor.I4](t)[at:], v)
	case tensor.Uint2:
		narrowIntegers(tensor.Data[tensor.U2](t)[at:], v)
	case tensor.Int2:
		narrowIntegers(tensor.Data[tensor.I2](t)[at:], v)
	case tensor.Float8E4M3FN:
		narrow.Narrow(tensor.Data[tensor.E4M3](t)[at:][:len(v)], v, saturate)
	case tensor.Float8E4M3FNUZ:
		narrow.Narrow(tensor.Data[tensor.E4M3UZ](t)[at:][:len(v)], v, saturate)
	case tensor.Float8E5M2:
		narrow.Narrow(tensor.Data[tensor.E5M2](t)[at:][:len(v)], v, saturate)
	case tensor.Float8E5M2FNUZ:
		narrow.Narrow(tensor.Data[tensor.E5M2UZ](t)[at:][:len(v)], v, saturate)
	case tensor.Float4E2M1:
		narrow.Narrow(tensor.Data[tensor.E2M1](t)[at:][:len(v)], v, saturate)
	}
}

func narrowIntegers[T quantInteger](dst []T, v []float32) {
	dst = dst[:len(v)]
	for i, x := range v {
		dst[i] = T(int32(x))
	}
}

package pipeline

import (
	"context"
	"math"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// floating says whether steps can work on elements of a type: as float32, which holds all
// of the smaller ones exactly and rounds float64.
func floating(t tensor.DataType) bool {
	switch t {
	case tensor.Float32, tensor.Float16, tensor.BFloat16, tensor.Float64:
		return true
	}
	return false
}

// widened is a tensor of a floating type in float32; t itself if it is that already.
func widened(ctx context.Context, t *tensor.Tensor) (*tensor.Tensor, error) {
	switch t.Type {
	case tensor.Float16:
		return convert(ctx, t, half)
	case tensor.BFloat16:
		return convert(ctx, t, func(v tensor.BF16) float32 { return math.Float32frombits(uint32(v) << 16) })
	case tensor.Float64:
		return convert(ctx, t, func(v float64) float32 { return float32(v) })
	}
	return t, nil
}

func convert[T tensor.Elem](ctx context.Context, t *tensor.Tensor, to func(T) float32) (*tensor.Tensor, error) {
	from := tensor.Data[T](t)
	out := make([]float32, len(from))
	for i, v := range from {
		if i%(1<<18) == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		out[i] = to(v)
	}
	return tensor.Of(out, t.Shape...), nil
}

// half reads IEEE 754 binary16: a sign, five bits of exponent, ten of fraction.
func half(h tensor.F16) float32 {
	sign, exponent, fraction := uint32(h>>15)<<31, uint32(h>>10)&31, uint32(h)&1023
	switch exponent {
	case 0: // too small for a leading one
		return math.Float32frombits(sign | math.Float32bits(float32(fraction)*0x1p-24))
	case 31: // infinite, or no number
		return math.Float32frombits(sign | 255<<23 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}

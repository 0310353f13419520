package op

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

func randomBytes[T int8 | uint8](rng *rand.Rand, shape ...int64) *tensor.Tensor {
	t := tensor.Of(make([]T, countStack(shape)), shape...)
	for i := range tensor.Data[T](t) {
		tensor.Data[T](t)[i] = T(rng.IntN(256))
	}
	return t
}

// TestIntegerProjections: each product is that of MatMulIntegerToFloat,
// to the bit, whatever is packed and whatever is missing.
func TestIntegerProjections(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	for _, level := range kernel.Levels() {
		for i := range 24 {
			shape := [][]int64{{5, 12}, {2, 3, 40}, {1, 12}, {70, 9}}[i%4]
			in := randomIntegerProjections(rng, shape)
			o := NewIntegerProjections((len(in) - 3) / 4)
			want := integersBeside(t, level, o, in)
			infos, err := o.Infer(infosOf(in))
			if err != nil {
				t.Fatal(err)
			}
			if err := agreesWithLess(o, in, []*tensor.Tensor{want}); err != nil {
				t.Fatal(err)
			}
			for _, threads := range []int{1, 3} {
				on := &kernel.On{Level: level, Threads: threads}
				for _, known := range []func(int) bool{
					func(int) bool { return false }, func(int) bool { return true },
					func(i int) bool { return i != 3 }, func(i int) bool { return i < 7 },
				} {
					packed, rest := packIntegers(t, level, o, in, known)
					sameBits(t, fmt.Sprintf("%s, %v, %d threads", level, shape, threads), runProjections(t, on, packed, rest, infos), want)
				}
			}
		}
	}
}

// randomIntegerProjections is the operands of two or three products.
func randomIntegerProjections(rng *rand.Rand, shape []int64) []*tensor.Tensor {
	in := []*tensor.Tensor{randomBytes[uint8](rng, shape...), tensor.Scalar(rng.Float32()), nil}
	if rng.IntN(2) == 0 {
		in[2] = tensor.Scalar(uint8(rng.IntN(256)))
	}
	for range 2 + rng.IntN(2) {
		k, n := shape[len(shape)-1], 1+rng.Int64N(70)
		scale, zero, bias := randomFloats(rng, n), randomBytes[int8](rng, n), randomFloats(rng, n)
		if rng.IntN(2) == 0 {
			scale = tensor.Scalar(rng.Float32())
		}
		if rng.IntN(2) == 0 {
			zero = nil
		}
		if rng.IntN(2) == 0 {
			bias = nil
		}
		in = append(in, randomBytes[int8](rng, k, n), scale, zero, bias)
	}
	return in
}

// integersBeside computes the products one by one.
func integersBeside(t *testing.T, level kernel.Level, o *IntegerProjections, in []*tensor.Tensor) *tensor.Tensor {
	t.Helper()
	var parts []*tensor.Tensor
	for i := range o.parts {
		out, err := computeOn(&kernel.On{Level: level}, "com.microsoft:MatMulIntegerToFloat", 1, nil, 1, chosen(in, o.places(i))...)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, out[0])
	}
	return following(parts)
}

// packIntegers packs what is known, and gives the operands that are left.
func packIntegers(t *testing.T, level kernel.Level, o *IntegerProjections, in []*tensor.Tensor, known func(i int) bool) (Operator, []*tensor.Tensor) {
	t.Helper()
	in = slices.Clone(in)
	packed, unread, err := o.Pack(&kernel.On{Level: level}, func(i int) *tensor.Tensor {
		if !known(i) {
			return nil
		}
		return in[i]
	}, infosOf(in))
	if err != nil {
		t.Fatal(err)
	}
	if packed == nil {
		return o, in
	}
	for _, i := range unread {
		in[i] = nil
	}
	return packed, in
}

// TestIntegerProjectionsRefuse: what belongs to A is one number.
func TestIntegerProjectionsRefuse(t *testing.T) {
	one, b := tensor.Scalar[float32](1), counted[int8](12, 3)
	for name, in := range map[string][]*tensor.Tensor{
		"scales of rows": {counted[uint8](5, 12), counted[float32](5), nil, b, one, nil, nil, b, one, nil, nil},
		"zeros of rows":  {counted[uint8](5, 12), one, counted[uint8](5), b, one, nil, nil, b, one, nil, nil},
		"a stack":        {counted[uint8](5, 12), one, nil, b, one, nil, nil, counted[int8](2, 12, 3), one, nil, nil},
		"other rows":     {counted[uint8](5, 12), one, nil, b, one, nil, nil, counted[int8](11, 3), one, nil, nil},
		"other bias":     {counted[uint8](5, 12), one, nil, b, one, nil, nil, b, one, nil, counted[float32](4)},
		"floats":         {counted[float32](5, 12), one, nil, b, one, nil, nil, b, one, nil, nil},
	} {
		if out, err := NewIntegerProjections(2).Infer(infosOf(in)); err == nil {
			t.Errorf("%s: gives %v", name, out)
		}
	}
}

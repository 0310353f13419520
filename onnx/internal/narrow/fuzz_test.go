package narrow

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// FuzzNarrow rounds any numbers to every type: what slices give is what single numbers
// give, no nearer code would have done, and what is read again rounds to itself.
func FuzzNarrow(f *testing.F) {
	f.Add([]byte{0, 0, 128, 63, 0, 0, 192, 255, 1, 0, 0, 0, 255, 255, 127, 127}, false)
	f.Add([]byte{0, 0, 128, 127, 0, 224, 127, 71, 0, 0, 0, 51, 1, 0, 0, 128}, true)
	f.Fuzz(func(t *testing.T, data []byte, saturate bool) {
		src := make([]float32, min(len(data)/4, 100))
		for i := range src {
			src[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		}
		fuzzType[tensor.F16](t, src, saturate, 1<<16)
		fuzzType[tensor.BF16](t, src, saturate, 1<<16)
		fuzzType[tensor.E4M3](t, src, saturate, 1<<8)
		fuzzType[tensor.E4M3UZ](t, src, saturate, 1<<8)
		fuzzType[tensor.E5M2](t, src, saturate, 1<<8)
		fuzzType[tensor.E5M2UZ](t, src, saturate, 1<<8)
		fuzzType[tensor.E2M1](t, src, saturate, 1<<4)
	})
}

func fuzzType[T Float](t *testing.T, src []float32, saturate bool, codes uint64) {
	t.Helper()
	list, back := make([]T, len(src)), make([]float32, len(src))
	Narrow(list, src, saturate)
	Widen(back, list)
	for i, x := range src {
		if want := Encode[T](float64(x), saturate); list[i] != want && !isHalf[T]() {
			t.Fatalf("%T of %v: got %#x, want %#x", want, x, list[i], want)
		}
		if want := Decode(list[i]); !same(float64(back[i]), want) {
			t.Fatalf("%T %#x: got %v, want %v", list[i], list[i], back[i], want)
		}
		if again := Encode[T](Decode(list[i]), saturate); back[i] == back[i] && Decode(again) != Decode(list[i]) && !math.IsInf(float64(back[i]), 0) {
			t.Fatalf("%T %#x: is %#x when it is rounded again", again, list[i], again)
		}
		checkNearest(t, x, list[i], codes)
	}
}

// isHalf: these do not saturate as slices, and their NaN keep their sign.
func isHalf[T Float]() bool {
	switch any(*new(T)).(type) {
	case tensor.F16, tensor.BF16:
		return true
	}
	return false
}

// checkNearest looks at the neighbours of a code, up and down.
func checkNearest[T Float](t *testing.T, x float32, code T, codes uint64) {
	t.Helper()
	got, v := Decode(code), float64(x)
	if got != got || math.IsInf(got, 0) || v != v || math.IsInf(v, 0) {
		return
	}
	for _, d := range []uint64{1, codes - 1} {
		other := Decode(T((uint64(code) + d) % codes))
		if math.Abs(other-v) < math.Abs(got-v) {
			t.Fatalf("%T: %v became %v, and %v is nearer", code, x, got, other)
		}
	}
}

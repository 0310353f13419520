package vec

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// sameAtEachLevel runs a conversion at each level, whole and in parts, and
// compares with portable Go.
func sameAtEachLevel[D comparable, S any](t *testing.T, name string, src []S, run func(level kernel.Level, dst []D, src []S)) {
	t.Helper()
	want := make([]D, len(src))
	run(kernel.Portable, want, src)
	for _, level := range kernel.Levels() {
		got := make([]D, len(src))
		run(level, got, src)
		for n := range 40 {
			run(level, got[n*7:n*8], src[n*7:n*8])
		}
		if i := differing(got, want); i >= 0 {
			t.Errorf("%s, %v: %v gives %v, want %v", name, level, src[i], got[i], want[i])
		}
	}
}

// differing is an index at which a and b differ, but for NaN; -1: none.
func differing[D comparable](a, b []D) int {
	for i, x := range a {
		if x != b[i] && (x == x || b[i] == b[i]) {
			return i
		}
	}
	return -1
}

func bits16() []uint16 {
	all := make([]uint16, 1<<16)
	for i := range all {
		all[i] = uint16(i)
	}
	return all
}

func TestConversionsAgree(t *testing.T) {
	floats := samples(1<<14 + 3)
	sameAtEachLevel(t, "FromFloat16", bits16(), FromFloat16)
	sameAtEachLevel(t, "FromBfloat16", bits16(), FromBfloat16)
	sameAtEachLevel(t, "ToFloat16", floats, ToFloat16)
	sameAtEachLevel(t, "ToBfloat16", floats, ToBfloat16)
	sameAtEachLevel(t, "ToInt32", floats, ToInt32)
	sameAtEachLevel(t, "ToInt64", floats, ToInt64)
	var longs []int64
	var ints []int32
	for _, x := range floats {
		ints, longs = append(ints, int32(math.Float32bits(x))), append(longs, int64(math.Float32bits(x))*0x1234567)
	}
	sameAtEachLevel(t, "FromInt32", ints, FromInt32)
	sameAtEachLevel(t, "FromInt64", longs, FromInt64)
}

func TestQuantization(t *testing.T) {
	floats := samples(1<<14 + 3)
	bytes, signed := make([]uint8, 1024), make([]int8, 1024)
	for i := range bytes {
		bytes[i], signed[i] = uint8(i), int8(i)
	}
	for _, scale := range []float32{1, 0.02, 3.7e10} {
		for _, zero := range []int8{-128, -3, 0, 127} {
			name := fmt.Sprintf("scale %g, zero %d", scale, zero)
			sameAtEachLevel(t, name, floats, func(level kernel.Level, dst []int8, src []float32) {
				QuantizeInt8(level, dst, src, scale, zero)
			})
			sameAtEachLevel(t, name, floats, func(level kernel.Level, dst []uint8, src []float32) {
				QuantizeUint8(level, dst, src, scale, uint8(zero))
			})
			sameAtEachLevel(t, name, signed, func(level kernel.Level, dst []float32, src []int8) {
				DequantizeInt8(level, dst, src, scale, zero)
			})
			sameAtEachLevel(t, name, bytes, func(level kernel.Level, dst []float32, src []uint8) {
				DequantizeUint8(level, dst, src, scale, uint8(zero))
			})
		}
	}
	nan := float32(math.NaN())
	got := make([]int8, 8)
	QuantizeInt8(kernel.Portable, got, []float32{0.5, 1.5, 2.5, -0.5, 1e30, -1e30, nan, 100}, 1, 1)
	if want := []int8{1, 3, 3, 1, 127, -128, -128, 101}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestHalfPrecisionRounds: every number in half precision survives, and the
// points between two round to the nearer one or to the even one.
func TestHalfPrecisionRounds(t *testing.T) {
	for h := uint16(0); h < 0x7c00; h++ {
		low, high := half(h), half(h+1)
		if h == 0x7bff {
			high = 65536
		}
		middle := (low + high) / 2
		even := h + h&1
		for x, want := range map[float32]uint16{
			low: h, middle: even, math.Nextafter32(middle, 0): h, math.Nextafter32(middle, high): h + 1,
		} {
			if got := toHalf(x); got != want {
				t.Fatalf("%g becomes %#x, want %#x", x, got, want)
			}
			if got := toHalf(-x); got != want|0x8000 {
				t.Fatalf("%g becomes %#x, want %#x", -x, got, want|0x8000)
			}
		}
	}
	for bits, want := range map[uint16]float64{0x3c00: 1, 0xc000: -2, 0x7bff: 65504, 1: 0x1p-24, 0x0400: 0x1p-14} {
		if got := half(bits); float64(got) != want {
			t.Errorf("%#x is %g, want %g", bits, got, want)
		}
	}
}

func TestBfloat16Rounds(t *testing.T) {
	for x, want := range map[uint32]uint16{
		0x3f800000: 0x3f80, 0x3f808000: 0x3f80, 0x3f808001: 0x3f81, 0x3f818000: 0x3f82,
		0x7f7fffff: 0x7f80, 0x7f800001: 0x7fc0, 0xff800000: 0xff80, 0x00000001: 0,
	} {
		got := make([]uint16, 1)
		ToBfloat16(kernel.Portable, got, []float32{math.Float32frombits(x)})
		if got[0] != want {
			t.Errorf("%#x becomes %#x, want %#x", x, got[0], want)
		}
	}
}

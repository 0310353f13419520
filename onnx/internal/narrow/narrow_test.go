package narrow

import (
	"math"
	"testing"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// number reads a code by the formula of the formats: an oracle that shares nothing
// with the package. special says which codes are not finite.
func number(code uint64, exponentBits, fractionBits, bias int) float64 {
	fraction := float64(code & (1<<fractionBits - 1))
	exponent := int(code >> fractionBits & (1<<exponentBits - 1))
	x := (1 + fraction/math.Pow(2, float64(fractionBits))) * math.Pow(2, float64(exponent-bias))
	if exponent == 0 {
		x = fraction / math.Pow(2, float64(fractionBits)) * math.Pow(2, float64(1-bias))
	}
	if code>>(exponentBits+fractionBits)&1 == 1 {
		return -x
	}
	return x
}

// same compares bits, but takes every NaN for the same.
func same(a, b float64) bool {
	return math.Float64bits(a) == math.Float64bits(b) || a != a && b != b
}

type layout struct{ exponent, fraction, bias int }

// checkFormat walks all codes of a type. top is its largest finite code; special
// says what codes above it, or the sign alone, stand for.
func checkFormat[T Float](t *testing.T, l layout, top uint64, special func(code uint64) float64) {
	t.Helper()
	width := 1 + l.exponent + l.fraction
	signBit := uint64(1) << (width - 1)
	for code := range uint64(1) << width {
		want := number(code, l.exponent, l.fraction, l.bias)
		if code == signBit {
			want = math.Copysign(0, -1)
		}
		if size := code &^ signBit; size > top || special(code) != 0 {
			want = special(code)
		}
		got := Decode(T(code))
		if !same(got, want) {
			t.Fatalf("code %#x: got %v, want %v", code, got, want)
		}
		if got == got && Encode[T](got, false) != T(code) {
			t.Fatalf("%v: got code %#x, want %#x", got, Encode[T](got, false), code)
		}
	}
	// Between two neighbours: the middle goes to the even code, all else to the nearer.
	for code := range top {
		low, high := number(code, l.exponent, l.fraction, l.bias), number(code+1, l.exponent, l.fraction, l.bias)
		middle := (low + high) / 2
		checkEncode(t, math.Nextafter(middle, 0), T(code))
		checkEncode(t, middle, T(code+code&1))
		checkEncode(t, math.Nextafter(middle, high), T(code+1))
	}
}

func checkEncode[T Float](t *testing.T, x float64, want T) {
	t.Helper()
	for _, saturate := range []bool{false, true} {
		if got := Encode[T](x, saturate); got != want {
			t.Fatalf("%v: got %#x, want %#x", x, got, want)
		}
	}
	if neg := Encode[T](-x, false); want != 0 && Decode(neg) != -Decode(want) {
		t.Fatalf("%v: got %#x", -x, neg)
	}
}

func TestEveryCode(t *testing.T) {
	none := func(uint64) float64 { return 0 }
	ieee := func(infinity, sign uint64) func(uint64) float64 {
		return func(code uint64) float64 {
			switch {
			case code == infinity:
				return math.Inf(1)
			case code == infinity|sign:
				return math.Inf(-1)
			case code&^sign > infinity:
				return math.NaN()
			}
			return 0
		}
	}
	only := func(nan uint64) func(uint64) float64 {
		return func(code uint64) float64 {
			if code == nan {
				return math.NaN()
			}
			return 0
		}
	}
	checkFormat[tensor.F16](t, layout{5, 10, 15}, 0x7bff, ieee(0x7c00, 0x8000))
	checkFormat[tensor.BF16](t, layout{8, 7, 127}, 0x7f7f, ieee(0x7f80, 0x8000))
	checkFormat[tensor.E5M2](t, layout{5, 2, 15}, 0x7b, ieee(0x7c, 0x80))
	checkFormat[tensor.E4M3](t, layout{4, 3, 7}, 0x7e, func(code uint64) float64 { return only(0x7f)(code & 0x7f) })
	checkFormat[tensor.E4M3UZ](t, layout{4, 3, 8}, 0x7f, only(0x80))
	checkFormat[tensor.E5M2UZ](t, layout{5, 2, 16}, 0x7f, only(0x80))
	checkFormat[tensor.E2M1](t, layout{2, 1, 1}, 7, none)
}

// beyond is a row of the specification's tables of Cast.
type beyond struct {
	x               float64
	saturated, open uint64
}

func checkBeyond[T Float](t *testing.T, rows ...beyond) {
	t.Helper()
	for _, r := range rows {
		if got := Encode[T](r.x, true); got != T(r.saturated) {
			t.Errorf("%T of %v, saturated: got %#x, want %#x", got, r.x, got, r.saturated)
		}
		if got := Encode[T](r.x, false); got != T(r.open) {
			t.Errorf("%T of %v: got %#x, want %#x", got, r.x, got, r.open)
		}
	}
}

func TestBeyondTheLargest(t *testing.T) {
	inf, nan, zero := math.Inf(1), math.NaN(), math.Copysign(0, -1)
	nan = math.Copysign(nan, 1)
	checkBeyond[tensor.E4M3](t, beyond{nan, 0x7f, 0x7f}, beyond{-inf, 0xfe, 0xff}, beyond{inf, 0x7e, 0x7f}, beyond{464, 0x7e, 0x7e},
		beyond{464.1, 0x7e, 0x7f}, beyond{-1e6, 0xfe, 0xff}, beyond{zero, 0x80, 0x80}, beyond{math.Copysign(nan, -1), 0xff, 0xff})
	checkBeyond[tensor.E4M3UZ](t, beyond{nan, 0x80, 0x80}, beyond{-inf, 0xff, 0x80}, beyond{inf, 0x7f, 0x80}, beyond{248, 0x7f, 0x80},
		beyond{247.9, 0x7f, 0x7f}, beyond{zero, 0, 0}, beyond{-1e-9, 0, 0})
	checkBeyond[tensor.E5M2](t, beyond{nan, 0x7e, 0x7e}, beyond{-inf, 0xfb, 0xfc}, beyond{inf, 0x7b, 0x7c}, beyond{61440, 0x7b, 0x7c},
		beyond{61439, 0x7b, 0x7b}, beyond{zero, 0x80, 0x80}, beyond{-1e-9, 0x80, 0x80})
	checkBeyond[tensor.E5M2UZ](t, beyond{nan, 0x80, 0x80}, beyond{-inf, 0xff, 0x80}, beyond{1e300, 0x7f, 0x80}, beyond{zero, 0, 0})
	checkBeyond[tensor.E2M1](t, beyond{nan, 8, 8}, beyond{math.Copysign(nan, -1), 0, 0}, beyond{-inf, 15, 15}, beyond{9, 7, 7}, beyond{zero, 8, 8})
	checkBeyond[tensor.F16](t, beyond{nan, 0x7e00, 0x7e00}, beyond{-inf, 0xfc00, 0xfc00}, beyond{65520, 0x7c00, 0x7c00}, beyond{65519.99, 0x7bff, 0x7bff})
	checkBeyond[tensor.BF16](t, beyond{nan, 0x7fc0, 0x7fc0}, beyond{-1e300, 0xff80, 0xff80}, beyond{zero, 0x8000, 0x8000})
}

// TestOneRounding: by way of float32, this number would become the next code.
func TestOneRounding(t *testing.T) {
	x := 1 + 0x1p-11 + 0x1p-40
	if got := F16FromFloat64(x); got != 0x3c01 {
		t.Errorf("got %#x", got)
	}
	if got := F16FromFloat32(float32(x)); got != 0x3c00 {
		t.Errorf("by way of float32: got %#x", got)
	}
}

// around gives every number that is a code or lies in the middle of two, and its
// neighbours in float32.
func around[T Float](do func(x float32)) {
	for code := range 1 << 16 {
		x, y := float32(Decode(T(code))), float32(Decode(T(code+1)))
		for _, v := range []float32{x, x + (y-x)/2} {
			do(math.Nextafter32(v, -math.MaxFloat32))
			do(v)
			do(math.Nextafter32(v, math.MaxFloat32))
		}
	}
}

func TestHalvesAgreeWithTheFormats(t *testing.T) {
	around[tensor.F16](func(x float32) {
		if got, want := F16FromFloat32(x), Encode[tensor.F16](float64(x), false); got != want {
			t.Fatalf("float16 of %v: got %#x, want %#x", x, got, want)
		}
	})
	around[tensor.BF16](func(x float32) {
		if got, want := BF16FromFloat32(x), Encode[tensor.BF16](float64(x), false); got != want {
			t.Fatalf("bfloat16 of %v: got %#x, want %#x", x, got, want)
		}
		if got, want := BF16FromFloat64(float64(x)), BF16FromFloat32(x); got != want {
			t.Fatalf("bfloat16 of %v: got %#x, want %#x", x, got, want)
		}
	})
	for code := range 1 << 16 {
		if got, want := F16ToFloat32(tensor.F16(code)), Decode(tensor.F16(code)); !same(float64(got), want) {
			t.Fatalf("float16 %#x: got %v, want %v", code, got, want)
		}
		if got, want := BF16ToFloat32(tensor.BF16(code)), Decode(tensor.BF16(code)); !same(float64(got), want) {
			t.Fatalf("bfloat16 %#x: got %v, want %v", code, got, want)
		}
	}
}

func checkSlices[T Float](t *testing.T) {
	t.Helper()
	src := []float32{0, 1, -1.5, 3.25, 1e9, float32(math.Inf(-1)), 1e-9}
	for _, saturate := range []bool{false, true} {
		codes := make([]T, len(src))
		Narrow(codes, src, saturate)
		back := make([]float32, len(src))
		Widen(back, codes)
		for i, x := range src {
			if want := Encode[T](float64(x), saturate); codes[i] != want {
				t.Errorf("%T of %v: got %#x, want %#x", want, x, codes[i], want)
			}
			if want := Decode(codes[i]); !same(float64(back[i]), want) {
				t.Errorf("%T %#x: got %v, want %v", codes[i], codes[i], back[i], want)
			}
		}
	}
}

func TestSlices(t *testing.T) {
	checkSlices[tensor.F16](t)
	checkSlices[tensor.BF16](t)
	checkSlices[tensor.E4M3](t)
	checkSlices[tensor.E4M3UZ](t)
	checkSlices[tensor.E5M2](t)
	checkSlices[tensor.E5M2UZ](t)
	checkSlices[tensor.E2M1](t)
}

func TestE8M0(t *testing.T) {
	for code := range tensor.E8M0(nanE8M0) {
		x := math.Pow(2, float64(code)-127)
		if got := E8M0ToFloat64(code); got != x {
			t.Fatalf("code %d: got %v, want %v", code, got, x)
		}
		for _, mode := range []Rounding{Up, Down, Nearest} {
			if got := E8M0FromFloat64(x, false, mode); got != code {
				t.Fatalf("%v: got %d, want %d", x, got, code)
			}
		}
	}
	if !math.IsNaN(E8M0ToFloat64(nanE8M0)) {
		t.Error("code 255 must be NaN")
	}
	rows := []struct {
		x               float64
		mode            Rounding
		saturated, open tensor.E8M0
	}{
		{0, Up, 0, 255}, {math.NaN(), Up, 255, 255}, {math.Inf(1), Up, 254, 255}, {-1, Up, 255, 255},
		{0x1p127 * 1.1, Up, 254, 255}, {0x1p127 * 1.1, Down, 254, 254}, {0x1p-129, Up, 0, 255}, {0x1p-128 * 1.1, Up, 0, 0},
		{1.1, Up, 128, 128}, {1.9, Down, 127, 127}, {1.5, Nearest, 128, 128}, {1.49, Nearest, 127, 127}, {0.124, Up, 124, 124},
	}
	for _, r := range rows {
		if got := E8M0FromFloat64(r.x, true, r.mode); got != r.saturated {
			t.Errorf("%v, saturated: got %d, want %d", r.x, got, r.saturated)
		}
		if got := E8M0FromFloat64(r.x, false, r.mode); got != r.open {
			t.Errorf("%v: got %d, want %d", r.x, got, r.open)
		}
	}
}

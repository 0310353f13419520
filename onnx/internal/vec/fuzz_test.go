package vec

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// FuzzLevels compares each level with float64 on any numbers.
func FuzzLevels(f *testing.F) {
	f.Add([]byte{0, 0, 128, 63, 0, 0, 192, 255})
	f.Add(make([]byte, 300))
	f.Fuzz(func(t *testing.T, data []byte) {
		src := anyFloats(data, 200)
		dst := make([]float32, len(src))
		for _, level := range kernel.Levels() {
			for _, c := range unaryCases {
				c.run(level, dst, src)
				for i, x := range src {
					if e := off(c, dst[i], c.want(float64(x))); e > 1 {
						t.Errorf("%s, %v: %g of the bound at %g: got %g", c.name, level, e, x, dst[i])
					}
				}
			}
		}
	})
}

// anyFloats are the bits that a fuzzer chose.
func anyFloats(data []byte, most int) []float32 {
	out := make([]float32, min(len(data)/4, most))
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return out
}

// FuzzBinary: with any two numbers all levels give the same bits, but for those of NaN.
func FuzzBinary(f *testing.F) {
	f.Add([]byte{0, 0, 128, 63, 0, 0, 192, 255, 1, 0, 0, 128, 0, 0, 128, 127}, float32(0.5))
	f.Add(make([]byte, 500), float32(math.Inf(1)))
	f.Fuzz(func(t *testing.T, data []byte, s float32) {
		all := anyFloats(data, 300)
		n := len(all) / 2
		a, b := all[:n], all[n:2*n]
		two := map[string]func(kernel.Level, []float32, []float32, []float32){"Add": Add, "Sub": Sub, "Mul": Mul, "Div": Div, "Max": Max, "Min": Min, "AddRelu": AddRelu}
		for name, run := range two {
			atEachLevel(t, name, n, func(l kernel.Level, dst []float32) { run(l, dst, a, b) })
		}
		one := map[string]func(kernel.Level, []float32, []float32, float32){"AddScalar": AddScalar, "SubScalar": SubScalar, "MulScalar": MulScalar, "DivScalar": DivScalar, "MaxScalar": MaxScalar, "MinScalar": MinScalar}
		for name, run := range one {
			atEachLevel(t, name, n, func(l kernel.Level, dst []float32) { run(l, dst, a, s) })
		}
		atEachLevel(t, "ScalarSub", n, func(l kernel.Level, dst []float32) { ScalarSub(l, dst, s, a) })
		atEachLevel(t, "ScalarDiv", n, func(l kernel.Level, dst []float32) { ScalarDiv(l, dst, s, a) })
	})
}

func atEachLevel[D comparable](t *testing.T, name string, n int, run func(kernel.Level, []D)) {
	t.Helper()
	want := make([]D, n)
	run(kernel.Portable, want)
	for _, level := range kernel.Levels() {
		got := make([]D, n)
		run(level, got)
		if i := differing(got, want); i >= 0 {
			t.Fatalf("%s, %v: element %d of %d is %v, in portable Go %v", name, level, i, n, got[i], want[i])
		}
	}
}

// FuzzConvert: every conversion gives the same at each level, for any bits.
func FuzzConvert(f *testing.F) {
	f.Add([]byte{0, 0, 128, 63, 0, 0, 192, 255, 1, 0, 0, 128, 0, 0, 128, 127}, float32(0.5), uint8(3))
	f.Add(make([]byte, 500), float32(-1), uint8(255))
	f.Fuzz(func(t *testing.T, data []byte, scale float32, zero uint8) {
		src := anyFloats(data, 300)
		n := len(src)
		ints, longs, halves, bytes := make([]int32, n), make([]int64, n), make([]uint16, n), make([]int8, n)
		for i, x := range src {
			ints[i], halves[i], bytes[i] = int32(math.Float32bits(x)), uint16(math.Float32bits(x)), int8(math.Float32bits(x))
			longs[i] = int64(math.Float32bits(x)) << (i % 33)
		}
		atEachLevel(t, "FromFloat16", n, func(l kernel.Level, dst []float32) { FromFloat16(l, dst, halves) })
		atEachLevel(t, "FromBfloat16", n, func(l kernel.Level, dst []float32) { FromBfloat16(l, dst, halves) })
		atEachLevel(t, "FromInt32", n, func(l kernel.Level, dst []float32) { FromInt32(l, dst, ints) })
		atEachLevel(t, "FromInt64", n, func(l kernel.Level, dst []float32) { FromInt64(l, dst, longs) })
		atEachLevel(t, "ToFloat16", n, func(l kernel.Level, dst []uint16) { ToFloat16(l, dst, src) })
		atEachLevel(t, "ToBfloat16", n, func(l kernel.Level, dst []uint16) { ToBfloat16(l, dst, src) })
		atEachLevel(t, "ToInt32", n, func(l kernel.Level, dst []int32) { ToInt32(l, dst, src) })
		atEachLevel(t, "ToInt64", n, func(l kernel.Level, dst []int64) { ToInt64(l, dst, src) })
		atEachLevel(t, "DequantizeInt8", n, func(l kernel.Level, dst []float32) { DequantizeInt8(l, dst, bytes, scale, int8(zero)) })
		atEachLevel(t, "QuantizeInt8", n, func(l kernel.Level, dst []int8) { QuantizeInt8(l, dst, src, scale, int8(zero)) })
		atEachLevel(t, "QuantizeUint8", n, func(l kernel.Level, dst []uint8) { QuantizeUint8(l, dst, src, scale, zero) })
	})
}

// FuzzRows compares what looks at whole rows with portable Go: the largest and smallest
// exactly, the others within what the order of sums allows, and as numbers or none.
func FuzzRows(f *testing.F) {
	f.Add([]byte{0, 0, 128, 63, 0, 0, 192, 255, 1, 0, 0, 128, 0, 0, 128, 127}, uint8(3))
	f.Add(make([]byte, 700), uint8(17))
	f.Fuzz(func(t *testing.T, data []byte, width uint8) {
		src := anyFloats(data, 400)
		n := 1 + int(width)%80
		rows := len(src) / n
		if src = src[:rows*n]; rows == 0 {
			return
		}
		atEachLevel(t, "MaxRow", rows, func(l kernel.Level, dst []float32) { MaxRow(l, dst, src, n) })
		atEachLevel(t, "MinRow", rows, func(l kernel.Level, dst []float32) { MinRow(l, dst, src, n) })
		for _, last := range []bool{false, true} {
			atEachLevel(t, "ArgMax", rows, func(l kernel.Level, dst []int64) { ArgMax(l, dst, src, n, last) })
			atEachLevel(t, "ArgMin", rows, func(l kernel.Level, dst []int64) { ArgMin(l, dst, src, n, last) })
		}
		most := 0.0
		for i, x := range src { // sums of squares that do not run over
			if x == x && (x > 1e9 || x < -1e9) && !math.IsInf(float64(x), 0) {
				src[i] = 1e9
			}
			if size := math.Abs(float64(src[i])); size <= 1e9 {
				most = math.Max(most, size)
			}
		}
		nearAtEachLevel(t, "Softmax", rows*n, 1e-6, func(l kernel.Level, dst []float32) { Softmax(l, dst, src, rows, n) })
		nearAtEachLevel(t, "LogSoftmax", rows*n, 1e-5+1e-6*most, func(l kernel.Level, dst []float32) { LogSoftmax(l, dst, src, rows, n) })
		nearAtEachLevel(t, "Sum", rows, 1e-6*most*float64(n), func(l kernel.Level, dst []float32) { Sum(l, dst, src, n) })
		nearAtEachLevel(t, "SumOfSquares", rows, 0, func(l kernel.Level, dst []float32) { SumOfSquares(l, dst, src, n) })
		nearAtEachLevel(t, "Mean", rows, 1e-6*most, func(l kernel.Level, dst []float32) { Mean(l, dst, src, n) })
	})
}

// nearAtEachLevel compares with portable Go's results, which may be off by most and by a
// part of themselves.
func nearAtEachLevel(t *testing.T, name string, size int, most float64, run func(kernel.Level, []float32)) {
	t.Helper()
	want := make([]float32, size)
	run(kernel.Portable, want)
	for _, level := range kernel.Levels() {
		got := make([]float32, size)
		run(level, got)
		for i, w := range want {
			g, x := float64(got[i]), float64(w)
			switch {
			case got[i] == w || got[i] != got[i] && w != w:
			case math.IsInf(g, 0) || math.IsInf(x, 0) || !(math.Abs(g-x) <= most+1e-5*math.Abs(x)+1e-37):
				t.Fatalf("%s, %v: element %d is %g, in portable Go %g", name, level, i, g, x)
			}
		}
	}
}

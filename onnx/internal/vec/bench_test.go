package vec

import (
	"fmt"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// benchLength keeps three slices within a first-level cache.
const benchLength = 3072

func perElement(b *testing.B, n int, run func()) {
	for b.Loop() {
		run()
	}
	ns := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
	b.ReportMetric(float64(n)/ns, "elements/ns")
}

func ramp(n int) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = float32(i%201)/20 - 5
	}
	return s
}

func BenchmarkUnary(b *testing.B) {
	src := ramp(benchLength)
	dst := make([]float32, len(src))
	for _, c := range unaryCases {
		for _, level := range kernel.Levels() {
			if level > kernel.AVX512 {
				continue
			}
			b.Run(fmt.Sprintf("%s/%v", c.name, level), func(b *testing.B) {
				perElement(b, len(src), func() { c.run(level, dst, src) })
			})
		}
	}
}

func BenchmarkRows(b *testing.B) {
	const rows, n = 24, 128
	src := ramp(rows * n)
	dst := make([]float32, len(src))
	by := Norm{Gamma: ramp(n), Beta: ramp(n), Epsilon: 1e-5}
	sums, bytes, halves := make([]float32, n), make([]uint8, len(src)), make([]uint16, len(src))
	for _, c := range []struct {
		name string
		run  func(level kernel.Level)
	}{
		{"Add", func(l kernel.Level) { Add(l, dst, src, src) }},
		{"Softmax", func(l kernel.Level) { Softmax(l, dst, src, rows, n) }},
		{"LogSoftmax", func(l kernel.Level) { LogSoftmax(l, dst, src, rows, n) }},
		{"LayerNorm", func(l kernel.Level) { LayerNorm(l, dst, src, rows, n, by) }},
		{"RMSNorm", func(l kernel.Level) { RMSNorm(l, dst, src, rows, n, by) }},
		{"Sum", func(l kernel.Level) { Sum(l, sums[:rows], src, n) }},
		{"SumColumns", func(l kernel.Level) { SumColumns(l, sums[:n], src, rows, n) }},
		{"Transpose2D", func(l kernel.Level) { Transpose2D(l, dst, rows, src, n, rows, n) }},
		{"QuantizeUint8", func(l kernel.Level) { QuantizeUint8(l, bytes, src, 0.1, 3) }},
		{"DequantizeUint8", func(l kernel.Level) { DequantizeUint8(l, dst, bytes, 0.1, 3) }},
		{"ToFloat16", func(l kernel.Level) { ToFloat16(l, halves, src) }},
		{"FromFloat16", func(l kernel.Level) { FromFloat16(l, dst, halves) }},
		{"MaxRow", func(l kernel.Level) { MaxRow(l, sums[:rows], src, n) }},
	} {
		for _, level := range kernel.Levels() {
			if level > kernel.AVX512 {
				continue
			}
			b.Run(fmt.Sprintf("%s/%v", c.name, level), func(b *testing.B) {
				perElement(b, len(src), func() { c.run(level) })
			})
		}
	}
}

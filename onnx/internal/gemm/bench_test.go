package gemm

import (
	"fmt"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// BenchmarkMul has the shapes of known models, as m x k x n.
func BenchmarkMul(b *testing.B) {
	for _, s := range []struct {
		model   string
		m, k, n int
	}{
		{"MiniLM", 128, 384, 384},
		{"MiniLM", 128, 384, 1536},
		{"MiniLM", 128, 1536, 384},
		{"BERT", 128, 768, 768},
		{"BERT", 128, 768, 3072},
		{"BERT", 128, 3072, 768},
		{"ResNet", 3136, 576, 64},
		{"ResNet", 784, 1152, 128},
		{"ResNet", 49, 4608, 512},
		{"wav2vec2", 499, 768, 768},
		{"GPT2", 1, 768, 2304},
		{"GPT2", 4, 768, 2304},
	} {
		for _, level := range kernel.Levels() {
			if level == kernel.VNNI {
				continue // as AVX512
			}
			b.Run(fmt.Sprintf("%s/%dx%dx%d/%v", s.model, s.m, s.k, s.n, level), func(b *testing.B) {
				rng := newRand(1)
				x, w := Dense(random(rng, s.m*s.k), s.k), Dense(random(rng, s.k*s.n), s.n)
				dst := make([]float32, s.m*s.n)
				on, packed, e := kernel.On{Level: level}, Pack(level, w, s.k, s.n), &Epilogue{Bias: random(rng, s.n)}
				for b.Loop() {
					if err := Mul(&on, dst, s.n, s.m, x, packed, e); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(2*float64(s.m*s.k*s.n)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOPS")
			})
		}
	}
}

// BenchmarkQKV: the three products of an attention's input, one by one and as one step.
func BenchmarkQKV(b *testing.B) {
	for _, size := range [][2]int{{128, 384}, {128, 768}, {197, 768}} {
		m, k := size[0], size[1]
		rng, level := newRand(1), kernel.Best()
		x, dst := Dense(random(rng, m*k), k), make([]float32, 3*m*k)
		var ws []*Packed
		for range 3 {
			ws = append(ws, Pack(level, Dense(random(rng, k*k), k), k, k))
		}
		run := func(name string, do func() error) {
			b.Run(fmt.Sprintf("%dx%d/%s", m, k, name), func(b *testing.B) {
				for b.Loop() {
					if err := do(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(6*float64(m*k*k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOPS")
			})
		}
		on := &kernel.On{Level: level}
		run("one by one", func() error {
			for i, w := range ws {
				if err := Mul(on, dst[i*m*k:], k, m, x, w, &Epilogue{}); err != nil {
					return err
				}
			}
			return nil
		})
		run("together", func() error { return MulSeveral(on, dst, m, x, ws, nil) })
	}
}

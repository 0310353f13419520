package gemm

import (
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"testing"
)

func BenchmarkZZ(b *testing.B) {
	rng := newRand(1)
	m, k, n := 128, 32, 128
	x, w := Dense(random(rng, m*k), k), Dense(random(rng, k*n), n)
	dst := make([]float32, m*n)
	on, e := kernel.On{Level: kernel.AVX512}, &Epilogue{}
	packed := Pack(on.Level, w, k, n)
	for b.Loop() {
		Mul(&on, dst, n, m, x, packed, e)
	}
}

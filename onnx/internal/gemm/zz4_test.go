package gemm

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

func TestXX(t *testing.T) {
	if os.Getenv("XX") == "" {
		t.Skip()
	}
	for _, s := range [][3]int{{128, 384, 384}, {128, 768, 3072}, {512,512,512}, {1,768,2304}, {128,64,128}} {
		rng := newRand(1)
		m, k, n := s[0], s[1], s[2]
		x, w := Dense(random(rng, m*k), k), Dense(random(rng, k*n), n)
		dst := make([]float32, m*n)
		for _, th := range []int{1,2} {
		on, e := kernel.On{Level: kernel.AVX512, Threads: th}, &Epilogue{}
		packed := Pack(on.Level, w, k, n)
			best := time.Hour
			start := time.Now()
			for time.Since(start) < 200*time.Millisecond {
				a := time.Now()
		 Mul(&on, dst, n, m, x, packed, e) 
				best = min(best, time.Since(a))
			}
		fmt.Println("[", s, th, best)
		}
	}
}

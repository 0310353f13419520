package gemm

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

func TestYY(t *testing.T) {
	if os.Getenv("YY") == "" {
		t.Skip()
	}
	for _, s := range [][3]int{{128, 32, 128}, {128, 128, 32}, {128, 384, 384}, {128, 1024, 1024}, {512, 512, 512}, {1, 64, 1024}, {4, 64, 1024}} {
		rng := newRand(1)
		m, k, n := s[0], s[1], s[2]
		x, w := Dense(random(rng, m*k), k), Dense(random(rng, k*n), n)
		dst := make([]float32, m*n)
		on, e := kernel.On{Level: kernel.AVX512}, &Epilogue{}
		packed := Pack(on.Level, w, k, n)
		scratch := make([]float32, ScratchLen(1, k, n))
		bt, at := View{w.Data, 1, k}, View{x.Data, 1, m}
		fmt.Printf("[%v", s)
		for i, f := range []func(){
			func() { Mul(&on, dst, n, m, x, packed, e) },
			func() { Mul(&on, dst, n, m, at, packed, e) },
			func() { MulBoth(&on, dst, n, m, k, n, x, w, Batch{}, e, scratch) },
			func() { MulBoth(&on, dst, n, m, k, n, x, bt, Batch{}, e, scratch) },
			func() { PackInto(scratch[:0:0], on.Level, bt, 0, 0) },
			func() {
				if len(scratch) >= k*n {
					PackInto(scratch, on.Level, bt, k, n)
				}
			},
			func() {
				if len(scratch) >= k*n {
					PackInto(scratch, on.Level, w, k, n)
				}
			},
		} {
			best := time.Hour
			reps := 1 + 1000000/(m*k*n)
			start := time.Now()
			for time.Since(start) < 200*time.Millisecond {
				a := time.Now()
				for range reps {
					f()
				}
				best = min(best, time.Since(a)/time.Duration(reps))
			}
			fmt.Printf("  %d: %.1f", i, 2*float64(m*k*n)/best.Seconds()/1e9)
			if i >= 4 {
				fmt.Printf(" (%v)", best)
			}
		}
		fmt.Println()
	}
}

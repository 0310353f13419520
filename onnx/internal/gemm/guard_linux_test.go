package gemm

import (
	"fmt"
	"os"
	"slices"
	"syscall"
	"testing"
	"unsafe"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// fences gives out slices that end where memory ends: reading or writing one
// element beyond stops the process.
type fences struct{ t *testing.T }

func (f fences) clone(v []float32) []float32 {
	f.t.Helper()
	page := os.Getpagesize()
	size := (4*len(v)+page-1)/page*page + page
	all, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		f.t.Skip(err)
	}
	f.t.Cleanup(func() { _ = syscall.Munmap(all) })
	if err := syscall.Mprotect(all[size-page:], syscall.PROT_NONE); err != nil {
		f.t.Skip(err)
	}
	if len(v) == 0 {
		return nil
	}
	at := size - page - 4*len(v)
	w := unsafe.Slice((*float32)(unsafe.Pointer(&all[at])), len(v))
	copy(w, v)
	return w
}

func (f fences) view(v View) View {
	v.Data = f.clone(v.Data)
	return v
}

// TestNothingBeyondSlices: every operand ends exactly at the end of memory.
func TestNothingBeyondSlices(t *testing.T) {
	for _, level := range kernel.Levels() {
		for seed := range 40 {
			t.Run(fmt.Sprint(level, seed), func(t *testing.T) {
				rng := newRand(uint64(seed))
				m, k, n := 1+rng.IntN(30), 1+rng.IntN(40), 1+rng.IntN(70)
				if seed%5 == 0 {
					m, k = 1, k*8
				}
				a, b := View{random(rng, m*k), k, 1}, View{random(rng, k*n), n, 1}
				if seed%2 == 1 {
					a, b = View{a.Data, 1, m}, View{b.Data, 1, k}
				}
				plain := Epilogue{}
				if seed%4 < 2 {
					plain = Epilogue{Bias: random(rng, n), RowBias: random(rng, m), Beta: 1, C: random(rng, m*n), CRow: n}
				}
				fenced(t, level, plain, m, k, n, a, b)
			})
		}
	}
}

func fenced(t *testing.T, level kernel.Level, plain Epilogue, m, k, n int, a, b View) {
	f, on := fences{t}, &kernel.On{Level: level}
	near := plain
	near.Bias, near.RowBias, near.C = f.clone(plain.Bias), f.clone(plain.RowBias), f.clone(plain.C)
	want, dst := make([]float32, m*n), f.clone(make([]float32, m*n))
	if err := Mul(on, want, n, m, a, Pack(level, b, k, n), &plain); err != nil {
		t.Fatal(err)
	}
	a, b = f.view(a), f.view(b)
	packed := PackInto(f.clone(make([]float32, PackedLen(k, n))), level, b, k, n)
	if err := Mul(on, dst, n, m, a, packed, &near); err != nil || !slices.Equal(dst, want) {
		t.Errorf("Mul: differs, %v", err)
	}
	clear(dst)
	scratch := f.clone(make([]float32, ScratchLen(1, k, n)))
	if err := MulBoth(on, dst, n, m, k, n, a, b, Batch{}, &near, scratch); err != nil || !slices.Equal(dst, want) {
		t.Errorf("MulBoth: differs, %v", err)
	}
}

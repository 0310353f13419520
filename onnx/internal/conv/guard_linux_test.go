package conv

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"syscall"
	"testing"
	"unsafe"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// fenced copies a slice to where memory ends: reading or writing one element beyond
// stops the process.
func fenced(t *testing.T, v []float32) []float32 {
	t.Helper()
	page := os.Getpagesize()
	size := (4*len(v)+page-1)/page*page + page
	all, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = syscall.Munmap(all) })
	if err := syscall.Mprotect(all[size-page:], syscall.PROT_NONE); err != nil {
		t.Skip(err)
	}
	if len(v) == 0 {
		return nil
	}
	w := unsafe.Slice((*float32)(unsafe.Pointer(&all[size-page-4*len(v)])), len(v))
	copy(w, v)
	return w
}

// TestNothingBeyondSlices: every array ends exactly at the end of memory.
func TestNothingBeyondSlices(t *testing.T) {
	rng := rand.New(rand.NewPCG(40, 41))
	for i := range 40 {
		tr := newTrial(rng, randomGeometry(rng, 3))
		for _, level := range levels() {
			t.Run(fmt.Sprint(i, level), func(t *testing.T) {
				on := &kernel.On{Level: level}
				for _, l := range []Layout{Planar, Blocked} {
					want := tr.run(t, on, l, l)
					got := tr.runIn(t, on, l, l, func(v []float32) []float32 { return fenced(t, v) })
					if !slices.Equal(got, want) {
						t.Errorf("another result for %+v", tr.g)
					}
				}
				poolAtTheFence(t, on, tr)
			})
		}
	}
}

func poolAtTheFence(t *testing.T, on *kernel.On, tr *trial) {
	t.Helper()
	g := tr.g
	g.Begin = slices.Clone(g.Begin)
	for d := range g.Begin {
		g.Begin[d] = max(0, g.Begin[d])
	}
	p, err := MaxPool(on.Level, g, Blocked)
	if err != nil {
		t.Fatal(err)
	}
	src := fenced(t, lay(t, on, Blocked, tr.src, g.Batch, g.Channels, pixels(g.In)))
	if err := p.Run(on, fenced(t, make([]float32, BlockedLen(on.Level, g.Batch, g.Channels, pixels(g.Out)))), src); err != nil {
		t.Fatal(err)
	}
}

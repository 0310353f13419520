package vec

import (
	"testing"
	"unsafe"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"golang.org/x/sys/unix"
)

// fenced returns two slices of n elements between pages that must not be touched:
// one begins where a page begins, the other ends where a page ends.
func fenced(t *testing.T, n int) (first, last []float32) {
	t.Helper()
	page := unix.Getpagesize()
	memory, err := unix.Mmap(-1, 0, 3*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(memory) })
	for _, at := range []int{0, 2 * page} {
		if err := unix.Mprotect(memory[at:at+page], unix.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	all := unsafe.Slice((*float32)(unsafe.Pointer(&memory[page])), page/4)
	return all[:n:n], all[len(all)-n:]
}

// TestNothingIsTouchedOutside: an access beside a slice would end the process.
func TestNothingIsTouchedOutside(t *testing.T) {
	for _, n := range []int{0, 1, 7, 8, 9, 15, 16, 17, 63, 64, 65, 100} {
		a1, a2 := fenced(t, n)
		b1, b2 := fenced(t, n)
		for _, level := range kernel.Levels() {
			for _, c := range unaryCases {
				c.run(level, a1, b1)
				c.run(level, a2, b2)
			}
			for _, c := range binaryCases {
				c.run(level, a1, a1, b1)
				c.run(level, a2, a2, b2)
			}
			rowsInside(level, a1, b1)
			rowsInside(level, a2, b2)
		}
	}
}

func rowsInside(level kernel.Level, a, b []float32) {
	n, one := len(a), make([]float32, 1)
	by := Norm{Gamma: b, Beta: b, Epsilon: 1}
	Softmax(level, a, b, 1, n)
	SoftmaxMasked(level, a, a, 1, n, 2, b)
	SoftmaxMasked(level, a, a, 1, n, 2, nil)
	LogSoftmax(level, a, b, 1, n)
	LayerNorm(level, a, a, 1, n, by)
	LayerNormAdd(level, a, a, a, b, 1, n, by)
	RMSNorm(level, a, a, 1, n, Norm{Gamma: b})
	Sum(level, one, a, n)
	SumOfSquares(level, one, a, n)
	MaxRow(level, one, a, n)
	MinRow(level, one, a, n)
	Dot(level, a, b)
	if n > 16 {
		Transpose2D(level, a, 8, b, n/8, 8, n/8)
		Transpose2D(level, a, n/8, b, 8, n/8, 8)
		SumColumns(level, a[:n/2], b, 2, n/2)
	}
	half := unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(b))), 2*n)
	FromFloat16(level, a, half[n:])
	ToFloat16(level, half[n:], a)
}

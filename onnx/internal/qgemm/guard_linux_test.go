package qgemm

import (
	"os"
	"syscall"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// atTheEnd returns n bytes behind which memory may not be touched.
func atTheEnd(t *testing.T, n int) []uint8 {
	t.Helper()
	page := os.Getpagesize()
	all := (n + page - 1) / page * page
	m, err := syscall.Mmap(-1, 0, all+page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = syscall.Munmap(m) })
	if err := syscall.Mprotect(m[all:], syscall.PROT_NONE); err != nil {
		t.Skip(err)
	}
	return m[all-n : all : all]
}

// TestNothingBeyondTheEnd: operands, packed operands and results may lie at the end of
// memory. A read or write beyond would end the test program.
func TestNothingBeyondTheEnd(t *testing.T) {
	for _, s := range [][3]int{{1, 1, 1}, {3, 33, 17}, {13, 64, 48}, {5, 6, 31}, {12, 35, 16}} {
		m, k, n := s[0], s[1], s[2]
		a, b := atTheEnd(t, m*k), atTheEnd(t, k*n)
		for _, level := range kernel.Levels() {
			on := &kernel.On{Level: level}
			left, right := LeftSize(m, k), RightSize(k, n)
			l, _ := PackLeft(on, Dense(a, k), m, k, nil, &Memory{atTheEnd(t, left.Bytes), make([]int32, left.Words)})
			r, _ := PackRight(on, Dense(b, n), k, n, nil, &Memory{atTheEnd(t, right.Bytes), make([]int32, right.Words)})
			out := &Requantized[uint8]{Dst: atTheEnd(t, m*n), Row: n}
			if err := Mul(on, l, r, out, MulSize(1).Make()); err != nil {
				t.Fatal(err)
			}
			w := &Window{Channels: k, In: []int{n}, Kernel: []int{2}, Strides: []int{1}, Dilation: []int{1}, Begin: []int{1}, Out: []int{n + 1}}
			size := w.WindowSize(n)
			PackWindow(level, b, w, 1, n, 0, &Memory{atTheEnd(t, size.Bytes), make([]int32, size.Words)})
			Quantize(level, atTheEnd(t, n), make([]float32, n), 1, 0)
			Dequantize(level, make([]float32, n), b[len(b)-n:], 1, 0)
		}
	}
}

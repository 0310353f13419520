package gemm

import (
	"fmt"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

func TestPackOverIsPack(t *testing.T) {
	same := func(t *testing.T, data []float32, got, want *Packed) {
		t.Helper()
		if !slices.Equal(got.data, want.data) || got.k != want.k || got.n != want.n || got.level != want.level {
			t.Errorf("got %v, want %v", got.data, want.data)
		}
		if len(data) > 0 && &got.data[0] != &data[0] {
			t.Error("took other memory")
		}
	}
	for _, level := range kernel.Levels() {
		for _, size := range [][2]int{{1, 1}, {1, 100}, {7, 1}, {3, 31}, {5, 32}, {4, 33}, {64, 64}, {17, 200}, {33, 97}, {0, 5}, {5, 0}, {12, 768}} {
			k, n := size[0], size[1]
			t.Run(fmt.Sprintf("%s/%dx%d", level, k, n), func(t *testing.T) {
				data := make([]float32, k*n)
				for i := range data {
					data[i] = float32(i)
				}
				want, turned := Pack(level, Dense(slices.Clone(data), n), k, n), slices.Clone(data)
				same(t, data, PackOver(data, level, k, n), want)
				want = Pack(level, Dense(slices.Clone(turned), k).Turned(), k, n)
				same(t, turned, PackOverTurned(turned, level, k, n), want)
			})
		}
	}
}

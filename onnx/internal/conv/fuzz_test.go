package conv

import (
	"math/rand/v2"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// FuzzConv compares every level with float64, for geometries that the fuzzer makes of
// bytes.
func FuzzConv(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint8(20), uint8(9), uint8(9), uint8(3), uint8(1), uint8(1), uint8(1))
	f.Add(uint64(2), uint8(40), uint8(33), uint8(1), uint8(30), uint8(2), uint8(2), uint8(2), uint8(0))
	f.Fuzz(func(t *testing.T, seed uint64, channels, filters, height, width, size, stride, dilation, pad uint8) {
		g := Geometry{
			Batch: 1, Channels: int(channels % 40), Filters: int(filters % 70), Groups: 1,
			In: []int{int(height % 20), int(width % 40)}, Kernel: []int{1 + int(size%4), 1 + int(size/4%4)},
			Strides: []int{1 + int(stride%3), 1 + int(stride/3%3)}, Dilation: []int{1 + int(dilation%3), 1 + int(dilation/3%3)},
			Begin: []int{int(pad % 5), int(pad / 5 % 5)}, Out: []int{0, 0},
		}
		for d := range g.Out {
			g.Out[d] = OutDim(g.In[d], g.Kernel[d], g.Strides[d], g.Dilation[d], g.Begin[d], int(pad/25), false)
		}
		rng := rand.New(rand.NewPCG(seed, 0))
		tr := newTrial(rng, g)
		want, allowed := tr.want()
		for _, level := range levels() {
			on := &kernel.On{Level: level, Threads: 1 + int(seed%3)}
			compare(t, level.String(), tr.run(t, on, Layout(seed%2), Layout(seed/2%2)), want, allowed)
		}
	})
}

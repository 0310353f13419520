package conv

import (
	"math/rand/v2"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// depthwise are geometries with edges of every kind.
func depthwise() []Geometry {
	make2 := func(channels int, in, kernel, strides, dilation, begin, end [2]int) Geometry {
		g := Geometry{
			Batch: 2, Channels: channels, Filters: channels, Groups: channels, In: in[:], Kernel: kernel[:],
			Strides: strides[:], Dilation: dilation[:], Begin: begin[:], Out: make([]int, 2),
		}
		for d := range g.Out {
			g.Out[d] = OutDim(in[d], kernel[d], strides[d], dilation[d], begin[d], end[d], false)
		}
		return g
	}
	one, two := [2]int{1, 1}, [2]int{2, 2}
	return []Geometry{
		square(33, 33, 33, 19, 3, 1),
		square(33, 33, 33, 19, 3, 2),
		square(20, 20, 20, 40, 5, 2),
		square(20, 20, 20, 9, 1, 2),
		make2(18, [2]int{7, 31}, [2]int{3, 3}, [2]int{3, 1}, one, one, one),         // only the columns must be near
		make2(18, [2]int{7, 31}, [2]int{3, 3}, [2]int{1, 3}, one, one, one),         // which these are not
		make2(18, [2]int{9, 9}, [2]int{3, 3}, two, two, two, two),                   // dilated
		make2(18, [2]int{2, 3}, [2]int{3, 5}, one, one, [2]int{4, 7}, [2]int{5, 6}), // pixels that see padding alone
		make2(18, [2]int{6, 2}, [2]int{1, 7}, one, one, [2]int{0, 3}, [2]int{0, 3}), // no pixel sees all taps
		make2(18, [2]int{9, 9}, [2]int{3, 3}, one, one, [2]int{-2, -1}, [2]int{-1, -3}),
		make2(18, [2]int{20, 20}, [2]int{8, 8}, one, one, [2]int{3, 3}, [2]int{4, 4}), // beyond maxBare
		deep(1, 0, 2), deep(1, 2, 0), deep(5, 1, 0),
	}
}

// deep has inputs of three dimensions whose first is 1 long, and padding there.
func deep(stride, begin, end int) Geometry {
	return Geometry{
		Batch: 1, Channels: 18, Filters: 18, Groups: 18, In: []int{1, 9, 4}, Kernel: []int{1, 1, 3}, Strides: []int{stride, 1, 1},
		Dilation: []int{1, 1, 1}, Begin: []int{begin, 0, 1}, Out: []int{OutDim(1, 1, stride, 1, begin, end, false), 7, 4},
	}
}

func TestDepthwiseAgainstNaive(t *testing.T) {
	rng := rand.New(rand.NewPCG(50, 51))
	for i, g := range depthwise() {
		for range 4 {
			newTrial(rng, g).check(t, 1+i%3)
		}
	}
}

// TestDepthwiseNeedsNoCopy: input that can be read where it lies is not staged.
func TestDepthwiseNeedsNoCopy(t *testing.T) {
	for _, stride := range []int{1, 2, 3} {
		for _, in := range []Layout{Planar, Blocked} {
			p, err := NewPlan(kernel.Best(), square(32, 32, 32, 20, 3, stride), in, Blocked)
			if err != nil {
				t.Fatal(err)
			}
			if copies := p.Scratch() > 0; copies != (in == Planar || stride > 2) {
				t.Errorf("stride %d, layout %v: %d floats of scratch", stride, in, p.Scratch())
			}
		}
	}
}

func TestWithin(t *testing.T) {
	for at := -9; at < 9; at++ {
		for step := 1; step < 4; step++ {
			for size := range 6 {
				from, to := within(at, step, 4, size)
				for k := range 4 {
					on := at+k*step >= 0 && at+k*step < size
					if on != (k >= from && k < to) {
						t.Errorf("within(%d, %d, 4, %d) is %d to %d", at, step, size, from, to)
					}
				}
			}
		}
	}
}

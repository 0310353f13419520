package qgemm

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// taken is the definition: what a position takes at row r of the matrix.
func taken[T Byte](src []T, w *Window, r, position int, zero T) T {
	places := volume(w.Kernel)
	channel, place := r/places, r%places
	at, size := 0, 1
	for d := len(w.In) - 1; d >= 0; d-- {
		i := position%w.Out[d]*w.Strides[d] + place%w.Kernel[d]*w.Dilation[d] - w.Begin[d]
		if i < 0 || i >= w.In[d] {
			return zero
		}
		at += i * size
		size *= w.In[d]
		position, place = position/w.Out[d], place/w.Kernel[d]
	}
	return src[channel*size+at]
}

func randomWindow(rng *rand.Rand) *Window {
	w := &Window{Channels: 1 + rng.IntN(20)}
	for range 1 + rng.IntN(3) {
		in, kernel, stride, dilation, begin := 1+rng.IntN(9), 1+rng.IntN(3), 1+rng.IntN(3), 1+rng.IntN(3), rng.IntN(4)
		out := (in+begin+rng.IntN(4)-(kernel-1)*dilation-1)/stride + 1
		w.In, w.Kernel, w.Strides = append(w.In, in), append(w.Kernel, kernel), append(w.Strides, stride)
		w.Dilation, w.Begin, w.Out = append(w.Dilation, dilation), append(w.Begin, begin), append(w.Out, max(1, out))
	}
	return w
}

func checkWindow[T Byte](t *testing.T, rng *rand.Rand) {
	t.Helper()
	for range 120 {
		w := randomWindow(rng)
		if rng.IntN(5) == 0 {
			w = &Window{Channels: w.Channels, In: []int{3, 11}, Kernel: []int{1, 1}, Strides: []int{1, 1}, Dilation: []int{2, 2}, Begin: []int{0, 0}, Out: []int{3, 11}}
		}
		src := random[T](rng, w.Channels*volume(w.In))
		zero := random[T](rng, 1)[0]
		from := rng.IntN(w.Positions())
		n := 1 + rng.IntN(w.Positions()-from)
		b := make([]T, w.Depth()*n)
		for r := range w.Depth() {
			for c := range n {
				b[r*n+c] = taken(src, w, r, from+c, zero)
			}
		}
		a := Dense(random[int8](rng, 3*w.Depth()), w.Depth())
		want := naive(a, Dense(b, n), 3, w.Depth(), n, nil, []T{zero})
		for _, level := range kernel.Levels() {
			on := &kernel.On{Level: level}
			memory := w.WindowSize(n).Plus(LeftSize(3, w.Depth())).Plus(MulSize(1)).Make()
			for i := range memory.Bytes {
				memory.Bytes[i] = 0x55
			}
			l, _ := PackLeft(on, a, 3, w.Depth(), nil, memory)
			r := PackWindow(level, src, w, from, n, zero, memory)
			got := make([]int32, 3*n)
			if err := Mul(on, l, r, &Sums{got, n}, memory); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%s: %+v, positions %d to %d: wrong", level, *w, from, from+n)
			}
		}
	}
}

func TestPackWindow(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 1))
	checkWindow[uint8](t, rng)
	checkWindow[int8](t, rng)
}

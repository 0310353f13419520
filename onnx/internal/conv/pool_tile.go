package conv

import "github.com/blindbox/blindbox/onnx/internal/kernel"

// poolTile is what one call of a pooling kernel computes: count output pixels that
// see the same taps. The assembly reads the fields by their offsets.
type poolTile struct {
	dst   []float32
	src   []float32 // where the offsets of the taps begin, for the first pixel
	taps  []int     // bytes; at least one
	count int
	step  int // bytes from one window to the next
	scale float32
	start float32 // what nothing has: 0 or -Inf
}

// run computes a mean (a sum times the scale) or a maximum. Planar arrays have
// blocks of one.
func (t *poolTile) run(level kernel.Level, mean bool, block int) {
	if level < kernel.AVX2 || block == 1 {
		t.portable(mean, block)
		return
	}
	t.assembly(mean, block)
}

func (t *poolTile) portable(mean bool, block int) {
	if block == 1 {
		t.planar(mean)
		return
	}
	for i := range t.count {
		dst := t.dst[i*block : (i+1)*block]
		for l := range dst {
			dst[l] = t.start
		}
		for _, tap := range t.taps {
			t.add(dst, t.src[(i*t.step+tap)/4:], mean)
		}
		for l := range dst {
			dst[l] *= t.scale
		}
	}
}

// planar is portable with one lane.
func (t *poolTile) planar(mean bool) {
	for i := range t.count {
		at := i * t.step
		top, sum := t.start, t.start
		for _, tap := range t.taps {
			x := t.src[(at+tap)/4]
			sum += x
			if x > top {
				top = x
			}
		}
		t.dst[i] = top
		if mean {
			t.dst[i] = sum * t.scale
		}
	}
}

// add takes the pixel src into dst.
func (t *poolTile) add(dst, src []float32, mean bool) {
	src = src[:len(dst)]
	for l, x := range src {
		switch {
		case mean:
			dst[l] += x
		case x > dst[l]:
			dst[l] = x
		}
	}
}

package qgemm

import "github.com/blindbox/blindbox/onnx/internal/kernel"

// Window is how a convolution sees one image of one group: channels of In elements,
// Channels x In in all, of which each of the Out positions takes Kernel ones. The
// slices have one entry for each spatial dimension. Begin elements of padding stand
// before the first one.
type Window struct {
	Channels                                  int
	In, Kernel, Strides, Dilation, Begin, Out []int
}

func volume(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

// Depth is the number of elements that a position takes, of all channels.
func (w *Window) Depth() int { return w.Channels * volume(w.Kernel) }

// Positions is the number of positions.
func (w *Window) Positions() int { return volume(w.Out) }

// same says that every position takes the element that is there.
func (w *Window) same() bool {
	for d := range w.In {
		if w.Kernel[d] != 1 || w.Strides[d] != 1 || w.Begin[d] != 0 || w.Out[d] != w.In[d] {
			return false
		}
	}
	return true
}

// strip is how many rows are gathered before they are packed: they stay in a
// first-level cache.
const strip = 8 * quad

// WindowSize is the memory that PackWindow takes for n positions.
func (w *Window) WindowSize(n int) Size {
	return RightSize(w.Depth(), n).Plus(Size{Bytes: strip * panels(n) * panel})
}

// PackWindow packs what the positions from..from+n-1 take as the columns of a right
// operand. Row by row it has the elements of the first channel in the order of the
// kernel, then those of the next. Padding is zero, and so is the zero point. One run
// of it is one part of a caller's work: it neither uses threads nor ends early.
func PackWindow[T Byte](level kernel.Level, src []T, w *Window, from, n int, zero T, memory *Memory) *Right {
	k := w.Depth()
	if w.same() {
		r, _ := PackRight(&kernel.On{Level: level}, View[T]{src[from:], volume(w.In), 1}, k, n, []T{zero}, memory)
		return r
	}
	size := RightSize(k, n)
	r := &Right{k: k, n: n, data: memory.bytes(size.Bytes), zero: memory.words(size.Words / 2), sum: memory.words(size.Words / 2)}
	flip := 0x80 ^ flipLeft[T]()
	for c := range r.zero {
		r.zero[c] = int32(uint8(zero)^flip^0x80) - 128
	}
	clear(r.sum)
	width := panels(n) * panel
	rows := memory.bytes(strip * width)
	for k0 := 0; k0 < k; k0 += strip {
		count := min(strip, k-k0)
		for i := range count {
			gather(rows[i*width:][:width], src, w, k0+i, from, n, zero)
		}
		fill(rows[count*width:], flip) // a zero
		r.strip(level, rows, k0/quad, quads(count), width, flip)
	}
	return r
}

// strip packs some quads of all panels. Bytes become signed by turning over flip.
func (r *Right) strip(level kernel.Level, rows []uint8, q, count, width int, flip uint8) {
	for p := range panels(r.n) {
		to := r.panel(p)[q*quad*panel:][:count*quad*panel]
		sum, done := r.sum[p*panel:][:panel], 0
		if flip == 0 {
			done = interleaveSigned(level, to, rows[p*panel:], width, count, sum)
		} else {
			done = interleave(level, to, rows[p*panel:], width, count, sum, flip)
		}
		for i := done * quad * panel; i < len(to); i++ {
			row, column := i/(quad*panel)*quad+i%quad, i%(quad*panel)/quad
			to[i] = rows[row*width+p*panel+column] ^ flip
			sum[column] += int32(int8(to[i]))
		}
	}
}

// gather writes one row: the element that each position takes at one place of the
// kernel in one channel.
func gather[T Byte](dst []uint8, src []T, w *Window, row, from, n int, zero T) {
	last := len(w.In) - 1
	places := volume(w.Kernel)
	channel, place := row/places, row%places
	at, x := place/w.Kernel[last], place%w.Kernel[last]
	image := src[channel*volume(w.In):][:volume(w.In)]
	for done := 0; done < n; {
		line, first := (from+done)/w.Out[last], (from+done)%w.Out[last]
		count := min(w.Out[last]-first, n-done)
		base, inside := w.line(line, at)
		to := dst[done : done+count]
		done += count
		if !inside {
			fill(to, uint8(zero))
			continue
		}
		start := first*w.Strides[last] + x*w.Dilation[last] - w.Begin[last]
		take(to, image[base:base+w.In[last]], start, w.Strides[last], uint8(zero))
	}
	clear(dst[n:])
}

// line finds where the line of the input begins that a line of the output takes at a
// place of the kernel, both numbered without their last dimension.
func (w *Window) line(out, place int) (base int, inside bool) {
	size := w.In[len(w.In)-1]
	for d := len(w.In) - 2; d >= 0; d-- {
		i := out%w.Out[d]*w.Strides[d] + place%w.Kernel[d]*w.Dilation[d] - w.Begin[d]
		if i < 0 || i >= w.In[d] {
			return 0, false
		}
		base += i * size
		size *= w.In[d]
		out, place = out/w.Out[d], place/w.Kernel[d]
	}
	return base, true
}

func fill(dst []uint8, v uint8) {
	for i := range dst {
		dst[i] = v
	}
}

// take copies every stride-th element from start on; what is outside of src is v.
func take[T Byte](dst []uint8, src []T, start, stride int, v uint8) {
	before := 0
	if start < 0 {
		before = min(len(dst), (-start+stride-1)/stride)
	}
	inside := before
	if rest := len(src) - start; rest > 0 {
		inside = max(before, min(len(dst), (rest+stride-1)/stride))
	}
	fill(dst[:before], v)
	fill(dst[inside:], v)
	at := start + before*stride
	if bytes, ok := any(src).([]uint8); ok && stride == 1 && inside > before {
		copy(dst[before:inside], bytes[at:])
		return
	}
	for i := before; i < inside; i++ {
		dst[i] = uint8(src[at])
		at += stride
	}
}

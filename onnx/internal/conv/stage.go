package conv

import "github.com/blindbox/blindbox/onnx/internal/kernel"

// line is a row of a grid to be filled: columns, of which the first lead and those
// from end on are padding; the others are every step-th pixel from pixel at on.
type line struct {
	lead, end, columns int
	at, step           int
}

// fill copies one plane of a band: it calls row for every row of every grid, with
// the place where that row begins.
func (r *grid) fill(b band, row func(to int, l *line)) {
	to := 0
	for kz := range r.kernel[0] {
		z := b.z*r.stride[0] + kz*r.dilation[0] - r.begin[0]
		for _, py := range r.order[1] {
			for _, px := range r.order[2] {
				whole := r.columns(b.x*r.stride[2] + px - r.begin[2])
				for j := range r.height {
					l := whole
					l.turn(r, z, (b.y+j)*r.stride[1]+py-r.begin[1])
					row(to, &l)
					to += r.width
				}
			}
		}
	}
}

// columns says which columns of a row that begins at input column x are there.
func (r *grid) columns(x int) line {
	s := r.stride[2]
	lead := 0
	if x < 0 {
		lead = (-x + s - 1) / s
	}
	end := 0
	if left := r.in[2] - x; left > 0 {
		end = (left + s - 1) / s
	}
	l := line{lead: min(lead, r.width), end: min(end, r.width), columns: r.width, step: s}
	l.end = max(l.end, l.lead)
	l.at = x + l.lead*s
	return l
}

// turn moves the line to row y of depth z.
func (l *line) turn(r *grid, z, y int) {
	if z < 0 || z >= r.in[0] || y < 0 || y >= r.in[1] {
		l.lead, l.end = l.columns, l.columns
		return
	}
	l.at += (z*r.in[1] + y) * r.in[2]
}

// pixels copies pixels of block floats.
func (l *line) pixels(dst, src []float32, block int) {
	dst = dst[:l.columns*block]
	clear(dst[:l.lead*block])
	clear(dst[l.end*block:])
	dst = dst[l.lead*block : l.end*block]
	switch {
	case len(dst) == 0:
	case l.step == 1:
		copy(dst, src[l.at*block:])
	case block == maxBlock:
		src = src[l.at*block:]
		for ; len(dst) != 0; dst = dst[16:] {
			*(*[16]float32)(dst) = *(*[16]float32)(src)
			src = src[min(l.step*16, len(src)):]
		}
	default:
		src = src[l.at*block:]
		for ; len(dst) != 0; dst = dst[8:] {
			*(*[8]float32)(dst) = *(*[8]float32)(src)
			src = src[min(l.step*8, len(src)):]
		}
	}
}

// lanes interleaves used planes, stride floats apart, into blocks.
func (l *line) lanes(level kernel.Level, dst, src []float32, used, stride, block int) {
	dst = dst[:l.columns*block]
	clear(dst[:l.lead*block])
	clear(dst[l.end*block:])
	dst = dst[l.lead*block : l.end*block]
	if len(dst) == 0 {
		return
	}
	if l.step == 1 {
		gather(level, dst, src[l.at:], l.end-l.lead, used, stride, block)
		return
	}
	clear(dst)
	for c := range used {
		from := l.at + c*stride
		for to := c; to < len(dst); to += block {
			dst[to] = src[from]
			from += l.step
		}
	}
}

// plane copies single floats that lie pixel floats apart.
func (l *line) plane(dst, src []float32, pixel int) {
	dst = dst[:l.columns]
	clear(dst[:l.lead])
	clear(dst[l.end:])
	dst = dst[l.lead:l.end]
	if l.step == 1 && pixel == 1 && len(dst) != 0 {
		copy(dst, src[l.at:])
		return
	}
	from := l.at * pixel
	for i := range dst {
		dst[i] = src[from]
		from += l.step * pixel
	}
}

package picture

import (
	"context"
	"fmt"
	"math"
)

// Filter says which pixels of the larger picture make one of the smaller one.
type Filter struct {
	Name    string
	support float64 // pixels to each side, when nothing gets smaller
	weight  func(x float64) float64
}

// Filters returns those that torchvision and Pillow have under these names.
func Filters() []Filter {
	return []Filter{{"bilinear", 1, triangle}, {"bicubic", 2, cubic}, {"lanczos", 3, lanczos}}
}

// Bilinear is what torchvision's Resize does unless told otherwise.
func Bilinear() Filter { return Filters()[0] }

func triangle(x float64) float64 { return max(0, 1-math.Abs(x)) }

func cubic(x float64) float64 {
	const a = -0.5
	switch x = math.Abs(x); {
	case x < 1:
		return ((a+2)*x-(a+3))*x*x + 1
	case x < 2:
		return (((x-5)*x+8)*x - 4) * a
	}
	return 0
}

func lanczos(x float64) float64 {
	sinc := func(x float64) float64 {
		if x == 0 {
			return 1
		}
		return math.Sin(x*math.Pi) / (x * math.Pi)
	}
	if x >= -3 && x < 3 {
		return sinc(x) * sinc(x/3)
	}
	return 0
}

// MaxSide bounds what a picture is made of for a model.
const MaxSide = 4096

// Shorter is the size of the picture whose shorter side is n and whose other side keeps the
// proportion, cut to whole pixels, as torchvision's Resize(n) has it.
func (m *Image) Shorter(n int) (w, h int) {
	if m.W <= m.H {
		return n, int(int64(n) * int64(m.H) / int64(m.W))
	}
	return int(int64(n) * int64(m.W) / int64(m.H)), n
}

// Resize makes a picture of w x h pixels, each the mean of all those that it covers, weighed by
// the filter. It computes as Pillow does (Image.resize, src/libImaging/Resample.c: first across, then
// down, with weights of 22 bits), and the result is Pillow's, byte for byte.
func (m *Image) Resize(ctx context.Context, w, h int, f Filter) (*Image, error) {
	if w < 1 || h < 1 || w > MaxSide || h > MaxSide {
		return nil, fmt.Errorf("%w: %d x %d pixels would be made %d x %d, a side has 1 to %d", ErrLimit, m.W, m.H, w, h, MaxSide)
	}
	if int64(w)*int64(m.H) > between {
		return nil, fmt.Errorf("%w: %d x %d pixels would be made %d x %d by way of %d x %d", ErrLimit, m.W, m.H, w, h, w, m.H)
	}
	m, err := m.across(ctx, w, f)
	if err != nil {
		return nil, err
	}
	return m.down(ctx, h, f)
}

// between bounds the pixels of a picture that already has its new width and not yet its new height.
const between = 40_000_000

// taps are the pixels that make one pixel: from first on, with these weights.
type taps struct {
	first  int
	weight []int32
}

const weightBits = 32 - 8 - 2

// tapsOf computes which of n pixels make each of size pixels.
func tapsOf(n, size int, f Filter) []taps {
	scale := float64(n) / float64(size)
	wide := max(scale, 1)
	support := f.support * wide
	out := make([]taps, size)
	for i := range out {
		center := float64((float64(i) + 0.5) * scale) // rounded, on processors that multiply and add in one, too
		first := max(int(center-support+0.5), 0)
		last := min(int(center+support+0.5), n)
		out[i] = taps{first, weights(first, last, center, wide, f)}
	}
	return out
}

func weights(first, last int, center, wide float64, f Filter) []int32 {
	w, sum := make([]float64, last-first), 0.0
	for x := range w {
		w[x] = f.weight(float64((float64(x+first) - center + 0.5) * (1 / wide)))
		sum += w[x]
	}
	out := make([]int32, len(w))
	for x, v := range w {
		if sum != 0 {
			v /= sum
		}
		out[x] = int32(v*(1<<weightBits) + math.Copysign(0.5, v))
	}
	return out
}

// clip makes a byte of a sum of weighed bytes.
func clip(sum int32) byte { return byte(min(max(sum>>weightBits, 0), 255)) }

const half = 1 << (weightBits - 1)

func (m *Image) across(ctx context.Context, w int, f Filter) (*Image, error) {
	if w == m.W {
		return m, nil
	}
	out, columns := New(w, m.H), tapsOf(m.W, w, f)
	for y := range m.H {
		if y%16 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		from, to := m.Pix[3*m.W*y:][:3*m.W], out.Pix[3*w*y:][:3*w]
		for x, t := range columns {
			r, g, b := int32(half), int32(half), int32(half)
			p := from[3*t.first:][:3*len(t.weight)]
			for _, k := range t.weight {
				r += k * int32(p[0])
				g += k * int32(p[1])
				b += k * int32(p[2])
				p = p[3:]
			}
			to[3*x], to[3*x+1], to[3*x+2] = clip(r), clip(g), clip(b)
		}
	}
	return out, nil
}

func (m *Image) down(ctx context.Context, h int, f Filter) (*Image, error) {
	if h == m.H {
		return m, nil
	}
	out, row := New(m.W, h), 3*m.W
	sums := make([]int32, row)
	for y, t := range tapsOf(m.H, h, f) {
		for i := range sums {
			sums[i] = half
		}
		for i, k := range t.weight {
			if i%16 == 0 && ctx.Err() != nil {
				return nil, ctx.Err()
			}
			for x, v := range m.Pix[(t.first+i)*row:][:row] {
				sums[x] += k * int32(v)
			}
		}
		to := out.Pix[y*row:][:row]
		for x, s := range sums {
			to[x] = clip(s)
		}
	}
	return out, nil
}

// Linear makes a picture of w x h pixels from the four nearest pixels of each place, however much
// smaller it gets, as OpenCV's resize does by default. Text models are trained on such pictures.
func (m *Image) Linear(ctx context.Context, w, h int) (*Image, error) {
	if w < 1 || h < 1 || w > MaxSide || h > MaxSide {
		return nil, fmt.Errorf("%w: %d x %d pixels would be made %d x %d, a side has 1 to %d", ErrLimit, m.W, m.H, w, h, MaxSide)
	}
	out := New(w, h)
	xs := nearest(m.W, w)
	for y, v := range nearest(m.H, h) {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		upper, lower := m.Pix[3*m.W*v.first:][:3*m.W], m.Pix[3*m.W*v.second:][:3*m.W]
		to := out.Pix[3*w*y:][:3*w]
		for _, u := range xs {
			for c := range 3 {
				a := int32(upper[3*u.first+c])*u.near + int32(upper[3*u.second+c])*u.far
				b := int32(lower[3*u.first+c])*u.near + int32(lower[3*u.second+c])*u.far
				to[c] = byte((a*v.near + b*v.far + 1<<21) >> 22)
			}
			to = to[3:]
		}
	}
	return out, nil
}

// pair are the two pixels beside a place, and their shares in 1/2048.
type pair struct {
	first, second int
	near, far     int32
}

func nearest(n, size int) []pair {
	const one = 1 << 11
	out := make([]pair, size)
	scale := float64(n) / float64(size)
	for i := range out {
		at := min(max((float64(i)+0.5)*scale-0.5, 0), float64(n-1))
		first := int(at)
		far := int32(math.RoundToEven((at - float64(first)) * one))
		out[i] = pair{first, min(first+1, n-1), one - far, far}
	}
	return out
}

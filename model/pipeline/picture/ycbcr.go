package picture

import "image"

// Photographs store colours at half the width, and mostly at half the height too. What a
// pixel's colour is between two stored ones is not in the standard: each decoder has its
// own way, and models are trained on what libjpeg's gives, "fancy upsampling" by a triangle
// filter: three parts of the nearer sample and one of the further. Pillow and most else use
// it. Source: libjpeg-turbo, jdsample.c (h2v1, h2v2 and h1v2_fancy_upsample) and
// jdcolor.c (ycc_rgb_convert); the roundings are theirs.

// colours is a plane of Cb or Cr, of w x h samples, and what a row of it is for pixels.
type colours struct {
	pix           []byte
	stride        int
	w, h          int
	across, below int   // pixels for a sample
	sums          []int // of a row and a part of its neighbour, where below is 2
	wide          []byte
}

func coloursOf(pix []byte, s *image.YCbCr) *colours {
	c := &colours{stride: s.CStride, across: 1, below: 1}
	switch s.SubsampleRatio {
	case image.YCbCrSubsampleRatio422:
		c.across = 2
	case image.YCbCrSubsampleRatio420:
		c.across, c.below = 2, 2
	case image.YCbCrSubsampleRatio440:
		c.below = 2
	case image.YCbCrSubsampleRatio411:
		c.across = 4
	case image.YCbCrSubsampleRatio410:
		c.across, c.below = 4, 2
	}
	w, h := s.Rect.Dx(), s.Rect.Dy()
	c.w, c.h = (w+c.across-1)/c.across, (h+c.below-1)/c.below
	// A picture of the decoder's may be a part of a larger one.
	c.pix = pix[s.COffset(s.Rect.Min.X, s.Rect.Min.Y):]
	c.sums, c.wide = make([]int, c.w), make([]byte, c.across*c.w)
	return c
}

// row is the colours of row y of the picture, one for each pixel and maybe one more. It is
// good until the next.
func (c *colours) row(y int) []byte {
	switch {
	case c.across == 4:
		c.repeat(y)
	case c.below == 2 && (c.across == 1 || c.w > 2):
		c.between(y)
	case c.across == 2 && c.below == 1 && c.w > 2:
		c.beside(c.at(y))
	case c.across == 2:
		c.repeat(y)
	default:
		return c.at(y)
	}
	return c.wide
}

func (c *colours) at(y int) []byte { return c.pix[c.stride*y:][:c.w] }

// repeat gives all pixels of a sample its colour.
func (c *colours) repeat(y int) {
	from := c.at(y / c.below)
	for i := range c.wide {
		c.wide[i] = from[i/c.across]
	}
}

// beside smooths within a row.
func (c *colours) beside(from []byte) {
	last := len(from) - 1
	for i, v := range from {
		left, right := 3*int(v), 3*int(v)
		c.wide[2*i] = byte((left + int(from[max(i-1, 0)]) + 1) >> 2)
		c.wide[2*i+1] = byte((right + int(from[min(i+1, last)]) + 2) >> 2)
	}
	c.wide[0], c.wide[2*last+1] = from[0], from[last]
}

// between smooths over two rows, and within them if they are narrower than the picture.
func (c *colours) between(y int) {
	near, up := y/2, y%2 == 0
	far := min(near+1, c.h-1)
	if up {
		far = max(near-1, 0)
	}
	a, b := c.at(near), c.at(far)
	for i := range c.sums {
		c.sums[i] = 3*int(a[i]) + int(b[i])
	}
	if c.across == 1 {
		half := 2
		if up {
			half = 1
		}
		for i, v := range c.sums {
			c.wide[i] = byte((v + half) >> 2)
		}
		return
	}
	last := len(c.sums) - 1
	for i, v := range c.sums {
		c.wide[2*i] = byte((3*v + c.sums[max(i-1, 0)] + 8) >> 4)
		c.wide[2*i+1] = byte((3*v + c.sums[min(i+1, last)] + 7) >> 4)
	}
}

// rowsYCbCr returns what writes the pixels of a row.
func rowsYCbCr(s *image.YCbCr) func(to []byte, y int) {
	blue, red := coloursOf(s.Cb, s), coloursOf(s.Cr, s)
	return func(to []byte, y int) {
		luma := s.Y[s.YOffset(s.Rect.Min.X, y):][:len(to)/3]
		cb, cr := blue.row(y-s.Rect.Min.Y), red.row(y-s.Rect.Min.Y)
		for i, v := range luma {
			to[0], to[1], to[2] = rgbOf(int(v), int(cb[i])-128, int(cr[i])-128)
			to = to[3:]
		}
	}
}

// rgbOf is JFIF's conversion in 16 bits behind the point, rounded as libjpeg does: each
// colour's part to a whole number, and then the sum.
func rgbOf(y, cb, cr int) (r, g, b byte) {
	const half = 1 << 15
	return clamped(y + (91881*cr+half)>>16), clamped(y + (-22554*cb-46802*cr+half)>>16), clamped(y + (116130*cb+half)>>16)
}

func clamped(v int) byte { return byte(max(0, min(v, 255))) }

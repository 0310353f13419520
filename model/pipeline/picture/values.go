package picture

import (
	"context"
	"fmt"
)

// Crop cuts w x h pixels out of the middle, where torchvision's CenterCrop does.
func (m *Image) Crop(w, h int) (*Image, error) {
	if w < 1 || h < 1 || w > m.W || h > m.H {
		return nil, fmt.Errorf("picture: cannot cut %d x %d pixels out of %d x %d", w, h, m.W, m.H)
	}
	// Python's round: halves go to the even number.
	middle := func(n int) int { return n/2 + n%2*(n/2%2) }
	left, top := middle(m.W-w), middle(m.H-h)
	out := New(w, h)
	for y := range h {
		copy(out.Pix[3*w*y:][:3*w], m.Pix[3*(m.W*(top+y)+left):])
	}
	return out, nil
}

// Order is which channels a model takes, and in which order.
type Order int

// The orders. Gray is one channel: 0.299 red + 0.587 green + 0.114 blue, as Pillow rounds it.
const (
	RGB Order = iota
	BGR
	Gray
)

// Channels is how many values a pixel has.
func (o Order) Channels() int {
	if o == Gray {
		return 1
	}
	return 3
}

// Values says how pixels become what a model takes: (v/255 - mean) / std for each channel in the
// model's order, computed in float32 as torchvision's ToTensor and Normalize do.
type Values struct {
	Order     Order
	Mean, Std [3]float32
	Last      bool // channels last (nhwc): a pixel's values side by side; else plane by plane (nchw)
}

// Write writes a picture as a model takes it: W*H*Channels values. The caller has checked that to
// is that long.
func (v Values) Write(ctx context.Context, to []float32, m *Image) error {
	channels, pixels := v.Order.Channels(), m.W*m.H
	tables := v.tables()
	for c := range channels {
		table := &tables[c]
		at, step := c*pixels, 1
		if v.Last {
			at, step = c, channels
		}
		for y := range m.H {
			if y%64 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			for row := m.Pix[3*m.W*y:][:3*m.W]; len(row) > 0; row = row[3:] {
				to[at] = table[v.Order.pick(row, c)]
				at += step
			}
		}
	}
	return nil
}

// tables has what each byte becomes, for each channel.
func (v Values) tables() (t [3][256]float32) {
	for c := range t {
		for b := range t[c] {
			t[c][b] = (float32(b)/255 - v.Mean[c]) / v.Std[c]
		}
	}
	return t
}

func (o Order) pick(p []byte, c int) byte {
	switch o {
	case BGR:
		return p[2-c]
	case Gray:
		return byte((uint32(p[0])*19595 + uint32(p[1])*38470 + uint32(p[2])*7471 + 1<<15) >> 16)
	}
	return p[c]
}

package ocr

import (
	"context"
	"math"
)

// Find says what of a detector's map is a line of text.
type Find struct {
	Threshold float64 // a pixel of the map is text from this probability on
	Box       float64 // a box is, when the mean of its pixels is at least this
	Unclip    float64 // how far a box grows: area times this over circumference
	Dilate    bool    // text grows by one pixel to the right and down before regions are made
	Most      int     // boxes; of more regions the largest ones are kept
}

// Map is what the detector says: the probability of each place, w x h of them.
type Map struct {
	Values []float32
	W, H   int
}

// Sizes below which a box is none, in pixels of the map before and after it grows, and of the picture.
const (
	leastRegion = 3
	leastBox    = leastRegion + 2
	leastEdge   = 4
)

// Boxes returns where lines of text are in a picture of w x h pixels that the map stands for, in no
// order. Corners are whole pixels of the picture.
func (f Find) Boxes(ctx context.Context, m Map, w, h int) ([]Quad, error) {
	list, err := regions(ctx, f.mask(m), m.W, f.Most)
	if err != nil {
		return nil, err
	}
	var boxes []Quad
	for _, r := range list {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		box := smallest(r.corners)
		if box.shorter() < leastRegion {
			continue
		}
		score, err := m.mean(ctx, box.corners())
		if err != nil {
			return nil, err
		}
		if box = box.grow(f.Unclip); !(score >= f.Box) || box.shorter() < leastBox {
			continue
		}
		if q := m.scale(box.corners(), w, h); q.within(w, h) {
			boxes = append(boxes, q)
		}
	}
	return boxes, nil
}

// within says whether a quadrilateral is large enough for text, and not larger than a rectangle in the
// picture can be: what a hostile map makes of corners may be.
func (q Quad) within(w, h int) bool {
	return q.width() >= leastEdge && q.height() >= leastEdge && q.width()*q.height() <= 2*float64(w)*float64(h)
}

// mask says of each pixel whether it is text. What is no number is not.
func (f Find) mask(m Map) []bool {
	text, threshold := make([]bool, len(m.Values)), float32(f.Threshold)
	for i, v := range m.Values {
		text[i] = v > threshold
	}
	if f.Dilate {
		dilate(text, m.W)
	}
	return text
}

// dilate sets what is to the right of, below, or below to the right of a pixel that is set.
func dilate(text []bool, w int) {
	for y := len(text)/w - 1; y >= 0; y-- {
		row := text[y*w:][:w]
		upper := row
		if y > 0 {
			upper = text[(y-1)*w:][:w]
		}
		for x := w - 1; x > 0; x-- {
			row[x] = row[x] || row[x-1] || upper[x] || upper[x-1]
		}
		row[0] = row[0] || upper[0]
	}
}

// scale turns places of the map into whole pixels of the picture.
func (m Map) scale(q Quad, w, h int) Quad {
	for i, p := range q {
		q[i] = Point{
			min(max(math.RoundToEven(p.X/float64(m.W)*float64(w)), 0), float64(w-1)),
			min(max(math.RoundToEven(p.Y/float64(m.H)*float64(h)), 0), float64(h-1)),
		}
	}
	return ordered(q)
}

// mean is the mean of the map within a box, its edges included.
func (m Map) mean(ctx context.Context, q Quad) (float64, error) {
	for i, p := range q {
		q[i] = Point{math.Floor(p.X), math.Floor(p.Y)}
	}
	top := max(int(min(q[0].Y, q[1].Y)), 0)
	bottom := min(int(max(q[2].Y, q[3].Y)), m.H-1)
	sum, n := 0.0, 0
	for y := top; y <= bottom; y++ {
		if y%16 == 0 && ctx.Err() != nil {
			return 0, ctx.Err()
		}
		from, to := q.row(float64(y))
		from = min(max(from, 0), m.W)
		to = min(max(to+1, from), m.W)
		for _, v := range m.Values[y*m.W:][from:to] {
			sum += float64(v)
			n++
		}
	}
	return sum / float64(max(n, 1)), nil
}

// row returns the first and the last pixel of a row that a box covers or its edges touch: those
// within half a pixel of the row.
func (q Quad) row(y float64) (from, to int) {
	low, high := math.Inf(1), math.Inf(-1)
	for i, a := range q {
		b := q[(i+1)%4]
		if a.Y > b.Y {
			a, b = b, a
		}
		upper, lower := max(a.Y, y-0.5), min(b.Y, y+0.5)
		if upper > lower {
			continue
		}
		for _, at := range []float64{upper, lower} {
			x := a.X
			if b.Y > a.Y {
				x += (b.X - a.X) * (at - a.Y) / (b.Y - a.Y)
			}
			low, high = min(low, x), max(high, x)
		}
		if a.Y == b.Y {
			low, high = min(low, b.X), max(high, b.X)
		}
	}
	if low > high {
		return 0, -1
	}
	return int(math.Round(low)), int(math.Round(high))
}

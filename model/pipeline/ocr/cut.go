package ocr

import (
	"context"
	"fmt"
	"math"

	"github.com/blindbox/blindbox/model/pipeline/picture"
)

// Cut cuts a line of text out of a picture, upright: what is in the quadrilateral becomes a
// rectangle, and one that is half as high again as it is wide is turned to the left, for it is text
// that runs downwards. Between pixels it takes cubic means of the 16 around, as OpenCV's
// warpPerspective does.
func Cut(ctx context.Context, m *picture.Image, q Quad) (*picture.Image, error) {
	w, h := int(q.width()), int(q.height())
	if !q.within(m.W, m.H) {
		return nil, fmt.Errorf("ocr: a line of %d x %d pixels in a picture of %d x %d", w, h, m.W, m.H)
	}
	out, p := picture.New(w, h), projectionOf(q, w, h)
	table := cubicTable()
	for y := range h {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		row := out.Pix[3*w*y:]
		for x := range w {
			sample(row[3*x:][:3], m, p.at(float64(x), float64(y)), table)
		}
	}
	if 2*h >= 3*w {
		return out.Turn(8), nil
	}
	return out, nil
}

// projection maps pixels of a line to places of the picture:
// (a x + b y + c, d x + e y + f) / (g x + h y + 1).
type projection struct{ a, b, c, d, e, f, g, h float64 }

// projectionOf maps a rectangle to a quadrilateral (Heckbert, Fundamentals of Texture Mapping,
// 1989, 2.2.3).
func projectionOf(q Quad, w, h int) projection {
	s := Point{q[0].X - q[1].X + q[2].X - q[3].X, q[0].Y - q[1].Y + q[2].Y - q[3].Y}
	u := Point{q[1].X - q[2].X, q[1].Y - q[2].Y}
	v := Point{q[3].X - q[2].X, q[3].Y - q[2].Y}
	p := projection{c: q[0].X, f: q[0].Y}
	if area := u.X*v.Y - v.X*u.Y; area != 0 {
		p.g, p.h = (s.X*v.Y-v.X*s.Y)/area, (u.X*s.Y-s.X*u.Y)/area
	}
	p.a, p.d = q[1].X-q[0].X+p.g*q[1].X, q[1].Y-q[0].Y+p.g*q[1].Y
	p.b, p.e = q[3].X-q[0].X+p.h*q[3].X, q[3].Y-q[0].Y+p.h*q[3].Y
	x, y := float64(w), float64(h)
	p.a, p.d, p.g = p.a/x, p.d/x, p.g/x
	p.b, p.e, p.h = p.b/y, p.e/y, p.h/y
	return p
}

func (p projection) at(x, y float64) Point {
	w := p.g*x + p.h*y + 1
	return Point{(p.a*x + p.b*y + p.c) / w, (p.d*x + p.e*y + p.f) / w}
}

// Places are rounded to a 32nd of a pixel, and have a table of weights.
const fractions = 32

func cubicTable() *[fractions][4]float32 {
	const a = -0.75
	table := new([fractions][4]float32)
	for i := range table {
		x := float64(i) / fractions
		near := func(x float64) float64 { return ((a+2)*x-(a+3))*x*x + 1 }
		far := func(x float64) float64 { return ((a*x-5*a)*x+8*a)*x - 4*a }
		table[i] = [4]float32{float32(far(x + 1)), float32(near(x)), float32(near(1 - x)), float32(far(2 - x))}
	}
	return table
}

// sample writes the pixel at a place. Outside of the picture its edge goes on.
func sample(to []byte, m *picture.Image, p Point, table *[fractions][4]float32) {
	x, y := fixed(p.X, m.W), fixed(p.Y, m.H)
	left, top := x>>5, y>>5
	if x&(fractions-1) == 0 && y&(fractions-1) == 0 {
		copy(to, m.Pix[3*(m.W*inside(top, m.H)+inside(left, m.W)):][:3])
		return
	}
	across, down := &table[x&(fractions-1)], &table[y&(fractions-1)]
	if left < 1 || left > m.W-3 {
		edge(to, m, left, top, across, down)
		return
	}
	var r, g, b float32
	for j, v := range down {
		p := m.Pix[3*(m.W*inside(top-1+j, m.H)+left-1):][:12]
		r += v * (across[0]*float32(p[0]) + across[1]*float32(p[3]) + across[2]*float32(p[6]) + across[3]*float32(p[9]))
		g += v * (across[0]*float32(p[1]) + across[1]*float32(p[4]) + across[2]*float32(p[7]) + across[3]*float32(p[10]))
		b += v * (across[0]*float32(p[2]) + across[1]*float32(p[5]) + across[2]*float32(p[8]) + across[3]*float32(p[11]))
	}
	to[0], to[1], to[2] = round(r), round(g), round(b)
}

// edge is sample where some of the 16 pixels are to the left or to the right of the picture.
func edge(to []byte, m *picture.Image, left, top int, across, down *[4]float32) {
	var sum [3]float32
	for j, v := range down {
		row := m.Pix[3*m.W*inside(top-1+j, m.H):][:3*m.W]
		for i, u := range across {
			for c, p := range row[3*inside(left-1+i, m.W):][:3] {
				sum[c] += u * v * float32(p)
			}
		}
	}
	to[0], to[1], to[2] = round(sum[0]), round(sum[1]), round(sum[2])
}

// fixed is a place in 32nds of a pixel. Far outside, and for what is no number, it is at the edge.
func fixed(v float64, n int) int {
	if !(v > -2) {
		v = -2
	}
	return int(math.RoundToEven(min(v, float64(n)+2) * fractions))
}

func inside(i, n int) int { return min(max(i, 0), n-1) }

func round(v float32) byte { return byte(min(max(v, 0), 255) + 0.5) }

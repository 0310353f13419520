package ocr

import (
	"cmp"
	"math"
	"slices"
)

// rectangle is one of any direction.
type rectangle struct {
	center        Point
	along         Point   // the direction of its width, of length 1
	width, height float64 // between the centers of its outermost pixels
}

// smallest returns the rectangle of the smallest area around points. One of its edges lies on one of
// their hull's (Freeman and Shapira, 1975), so each is tried.
func smallest(points []Point) rectangle {
	corners := hull(points)
	if len(corners) == 1 {
		return rectangle{center: corners[0], along: Point{1, 0}}
	}
	best, least := rectangle{}, math.Inf(1)
	for i, a := range corners {
		b := corners[(i+1)%len(corners)]
		d := a.distance(b)
		r := around(corners, Point{(b.X - a.X) / d, (b.Y - a.Y) / d})
		if area := r.width * r.height; area < least {
			best, least = r, area
		}
	}
	return best
}

// around returns the rectangle in a direction.
func around(points []Point, along Point) rectangle {
	low, high := Point{math.Inf(1), math.Inf(1)}, Point{math.Inf(-1), math.Inf(-1)}
	for _, p := range points {
		u, v := p.X*along.X+p.Y*along.Y, p.Y*along.X-p.X*along.Y
		low, high = Point{min(low.X, u), min(low.Y, v)}, Point{max(high.X, u), max(high.Y, v)}
	}
	u, v := (low.X+high.X)/2, (low.Y+high.Y)/2
	return rectangle{
		center: Point{u*along.X - v*along.Y, u*along.Y + v*along.X}, along: along,
		width: high.X - low.X, height: high.Y - low.Y,
	}
}

// hull returns the corners of the convex hull, none of them on a line between others (Andrew's
// monotone chain).
func hull(points []Point) []Point {
	points = slices.Clone(points)
	slices.SortFunc(points, func(a, b Point) int { return cmp.Or(cmp.Compare(a.X, b.X), cmp.Compare(a.Y, b.Y)) })
	points = slices.Compact(points)
	if len(points) < 3 {
		return points
	}
	lower := chain(points)
	slices.Reverse(points)
	upper := chain(points)
	return append(lower[:len(lower)-1], upper[:len(upper)-1]...)
}

// chain returns the points of one side of the hull, of points in order.
func chain(points []Point) []Point {
	var c []Point
	for _, p := range points {
		for len(c) > 1 && cross(c[len(c)-2], c[len(c)-1], p) <= 0 {
			c = c[:len(c)-1]
		}
		c = append(c, p)
	}
	return c
}

func cross(a, b, c Point) float64 { return (b.X-a.X)*(c.Y-a.Y) - (b.Y-a.Y)*(c.X-a.X) }

func (r rectangle) shorter() float64 { return min(r.width, r.height) }

// grow moves every edge outwards. What the detector marks is a line of text without its margin:
// area times ratio over circumference, by which it was moved inwards to train it.
func (r rectangle) grow(ratio float64) rectangle {
	by := r.width * r.height * ratio / (2 * (r.width + r.height))
	r.width, r.height = r.width+2*by, r.height+2*by
	return r
}

// corners returns the corners, ordered.
func (r rectangle) corners() Quad {
	u := Point{r.along.X * r.width / 2, r.along.Y * r.width / 2}
	v := Point{-r.along.Y * r.height / 2, r.along.X * r.height / 2}
	c := r.center
	return ordered(Quad{
		{c.X - u.X - v.X, c.Y - u.Y - v.Y}, {c.X + u.X - v.X, c.Y + u.Y - v.Y},
		{c.X + u.X + v.X, c.Y + u.Y + v.Y}, {c.X - u.X + v.X, c.Y - u.Y + v.Y},
	})
}

// ordered puts corners into a Quad's order: the left ones are those with the smallest x, and of them,
// as of the right ones, the one with the smaller y is the upper one.
func ordered(q Quad) Quad {
	slices.SortStableFunc(q[:], func(a, b Point) int { return cmp.Compare(a.X, b.X) })
	if q[0].Y > q[1].Y {
		q[0], q[1] = q[1], q[0]
	}
	if q[2].Y > q[3].Y {
		q[2], q[3] = q[3], q[2]
	}
	return Quad{q[0], q[2], q[3], q[1]}
}

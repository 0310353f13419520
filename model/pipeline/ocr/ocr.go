// Package ocr answers: where is text in this picture, and what does a model that reads single
// lines get to see? It has the steps between the two models of PP-OCR, as PaddleOCR and RapidOCR
// do them, and runs neither model.
//
// The detector gets the picture in a size that it takes (Size), and gives a map with the
// probability of each place to be text. Find makes quadrilaterals of the map, as the paper on
// differentiable binarization does (Liao and others, 2019): regions above a threshold, the
// smallest rectangle around each, its score, and the margin that the detector is trained to leave
// off. Sort puts them into reading order, Cut cuts each out of the picture, upright, and Line makes
// of it what the reader takes.
//
// It stands inside the box. Picture and map may be hostile: the number of regions, the area cut out
// and the length of a line are bounded, and every loop ends with its context.
//
// Places are in pixels, x to the right and y down.
package ocr

import (
	"cmp"
	"math"
	"slices"
)

// Point is a place.
type Point struct{ X, Y float64 }

func (p Point) distance(q Point) float64 { return math.Hypot(p.X-q.X, p.Y-q.Y) }

// Quad is where a line of text is: its upper left, upper right, lower right and lower left corner.
type Quad [4]Point

// width is the longer of the upper and the lower edge, height that of the left and the right one.
func (q Quad) width() float64  { return max(q[0].distance(q[1]), q[2].distance(q[3])) }
func (q Quad) height() float64 { return max(q[0].distance(q[3]), q[1].distance(q[2])) }

// A detector takes sides that are multiples of this.
const multiple = 32

// Size is the size of a picture for the detector: the longer side is at most longest, the shorter
// one at least shortest where that leaves the longer one its limit, and both are then multiples
// of 32 pixels.
func Size(w, h, longest, shortest int) (int, int) {
	ratio := 1.0
	if least := min(w, h); least < shortest {
		ratio = float64(shortest) / float64(least)
	}
	if most := float64(max(w, h)); most*ratio > float64(longest) {
		ratio = float64(longest) / most
	}
	side := func(n int) int {
		whole := math.Floor(float64(n) * ratio)
		return max(int(math.RoundToEven(whole/multiple)), 1) * multiple
	}
	return side(w), side(h)
}

// Sort puts quadrilaterals into reading order: from top to bottom, and from left to right those
// whose upper left corners are less than 10 pixels apart in height.
func Sort(list []Quad) {
	slices.SortStableFunc(list, func(a, b Quad) int {
		return cmp.Or(cmp.Compare(a[0].Y, b[0].Y), cmp.Compare(a[0].X, b[0].X))
	})
	const line = 10
	for i := 1; i < len(list); i++ {
		for j := i; j > 0 && math.Abs(list[j][0].Y-list[j-1][0].Y) < line && list[j][0].X < list[j-1][0].X; j-- {
			list[j], list[j-1] = list[j-1], list[j]
		}
	}
}

// LineWidth is how wide a line of text is when it is so high: at least 320 pixels where the height
// is 48, and at most 3200, into which a longer one is squeezed. text is how much of that the line
// itself takes.
func LineWidth(w, h, height int) (width, text int) {
	const least, most = 320. / 48, 3200. / 48
	ratio := float64(w) / float64(h)
	width = int(float64(height) * min(max(ratio, least), most))
	return width, max(min(int(math.Ceil(float64(height)*ratio)), width), 1)
}

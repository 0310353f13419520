package sample

import (
	"math"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// Regions pools rectangles of images into squares of one size (ONNX, RoiAlign).
type Regions struct {
	Channels, Height, Width int // of the images
	Rows, Columns           int // of each result
	Ratio                   int // samples along each side of a cell; 0: as many as it has elements
	Scale                   float64
	Half                    bool // coordinates are those of corners of elements, not of their middle
	Max                     bool // the greatest of all samples, not their mean
}

// side is the samples along one side of a region: for each, the elements on both sides
// of it and how much the second counts. An element of -1 lies outside.
type side struct {
	low, high []int
	second    []float64
	per       int // samples in each cell
}

// mostSamples bounds what a region that reaches far beyond its image may cost.
const mostSamples = 1 << 16

// side places samples in cells between start and end, along n elements. It is false
// if that would be too many.
func (r Regions) side(start, end float64, cells, n int) (side, bool) {
	start, end = start*r.Scale, end*r.Scale
	if r.Half {
		start, end = start-0.5, end-0.5
	}
	length := end - start
	if !r.Half {
		length = max(length, 1)
	}
	each := length / float64(cells)
	per := float64(r.Ratio)
	if r.Ratio <= 0 {
		per = math.Ceil(each)
	}
	if !(per*float64(cells) <= mostSamples) || math.IsNaN(start) {
		return side{}, false
	}
	s := side{per: int(max(per, 0))}
	for cell := range cells {
		for i := range s.per {
			s.add(start+float64(cell)*each+(float64(i)+0.5)*each/per, n)
		}
	}
	return s, true
}

func (s *side) add(x float64, n int) {
	low, high, second := -1, -1, 0.0
	if x >= -1 && x <= float64(n) {
		x = max(x, 0)
		low = min(int(x), n-1)
		high = min(low+1, n-1)
		if low < n-1 {
			second = x - float64(low)
		}
	}
	s.low, s.high, s.second = append(s.low, low), append(s.high, high), append(s.second, second)
}

// Pool computes one region, Channels x Rows x Columns, of the image in src. The
// corners of the region are x1, y1, x2, y2. It is false if the region is so large, or
// not a number, that it would take too many samples.
func Pool[F Float](on *kernel.On, r Regions, dst, src []F, corners [4]float64) bool {
	down, okDown := r.side(corners[1], corners[3], r.Rows, r.Height)
	across, okAcross := r.side(corners[0], corners[2], r.Columns, r.Width)
	if !okDown || !okAcross {
		return false
	}
	for c := range r.Channels {
		image := src[c*r.Height*r.Width:]
		for row := range r.Rows {
			for column := range r.Columns {
				if on.Err() != nil {
					return true
				}
				dst[(c*r.Rows+row)*r.Columns+column] = cell(on, r, image, &down, &across, row, column)
			}
		}
	}
	return true
}

// cell pools the samples of one cell.
func cell[F Float](on *kernel.On, r Regions, image []F, down, across *side, row, column int) F {
	var sum F
	first := true
	for i := row * down.per; i < (row+1)*down.per && on.Err() == nil; i++ {
		for j := column * across.per; j < (column+1)*across.per; j++ {
			four := corners(r, image, down, across, i, j)
			if !r.Max {
				sum += four[0] + four[1] + four[2] + four[3]
				continue
			}
			if m := max(four[0], four[1], four[2], four[3]); first || m > sum {
				sum, first = m, false
			}
		}
	}
	if r.Max {
		return sum
	}
	return sum / F(max(1, down.per*across.per))
}

// corners is the shares of the four elements around a sample.
func corners[F Float](r Regions, image []F, down, across *side, i, j int) [4]F {
	if down.low[i] < 0 || across.low[j] < 0 {
		return [4]F{}
	}
	low, high := image[down.low[i]*r.Width:], image[down.high[i]*r.Width:]
	y, x := F(down.second[i]), F(across.second[j])
	return [4]F{
		(1 - y) * (1 - x) * low[across.low[j]], (1 - y) * x * low[across.high[j]],
		y * (1 - x) * high[across.low[j]], y * x * high[across.high[j]],
	}
}

// Package sample answers what lies between the points of an array: it enlarges and
// shrinks images, and reads them at places that are given as coordinates. It works on
// slices whose sizes the caller has checked, and knows nothing of models.
package sample

import (
	"math"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// Float is what the package computes with.
type Float interface{ float32 | float64 }

// chunk is about how many elements a loop computes between two looks at the context.
const chunk = 1 << 14

// Taps says how the elements along one dimension are made from those of another
// array: element i is the sum of src[From[k]]*Weight[k] for the Width values of k from
// i*Width on. Where Outside is set, it is Fill instead.
type Taps struct {
	Width   int
	From    []int
	Weight  []float64
	Outside []bool
	Fill    float64
}

// Len is the number of elements that the taps make.
func (t *Taps) Len() int { return len(t.From) / t.Width }

// Block is an array of Outer x Out x Inner elements that is made from one of Outer x In
// x Inner.
type Block struct{ Outer, In, Out, Inner int }

// Apply makes elements of dst from those of src: those from first on along the middle
// dimension, as many as the taps are for.
func Apply[F Float](on *kernel.On, t *Taps, dst, src []F, b Block, first int) error {
	weight := make([]F, len(t.Weight))
	for i, w := range t.Weight {
		weight[i] = F(w)
	}
	if b.Inner == 1 {
		return rows(on, t, weight, dst, src, b, first)
	}
	count := t.Len()
	each := max(1, chunk/b.Inner)
	return on.Parallel((b.Outer*count+each-1)/each, func(part int) {
		for row := part * each; row < min((part+1)*each, b.Outer*count) && on.Err() == nil; row++ {
			o, i := row/count, row%count
			to := dst[(o*b.Out+first+i)*b.Inner:][:b.Inner]
			if t.Outside != nil && t.Outside[i] {
				fill(to, F(t.Fill))
				continue
			}
			mix(to, src[o*b.In*b.Inner:(o+1)*b.In*b.Inner], t.From[i*t.Width:(i+1)*t.Width], weight[i*t.Width:(i+1)*t.Width])
		}
	})
}

// mix makes dst the weighted sum of some of the rows of src.
func mix[F Float](dst, src []F, from []int, weight []F) {
	inner := len(dst)
	k := 0
	if len(from) >= 2 {
		a, b := src[from[0]*inner:][:inner], src[from[1]*inner:][:inner]
		x, y := weight[0], weight[1]
		for j := range dst {
			dst[j] = a[j]*x + b[j]*y
		}
		k = 2
	} else {
		fill(dst, 0)
	}
	for ; k < len(from); k++ {
		a, x := src[from[k]*inner:][:inner], weight[k]
		for j := range dst {
			dst[j] += a[j] * x
		}
	}
}

func fill[F Float](dst []F, v F) {
	for i := range dst {
		dst[i] = v
	}
}

// rows is Apply along the last dimension.
func rows[F Float](on *kernel.On, t *Taps, weight, dst, src []F, b Block, first int) error {
	count := t.Len()
	pieces := (count + chunk - 1) / chunk
	return on.Parallel(b.Outer*pieces, func(part int) {
		o, low := part/pieces, part%pieces*chunk
		row(t, weight, dst[o*b.Out+first:][:count], src[o*b.In:(o+1)*b.In], low, min(low+chunk, count))
	})
}

func row[F Float](t *Taps, weight, dst, src []F, low, high int) {
	if t.Width == 2 {
		for i := low; i < high; i++ {
			from, w := t.From[2*i:2*i+2:2*i+2], weight[2*i:2*i+2:2*i+2]
			dst[i] = src[from[0]]*w[0] + src[from[1]]*w[1]
		}
	} else {
		for i := low; i < high; i++ {
			var sum F
			for k := i * t.Width; k < (i+1)*t.Width; k++ {
				sum += src[t.From[k]] * weight[k]
			}
			dst[i] = sum
		}
	}
	for i := low; i < high && t.Outside != nil; i++ {
		if t.Outside[i] {
			dst[i] = F(t.Fill)
		}
	}
}

// Axis is how one dimension is resized (ONNX, Resize).
type Axis struct {
	In, Out    int
	Scale      float64
	Coordinate string  // coordinate_transformation_mode
	Low, High  float64 // the part that tf_crop_and_resize reads
}

// At is where element i of the result lies between the elements of the operand.
func (a Axis) At(i int) float64 {
	in, out, x := float64(a.In), a.Scale*float64(a.In), float64(i)
	switch a.Coordinate {
	case "align_corners":
		if out == 1 {
			return 0
		}
		return x * (in - 1) / (out - 1)
	case "asymmetric":
		return x / a.Scale
	case "tf_crop_and_resize":
		if out == 1 {
			return (a.Low + a.High) * (in - 1) / 2
		}
		return a.Low*(in-1) + x*(a.High-a.Low)*(in-1)/(out-1)
	case "tf_half_pixel_for_nn":
		return (x + 0.5) / a.Scale
	case "pytorch_half_pixel":
		if out == 1 {
			return -0.5
		}
	case "half_pixel_symmetric":
		return in/2*(1-float64(a.Out)/out) + (x+0.5)/a.Scale - 0.5
	}
	return (x+0.5)/a.Scale - 0.5
}

// outside says whether tf_crop_and_resize finds nothing at x.
func (a Axis) outside(x float64) bool {
	return a.Coordinate == "tf_crop_and_resize" && !(x >= 0 && x <= float64(a.In-1))
}

// Nearest finds the nearest element of the operand for each of the result, -1 for
// none. Rounding is a nearest_mode of Resize, or "simple": what operator sets before
// 11 do.
func (a Axis) Nearest(from []int64, rounding string) {
	for i := range from {
		x := a.At(i)
		if a.outside(x) {
			from[i] = -1
			continue
		}
		from[i] = int64(clamp(round(x, rounding, a.Scale), a.In))
	}
}

func round(x float64, rounding string, scale float64) float64 {
	switch rounding {
	case "round_prefer_floor":
		return math.Ceil(x - 0.5)
	case "round_prefer_ceil":
		return math.Floor(x + 0.5)
	case "ceil":
		return math.Ceil(x)
	case "simple":
		if scale < 1 {
			return math.Ceil(x)
		}
	}
	return math.Floor(x)
}

// clamp makes x an index of n elements; what is no number becomes 0.
func clamp(x float64, n int) int {
	if !(x > 0) {
		return 0
	}
	return int(min(x, float64(n-1)))
}

// Weights is a way to weigh the neighbours of a place between elements: Width of
// them, the middle two of which are the nearest on either side. Of gives the weights
// if the place is as far as ratio, 0 to 1, from the left of these two.
type Weights struct {
	Width int
	Of    func(ratio float64, weights []float64)
}

// Linear weighs two neighbours by their distance.
func Linear() Weights {
	return Weights{2, func(ratio float64, w []float64) { w[0], w[1] = 1-ratio, ratio }}
}

// Cubic weighs four neighbours by the cubic convolution with parameter a (Keys, 1981).
func Cubic(a float64) Weights {
	return Weights{4, func(ratio float64, w []float64) {
		for i := range w {
			w[i] = cubic(float64(i-1)-ratio, a)
		}
	}}
}

func cubic(x, a float64) float64 {
	x = math.Abs(x)
	switch {
	case x <= 1:
		return ((a+2)*x-(a+3))*x*x + 1
	case x < 2:
		return ((a*x-5*a)*x+8*a)*x - 4*a
	}
	return 0
}

// Wide stretches weights for shrinking by scale, so that every element counts
// (antialias in ONNX, Resize). reach is how far the weights reach without: 1 for
// linear, 2 for cubic.
func Wide(scale, reach float64, of func(x float64) float64) Weights {
	scale = min(scale, 1)
	first := math.Floor(-reach/scale) + 1
	return Weights{int(2 - 2*first), func(ratio float64, w []float64) {
		sum := 0.0
		for i := range w {
			w[i] = of((first + float64(i) - ratio) * scale)
			sum += w[i]
		}
		for i := range w {
			w[i] /= sum
		}
	}}
}

// Triangle is the weight of linear interpolation at distance x.
func Triangle(x float64) float64 { return max(0, 1-math.Abs(x)) }

// Bump is the weight of cubic convolution with parameter a at distance x.
func Bump(a float64) func(x float64) float64 { return func(x float64) float64 { return cubic(x, a) } }

// Taps applies weights to count elements of the result, from first on. Neighbours
// beyond the edge are the elements at the edge, or with exclude they do not count. fill
// is for places outside.
func (a Axis) Taps(first, count int, w Weights, exclude bool, fill float64) *Taps {
	t := &Taps{Width: w.Width, From: make([]int, count*w.Width), Weight: make([]float64, count*w.Width), Fill: fill}
	for i := range count {
		x := a.At(first + i)
		if a.outside(x) {
			if t.Outside == nil {
				t.Outside = make([]bool, count)
			}
			t.Outside[i] = true
			continue
		}
		left := math.Floor(x)
		from, weights := t.From[i*w.Width:(i+1)*w.Width], t.Weight[i*w.Width:(i+1)*w.Width]
		w.Of(x-left, weights)
		for k := range from {
			place := left + float64(k+1-w.Width/2)
			from[k] = clamp(place, a.In)
			if exclude && (place < 0 || place >= float64(a.In)) {
				weights[k] = 0
			}
		}
		if exclude {
			normalise(weights)
		}
	}
	return t
}

func normalise(w []float64) {
	sum := 0.0
	for _, x := range w {
		sum += x
	}
	for i := range w {
		if sum != 0 {
			w[i] /= sum
		}
	}
}

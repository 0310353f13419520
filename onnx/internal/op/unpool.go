package op

import (
	"fmt"
	"math"
	"slices"

	"github.com/blindbox/blindbox/onnx/tensor"
)

func regionOperators() map[string]Spec {
	return map[string]Spec{
		"MaxUnpool":  {MinIn: 2, MaxIn: 3, MaxOut: 1, Make: makeMaxUnpool},
		"MaxRoiPool": {MinIn: 2, MaxIn: 2, MaxOut: 1, Make: makeMaxRoiPool},
		"Col2Im":     {MinIn: 3, MaxIn: 3, MaxOut: 1, Make: makeCol2Im, Since: 18},
		"DeformConv": {MinIn: 3, MaxIn: 5, MaxOut: 1, Make: makeDeformConv, Since: 19},
	}
}

// maxUnpool puts elements back where MaxPool found them, with zeros between.
type maxUnpool struct{ frame }

func makeMaxUnpool(a *Attributes, _ int64) (Operator, error) {
	o := maxUnpool{frame{auto: "NOTSET"}}
	o.kernel, _ = a.ints("kernel_shape")
	o.strides, _ = a.ints("strides")
	o.pads, _ = a.ints("pads")
	return o, o.needKernel()
}

// pooled is the shape that MaxPool had before it; open dimensions stay open.
func (o maxUnpool) pooled(shape []int64) ([]int64, error) {
	p, err := o.sizes(shape[2:], o.kernel)
	if err != nil {
		return nil, err
	}
	out := slices.Clone(shape)
	for d, size := range p.in {
		if size < 0 {
			continue
		}
		if p.strides[d] > maxWindow/max(1, size) {
			return nil, fmt.Errorf("dimension %d of the result is too large", d)
		}
		out[2+d] = max(0, (size-1)*p.strides[d]+p.kernel[d]-p.begin[d]-p.end[d])
	}
	return out, nil
}

func (o maxUnpool) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, tensor.Float32); err != nil {
		return nil, err
	}
	if err := needType(in, 1, tensor.Int64); err != nil {
		return nil, err
	}
	if err := needImage(in, 0, 0); err != nil {
		return nil, err
	}
	if in[0].Complete() && in[1].Complete() && !slices.Equal(in[0].Shape, in[1].Shape) {
		return nil, BadInput(1, "has shape %v, expected %v", in[1].Shape, in[0].Shape)
	}
	if !in[0].Ranked {
		return []Info{unranked(tensor.Float32)}, nil
	}
	shape, err := o.pooled(in[0].Shape)
	if err != nil {
		return nil, &OperandError{0, err}
	}
	if !present(in, 2) {
		return []Info{ranked(tensor.Float32, shape...)}, nil
	}
	if err := needVector(in, 2); err != nil {
		return nil, err
	}
	want, ok := in[2].ints()
	if !ok {
		return []Info{ranked(tensor.Float32, openShape(len(shape))...)}, nil
	}
	if len(want) != len(shape) || slices.Min(want) < 0 {
		return nil, BadInput(2, "is %v, expected the shape of the result", want)
	}
	return []Info{ranked(tensor.Float32, want...)}, nil
}

// Run reads places in the shape that MaxPool had; a larger result has zeros behind.
func (o maxUnpool) Run(env *Env, in, out []*tensor.Tensor) error {
	shape, err := o.pooled(in[0].Shape)
	if err != nil {
		return &OperandError{0, err}
	}
	dst, src, at := tensor.Data[float32](out[0]), tensor.Data[float32](in[0]), tensor.Data[int64](in[1])
	clear(dst)
	for i, place := range at {
		if i%4096 == 0 && env.On.Err() != nil {
			return env.On.Err()
		}
		to, ok := moved(place, shape, out[0].Shape)
		if !ok {
			return BadInput(1, "has place %d, which is not in %v", place, out[0].Shape)
		}
		dst[to] = src[i]
	}
	return nil
}

// moved turns a place in a shape into that of the same element in another.
func moved(place int64, from, to []int64) (int64, bool) {
	at, scale := int64(0), int64(1)
	if place < 0 {
		return 0, false
	}
	for d := len(from) - 1; d >= 0; d-- {
		if from[d] == 0 {
			return 0, false
		}
		i := place % from[d]
		place /= from[d]
		if i >= to[d] {
			return 0, false
		}
		at += i * scale
		scale *= to[d]
	}
	return at, place == 0
}

// maxRoiPool takes maxima over a grid of cells in regions of images.
type maxRoiPool struct {
	cells []int64
	scale float64
}

func makeMaxRoiPool(a *Attributes, _ int64) (Operator, error) {
	o := maxRoiPool{scale: float64(a.float("spatial_scale", 1))}
	o.cells, _ = a.ints("pooled_shape")
	if len(o.cells) != 2 || slices.Min(o.cells) < 1 || slices.Max(o.cells) > maxWindow {
		return nil, fmt.Errorf(`attribute "pooled_shape" is %v, expected two sizes`, o.cells)
	}
	return o, nil
}

func (o maxRoiPool) Infer(in []*Info) ([]Info, error) {
	if err := needFloats(in); err != nil {
		return nil, err
	}
	if err := needRank(in, 0, 4, "images of rank 4"); err != nil {
		return nil, err
	}
	channels, regions := int64(-1), int64(-1)
	if in[0].Ranked {
		channels = in[0].Shape[1]
	}
	if in[1].Ranked {
		if !agreeing(in[1].Shape, []int64{-1, 5}) {
			return nil, BadInput(1, "has shape %v, expected regions of 5 numbers", in[1].Shape)
		}
		regions = in[1].Shape[0]
	}
	return []Info{ranked(tensor.Float32, regions, channels, o.cells[0], o.cells[1])}, nil
}

func (o maxRoiPool) Run(env *Env, in, out []*tensor.Tensor) error {
	shape := in[0].Shape
	regions := tensor.Data[float32](in[1])
	images, channels, h, w := int(shape[0]), int(shape[1]), int(shape[2]), int(shape[3])
	dst, src := tensor.Data[float32](out[0]), tensor.Data[float32](in[0])
	for i := 0; i < len(regions); i += 5 {
		if n := regions[i]; !(n >= 0 && int64(n) < int64(images)) {
			return BadInput(1, "has a region of image %v, there are %d", n, images)
		}
	}
	cells := int(o.cells[0] * o.cells[1])
	return env.On.Parallel(len(dst)/cells, func(part int) {
		r := regions[part/channels*5:]
		plane := src[(int(r[0])*channels+part%channels)*h*w:][:h*w]
		for y := range int(o.cells[0]) {
			if env.On.Err() != nil {
				return
			}
			top, bottom := o.cell(r[2], r[4], y, int(o.cells[0]), h)
			for x := range int(o.cells[1]) {
				left, right := o.cell(r[1], r[3], x, int(o.cells[1]), w)
				dst[part*cells+y*int(o.cells[1])+x] = maxWithin(plane, w, top, bottom, left, right)
			}
		}
	})
}

// cell is the range of pixels of cell i of n between two ends of a region.
func (o maxRoiPool) cell(from, to float32, i, n, size int) (int, int) {
	start, end := math.Round(float64(from)*o.scale), math.Round(float64(to)*o.scale)
	length := max(end-start+1, 1) / float64(n)
	low := math.Floor(float64(i)*length) + start
	high := math.Ceil(float64(i+1)*length) + start
	return within(low, size), within(high, size)
}

// within brings a position, which may be NaN, onto 0 to size.
func within(x float64, size int) int {
	if !(x > 0) {
		return 0
	}
	return int(min(x, float64(size)))
}

// maxWithin is the maximum over a rectangle, or 0 if that is empty.
func maxWithin(plane []float32, width, top, bottom, left, right int) float32 {
	if top >= bottom || left >= right {
		return 0
	}
	best := float32(math.Inf(-1))
	for y := top; y < bottom; y++ {
		for _, v := range plane[y*width+left : y*width+right] {
			best = max(best, v)
		}
	}
	return best
}

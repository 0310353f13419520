package op

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// col2im adds columns, each a block of an image, back to the image.
type col2im struct{ frame }

func makeCol2Im(a *Attributes, _ int64) (Operator, error) {
	o := col2im{frame{auto: "NOTSET"}}
	o.strides, _ = a.ints("strides")
	o.pads, _ = a.ints("pads")
	o.readDilation(a)
	return o, nil
}

func (o col2im) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, tensor.Float32); err != nil {
		return nil, err
	}
	for i := 1; i < 3; i++ {
		if err := needVector(in, i); err != nil {
			return nil, err
		}
	}
	x := in[0]
	if x.Ranked && len(x.Shape) != 3 {
		return nil, BadInput(0, "has shape %v, expected 3 dimensions", x.Shape)
	}
	size, ok := in[1].ints()
	block, alsoOK := in[2].ints()
	if !ok || !alsoOK || !x.Ranked {
		return []Info{unranked(tensor.Float32)}, nil
	}
	p, err := o.over(size, block)
	if err != nil {
		return nil, err
	}
	per := countStack(p.kernel)
	if l := countStack(p.out); x.Shape[1] >= 0 && x.Shape[1]%per != 0 || x.Shape[2] >= 0 && x.Shape[2] != l {
		return nil, BadInput(0, "has shape %v, expected a multiple of %d rows and %d columns", x.Shape, per, l)
	}
	channels := int64(-1)
	if x.Shape[1] >= 0 {
		channels = x.Shape[1] / per
	}
	return []Info{ranked(tensor.Float32, append([]int64{x.Shape[0], channels}, size...)...)}, nil
}

// over places the block on the image.
func (o col2im) over(size, block []int64) (placed, error) {
	if len(size) == 0 || slices.Min(size) < 0 || len(block) != len(size) || slices.Min(block) < 1 {
		return placed{}, BadInput(1, "is %v with blocks of %v, expected sizes of an image", size, block)
	}
	if _, err := tensor.Count(size); err != nil {
		return placed{}, &OperandError{1, err}
	}
	if n, err := tensor.Count(block); err != nil || n > maxWindow {
		return placed{}, BadInput(2, "is %v, which is too large", block)
	}
	p, err := o.place(size, block)
	if err != nil {
		return p, &OperandError{1, err}
	}
	if _, err := tensor.Count(p.out); err != nil {
		return p, &OperandError{1, err}
	}
	return p, nil
}

func (o col2im) Run(env *Env, in, out []*tensor.Tensor) error {
	p, err := o.over(tensor.Data[int64](in[1]), tensor.Data[int64](in[2]))
	if err != nil {
		return err
	}
	dst, src := tensor.Data[float32](out[0]), tensor.Data[float32](in[0])
	taps, columns, size := int(countStack(p.kernel)), int(countStack(p.out)), int(countStack(p.in))
	return env.On.Parallel(len(dst)/max(1, size), func(plane int) {
		to := dst[plane*size:][:size]
		clear(to)
		for tap := range taps {
			for c, v := range src[(plane*taps+tap)*columns:][:columns] {
				if c%4096 == 0 && env.On.Err() != nil {
					return
				}
				if at, ok := p.onto(tap, c); ok {
					to[at] += v
				}
			}
		}
	})
}

// onto is the pixel under a tap of the window at an output position, if there is one.
func (p placed) onto(tap, position int) (int, bool) {
	at, scale := 0, 1
	for d := len(p.in) - 1; d >= 0; d-- {
		k, o := int64(tap)%p.kernel[d], int64(position)%p.out[d]
		tap, position = tap/int(p.kernel[d]), position/int(p.out[d])
		i := o*p.strides[d] + k*p.dilation[d] - p.begin[d]
		if i < 0 || i >= p.in[d] {
			return 0, false
		}
		at += int(i) * scale
		scale *= int(p.in[d])
	}
	return at, true
}

// deformConv is a 2-d convolution whose taps are moved by an operand of their own, and
// read between pixels.
type deformConv struct {
	frame
	groups, moves int64
}

func makeDeformConv(a *Attributes, _ int64) (Operator, error) {
	o := deformConv{frame: frame{auto: "NOTSET"}, groups: a.int("group", 1), moves: a.int("offset_group", 1)}
	o.kernel, _ = a.ints("kernel_shape")
	o.strides, _ = a.ints("strides")
	o.pads, _ = a.ints("pads")
	o.readDilation(a)
	if o.groups < 1 || o.moves < 1 || o.groups > maxWindow || o.moves > maxWindow {
		return nil, fmt.Errorf("%d groups and %d groups of offsets", o.groups, o.moves)
	}
	return o, nil
}

func (o deformConv) Infer(in []*Info) ([]Info, error) {
	for i, v := range in {
		if v == nil && i > 2 {
			continue
		}
		if err := needType(in, i, tensor.Float32); err != nil {
			return nil, err
		}
		if i != 3 && in[i].Ranked && len(in[i].Shape) != 4 {
			return nil, BadInput(i, "has shape %v, expected 4 dimensions", in[i].Shape)
		}
	}
	x, w := in[0], in[1]
	if !x.Ranked || !w.Ranked {
		return []Info{ranked(tensor.Float32, openShape(4)...)}, nil
	}
	if err := needLen(in, 3, w.Shape[0]); err != nil {
		return nil, err
	}
	if !x.Complete() || !w.Complete() {
		return []Info{ranked(tensor.Float32, x.Shape[0], w.Shape[0], -1, -1)}, nil
	}
	p, err := o.over(x.Shape, w.Shape)
	if err != nil {
		return nil, err
	}
	if err := o.needOffsets(in, p, x.Shape[0]); err != nil {
		return nil, err
	}
	return []Info{ranked(tensor.Float32, x.Shape[0], w.Shape[0], p.out[0], p.out[1])}, nil
}

// over places the window, after the groups have been checked.
func (o deformConv) over(x, w []int64) (placed, error) {
	if x[1] != w[1]*o.groups || w[0]%o.groups != 0 || x[1]%o.moves != 0 {
		return placed{}, BadInput(1, "has shape %v in %d groups, which does not fit %v with %d groups of offsets", w, o.groups, x, o.moves)
	}
	if o.kernel != nil && !slices.Equal(o.kernel, w[2:]) {
		return placed{}, BadInput(1, "has shape %v, but kernel_shape is %v", w, o.kernel)
	}
	p, err := o.place(x[2:], w[2:])
	if err != nil {
		return p, &OperandError{0, err}
	}
	return p, nil
}

// needOffsets holds offsets and mask to two and one number for each tap.
func (o deformConv) needOffsets(in []*Info, p placed, batch int64) error {
	taps := p.kernel[0] * p.kernel[1]
	for i, per := range [...]int64{2: 2, 4: 1} {
		if per == 0 || !present(in, i) || !in[i].Complete() {
			continue
		}
		if taps > maxWindow/per/o.moves || !slices.Equal(in[i].Shape, []int64{batch, per * o.moves * taps, p.out[0], p.out[1]}) {
			return BadInput(i, "has shape %v, expected %d numbers for each of %d taps at %v", in[i].Shape, per*o.moves, taps, p.out)
		}
	}
	return nil
}

func (o deformConv) Run(env *Env, in, out []*tensor.Tensor) error {
	p, err := o.over(in[0].Shape, in[1].Shape)
	if err != nil {
		return err
	}
	if in[2] == nil {
		return errors.New("has no offsets")
	}
	r := deformRun{deformConv: o, p: p, x: tensor.Data[float32](in[0]), w: tensor.Data[float32](in[1]),
		offsets: tensor.Data[float32](in[2]), bias: optionalFloats(in, 3), mask: optionalFloats(in, 4),
		channels: int(in[0].Shape[1]), filters: int(in[1].Shape[0])}
	dst := tensor.Data[float32](out[0])
	size := int(countStack(p.out))
	return env.On.Parallel(int(in[0].Shape[0])*size, func(part int) {
		n, at := part/size, part%size
		column := r.column(n, at, size)
		for f := range r.filters {
			dst[(n*r.filters+f)*size+at] = r.filter(f, column)
		}
	})
}

// deformRun is one run.
type deformRun struct {
	deformConv
	p                         placed
	x, w, offsets, bias, mask []float32
	channels, filters         int
}

// column reads what all taps see at an output position: channels x taps.
func (r *deformRun) column(n, at, size int) []float32 {
	p := r.p
	h, w, taps := int(p.in[0]), int(p.in[1]), int(p.kernel[0]*p.kernel[1])
	column := make([]float32, r.channels*taps)
	y, x := at/int(p.out[1]), at%int(p.out[1])
	per := r.channels / int(r.moves)
	for m := range int(r.moves) {
		for tap := range taps {
			row := (n*int(r.moves)+m)*taps + tap
			ky, kx := tap/int(p.kernel[1]), tap%int(p.kernel[1])
			sy := float64(y*int(p.strides[0])+ky*int(p.dilation[0])-int(p.begin[0])) + float64(r.offsets[2*row*size+at])
			sx := float64(x*int(p.strides[1])+kx*int(p.dilation[1])-int(p.begin[1])) + float64(r.offsets[(2*row+1)*size+at])
			weight := 1.0
			if r.mask != nil {
				weight = float64(r.mask[row*size+at])
			}
			for c := m * per; c < (m+1)*per; c++ {
				column[c*taps+tap] = float32(weight * bilinear(r.x[(n*r.channels+c)*h*w:][:h*w], h, w, sy, sx))
			}
		}
	}
	return column
}

// filter is one output element.
func (r *deformRun) filter(f int, column []float32) float32 {
	per := len(column) / int(r.groups)
	group := f / (r.filters / int(r.groups))
	sum := 0.0
	if r.bias != nil {
		sum = float64(r.bias[f])
	}
	for i, w := range r.w[f*per : (f+1)*per] {
		sum += float64(w) * float64(column[group*per+i])
	}
	return float32(sum)
}

// bilinear reads an image at a position between pixels; outside of it there are zeros.
func bilinear(plane []float32, h, w int, y, x float64) float64 {
	if !(y > -1 && y < float64(h) && x > -1 && x < float64(w)) {
		return 0
	}
	top, left := math.Floor(y), math.Floor(x)
	sum := 0.0
	for i := range 4 {
		row, column := int(top)+i/2, int(left)+i%2
		if row < 0 || row >= h || column < 0 || column >= w {
			continue
		}
		sum += float64(plane[row*w+column]) * (1 - math.Abs(y-float64(row))) * (1 - math.Abs(x-float64(column)))
	}
	return sum
}

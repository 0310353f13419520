package op

import (
	"fmt"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/sample"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// gridSample reads images, [batch, channels, dimensions ...], at the places in operand
// 1: [batch, dimensions of the result ..., coordinates].
type gridSample struct{ sample.Grid }

// makeGridSample: what was bilinear and bicubic is linear and cubic since operator set
// 20, which also knows more than two dimensions.
func makeGridSample(a *Attributes, opset int64) (Operator, error) {
	o := gridSample{}
	if opset < 20 {
		o.Mode = map[string]string{"bilinear": "linear", "nearest": "nearest", "bicubic": "cubic"}[a.oneOf("mode", "bilinear", "nearest", "bicubic")]
	} else {
		o.Mode = a.oneOf("mode", "linear", "nearest", "cubic")
	}
	o.Padding = a.oneOf("padding_mode", "zeros", "border", "reflection")
	o.Corners = a.flag("align_corners", false)
	return o, nil
}

func (o gridSample) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, numberTypes()...); err != nil {
		return nil, err
	}
	if err := needType(in, 1, floatTypes()...); err != nil {
		return nil, err
	}
	image, grid := in[0], in[1]
	if !image.Ranked || !grid.Ranked {
		return []Info{unranked(image.Type)}, nil
	}
	rank := len(image.Shape) - 2
	if rank < 1 || rank > 3 {
		return nil, BadInput(0, "has shape %v, expected a batch, channels and 1 to 3 dimensions", image.Shape)
	}
	if len(grid.Shape) != rank+2 {
		return nil, BadInput(1, "has shape %v, the images %v", grid.Shape, image.Shape)
	}
	if _, ok := sameDim(grid.Shape[rank+1], int64(rank)); !ok {
		return nil, BadInput(1, "has %d coordinates for %d dimensions", grid.Shape[rank+1], rank)
	}
	batch, ok := sameDim(image.Shape[0], grid.Shape[0])
	if !ok {
		return nil, BadInput(1, "has a batch of %d, the images of %d", grid.Shape[0], image.Shape[0])
	}
	return []Info{ranked(image.Type, slices.Concat([]int64{batch, image.Shape[1]}, grid.Shape[1:rank+1])...)}, nil
}

func (o gridSample) Run(env *Env, in, out []*tensor.Tensor) error {
	if slices.Contains(in[0].Shape, 0) {
		return BadInput(0, "has shape %v, there is nothing to read", in[0].Shape)
	}
	if in[0].Type == tensor.Float32 && in[1].Type == tensor.Float32 {
		return sampleGrid[float32](env, o.Grid, in[0], in[1], out[0])
	}
	wide, err := allFloat64(env, in[0], in[1], out[0])
	if err != nil {
		return err
	}
	if err := sampleGrid[float64](env, o.Grid, wide[0], wide[1], wide[2]); err != nil {
		return err
	}
	fromFloat64s(out[0], tensor.Data[float64](wide[2]))
	return nil
}

func sampleGrid[F float32 | float64](env *Env, g sample.Grid, image, grid, out *tensor.Tensor) error {
	size := integers(image.Shape[2:])
	places := int(countStack(out.Shape[2:]))
	return sample.Run(env.On, g, floatsOf[F](out), floatsOf[F](image), floatsOf[F](grid), int(image.Shape[0]), int(image.Shape[1]), places, size)
}

// allFloat64 converts tensors of numbers.
func allFloat64(env *Env, all ...*tensor.Tensor) ([]*tensor.Tensor, error) {
	wide := make([]*tensor.Tensor, len(all))
	for i, t := range all {
		var err error
		if wide[i], err = env.New(tensor.Float64, t.Shape); err != nil {
			return nil, err
		}
		reader[float64](t)(tensor.Data[float64](wide[i]), 0, 1)
	}
	return wide, nil
}

// affineGrid makes the grid for GridSample that turns, moves and stretches an image:
// operand 0 is a matrix for each image, operand 1 the size of the images.
type affineGrid struct{ corners bool }

func makeAffineGrid(a *Attributes, _ int64) (Operator, error) {
	return affineGrid{a.flag("align_corners", false)}, nil
}

func (o affineGrid) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, floatTypes()...); err != nil {
		return nil, err
	}
	if err := needVector(in, 1); err != nil {
		return nil, err
	}
	if err := needRank(in, 0, 3, "a matrix for each image"); err != nil {
		return nil, err
	}
	size, known := in[1].ints()
	if !known {
		return []Info{unranked(in[0].Type)}, nil
	}
	rank := int64(len(size)) - 2
	if rank != 2 && rank != 3 {
		return nil, BadInput(1, "has %d entries, expected a batch, channels and 2 or 3 dimensions", len(size))
	}
	if slices.Min(size) < 0 {
		return nil, BadInput(1, "asks for size %v", size)
	}
	if in[0].Ranked {
		if err := sameShape(in[0].Shape, []int64{size[0], rank, rank + 1}); err != nil {
			return nil, &OperandError{0, err}
		}
	}
	return []Info{ranked(in[0].Type, slices.Concat(size[:1], size[2:], []int64{rank})...)}, nil
}

func (o affineGrid) Run(env *Env, in, out []*tensor.Tensor) error {
	size := tensor.Data[int64](in[1])
	steps := make([][]float64, len(size)-2)
	for d := range steps {
		steps[d] = o.coordinates(int(size[d+2]))
	}
	theta := float64sOf(in[0])
	rank := len(steps)
	wide, err := env.New(tensor.Float64, out[0].Shape)
	if err != nil {
		return err
	}
	grid := tensor.Data[float64](wide)
	places, width := len(grid)/rank/int(size[0]), len(steps[rank-1])
	err = env.On.Parallel(len(grid)/rank/width, func(row int) { o.row(grid, theta, steps, row, places) })
	if err != nil {
		return err
	}
	fromFloat64s(out[0], grid)
	return nil
}

// row computes the places of one row along the last dimension.
func (o affineGrid) row(grid, theta []float64, steps [][]float64, row, places int) {
	rank := len(steps)
	last := steps[rank-1]
	image := row * len(last) / places
	matrix := theta[image*rank*(rank+1):]
	at := make([]float64, rank+1) // x, y (, z), 1
	at[rank] = 1
	for d, rest := rank-2, row; d >= 0; d-- {
		at[rank-1-d] = steps[d][rest%len(steps[d])]
		rest /= len(steps[d])
	}
	for i, x := range last {
		at[0] = x
		for c := range rank {
			sum := 0.0
			for k, v := range at {
				sum += matrix[c*(rank+1)+k] * v
			}
			grid[(row*len(last)+i)*rank+c] = sum
		}
	}
}

// coordinates is where n elements lie between -1 and 1.
func (o affineGrid) coordinates(n int) []float64 {
	at := make([]float64, n)
	for i := range at {
		switch {
		case !o.corners:
			at[i] = (2*float64(i)+1)/float64(n) - 1
		case n == 1:
			at[i] = -1
		default:
			at[i] = 2*float64(i)/float64(n-1) - 1
		}
	}
	return at
}

// roiAlign pools rectangles of images: operand 1 is their corners, operand 2 which
// image each is in.
type roiAlign struct {
	rows, columns, ratio int64
	scale                float64
	half, most           bool
}

func makeRoiAlign(a *Attributes, opset int64) (Operator, error) {
	o := roiAlign{rows: a.int("output_height", 1), columns: a.int("output_width", 1), ratio: a.int("sampling_ratio", 0)}
	o.scale = float64(a.float("spatial_scale", 1))
	o.most = a.oneOf("mode", "avg", "max") == "max"
	if opset >= 16 {
		o.half = a.oneOf("coordinate_transformation_mode", "half_pixel", "output_half_pixel") == "half_pixel"
	}
	const side = 1 << 16
	if min(o.rows, o.columns) < 1 || max(o.rows, o.columns) > side || o.ratio < 0 || o.ratio > side {
		return nil, fmt.Errorf("asks for regions of %d x %d with %d samples", o.rows, o.columns, o.ratio)
	}
	return o, nil
}

func (o roiAlign) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, floatTypes()...); err != nil {
		return nil, err
	}
	if err := needType(in, 1, in[0].Type); err != nil {
		return nil, err
	}
	if err := needVector(in, 2); err != nil {
		return nil, err
	}
	if err := needRank(in, 0, 4, "images of rank 4"); err != nil {
		return nil, err
	}
	out := []int64{-1, -1, o.rows, o.columns}
	if in[0].Ranked {
		out[1] = in[0].Shape[1]
	}
	regions := int64(-1)
	if in[2].Ranked {
		regions = in[2].Shape[0]
	}
	out[0] = regions
	if in[1].Ranked {
		if err := sameShape(in[1].Shape, []int64{regions, 4}); err != nil {
			return nil, &OperandError{1, err}
		}
		out[0], _ = sameDim(regions, in[1].Shape[0])
	}
	return []Info{ranked(in[0].Type, out...)}, nil
}

func (o roiAlign) Run(env *Env, in, out []*tensor.Tensor) error {
	if slices.Contains(in[0].Shape, 0) {
		return BadInput(0, "has shape %v, there is nothing to pool", in[0].Shape)
	}
	if in[0].Type == tensor.Float32 {
		return pool[float32](env, o, in[0], in[1], in[2], out[0])
	}
	wide, err := allFloat64(env, in[0], in[1], out[0])
	if err != nil {
		return err
	}
	if err := pool[float64](env, o, wide[0], wide[1], in[2], wide[2]); err != nil {
		return err
	}
	fromFloat64s(out[0], tensor.Data[float64](wide[2]))
	return nil
}

func pool[F float32 | float64](env *Env, o roiAlign, images, regions, which, out *tensor.Tensor) error {
	r := sample.Regions{Channels: int(images.Shape[1]), Height: int(images.Shape[2]), Width: int(images.Shape[3]),
		Rows: int(o.rows), Columns: int(o.columns), Ratio: int(o.ratio), Scale: o.scale, Half: o.half, Max: o.most}
	image, each := r.Channels*r.Height*r.Width, r.Channels*r.Rows*r.Columns
	index := tensor.Data[int64](which)
	for i, n := range index {
		if n < 0 || n >= images.Shape[0] {
			return BadInput(2, "entry %d is image %d of %d", i, n, images.Shape[0])
		}
	}
	wrong := make([]bool, len(index))
	src, dst, all := floatsOf[F](images), floatsOf[F](out), floatsOf[F](regions)
	err := env.On.Parallel(len(index), func(i int) {
		var corners [4]float64
		for k := range corners {
			corners[k] = float64(all[4*i+k])
		}
		wrong[i] = !sample.Pool(env.On, r, dst[i*each:(i+1)*each], src[int(index[i])*image:], corners)
	})
	if i := slices.Index(wrong, true); err == nil && i >= 0 {
		return BadInput(1, "region %d is too large or not a number: %v", i, all[4*i:4*i+4])
	}
	return err
}

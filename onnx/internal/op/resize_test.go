package op

import (
	"math"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

func TestResizeNearest(t *testing.T) {
	in := counted[int64](1, 1, 2, 2)
	twice := tensor.List[float32](1, 1, 2, 2)
	want := []int64{0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 3, 3, 2, 2, 3, 3}
	shape := []int64{1, 1, 4, 4}
	sameTensor(t, mustCompute(t, "Upsample", 7, attrs{"scales": []float32{1, 1, 2, 2}}, in), shape, want)
	sameTensor(t, mustCompute(t, "Upsample", 9, nil, in, twice), shape, want)
	sameTensor(t, mustCompute(t, "Resize", 10, nil, in, twice), shape, want)
	sameTensor(t, mustCompute(t, "Resize", 13, nil, in, nil, twice), shape, want)
	sameTensor(t, mustCompute(t, "Resize", 13, nil, in, nil, nil, tensor.List[int64](1, 1, 4, 4)), shape, want)
	sameTensor(t, mustCompute(t, "Resize", 11, nil, in, tensor.List[float32](), tensor.List[float32](), tensor.List[int64](1, 1, 4, 4)), shape, want)
	sameTensor(t, mustCompute(t, "Resize", 18, attrs{"axes": []int64{2, 3}}, in, nil, tensor.List[float32](2, 2)), shape, want)
	words := tensor.Of([]string{"a", "b"}, 2)
	sameTensor(t, mustCompute(t, "Resize", 13, nil, words, nil, tensor.List[float32](1.5)), []int64{3}, []string{"a", "a", "b"})
	row := counted[int64](4)
	for rounding, want := range map[string][]int64{"floor": {0, 0, 1, 2, 2, 3}, "ceil": {0, 1, 2, 2, 3, 3}, "round_prefer_floor": {0, 1, 1, 2, 3, 3}, "round_prefer_ceil": {0, 1, 1, 2, 3, 3}} {
		at := attrs{"nearest_mode": rounding, "coordinate_transformation_mode": "asymmetric"}
		sameTensor(t, mustCompute(t, "Resize", 13, at, row, nil, tensor.List[float32](1.5)), []int64{6}, want)
	}
	sameTensor(t, mustCompute(t, "Resize", 10, nil, row, tensor.List[float32](0.6)), []int64{2}, []int64{0, 2})
}

func TestResizeInterpolates(t *testing.T) {
	in := tensor.Of([]float32{1, 2, 3, 4}, 1, 1, 2, 2)
	nearTensor(t, mustCompute(t, "Resize", 13, attrs{"mode": "linear"}, in, nil, tensor.List[float32](1, 1, 2, 2)), []int64{1, 1, 4, 4},
		[]float32{1, 1.25, 1.75, 2, 1.5, 1.75, 2.25, 2.5, 2.5, 2.75, 3.25, 3.5, 3, 3.25, 3.75, 4})
	nearTensor(t, mustCompute(t, "Resize", 13, attrs{"mode": "linear", "coordinate_transformation_mode": "align_corners"}, in, nil, nil, tensor.List[int64](1, 1, 3, 3)), []int64{1, 1, 3, 3},
		[]float32{1, 1.5, 2, 2, 2.5, 3, 3, 3.5, 4})
	crop := attrs{"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 9.0}
	nearTensor(t, mustCompute(t, "Resize", 13, crop, tensor.List[float32](1, 2, 3), tensor.List[float32](0.5, 1.5), nil, tensor.List[int64](3)), []int64{3}, []float32{2, 3, 9})
	bytes := tensor.List[uint8](0, 255)
	sameTensor(t, mustCompute(t, "Resize", 13, attrs{"mode": "cubic"}, bytes, nil, nil, tensor.List[int64](4)), []int64{4}, []uint8{0, 58, 197, 255})
	wide := mustCompute(t, "Resize", 18, attrs{"mode": "linear", "antialias": 1}, counted[float32](8), nil, nil, tensor.List[int64](2))
	nearTensor(t, wide, []int64{2}, []float32{1.65625, 5.34375})
	keep := attrs{"axes": []int64{0, 1}, "keep_aspect_ratio_policy": "not_larger"}
	if got := mustCompute(t, "Resize", 18, keep, counted[float32](2, 4), nil, nil, tensor.List[int64](6, 8)); got.Shape[0] != 4 || got.Shape[1] != 8 {
		t.Errorf("not larger: shape %v", got.Shape)
	}
	keep["keep_aspect_ratio_policy"] = "not_smaller"
	if got := mustCompute(t, "Resize", 18, keep, counted[float32](2, 4), nil, nil, tensor.List[int64](6, 8)); got.Shape[0] != 6 || got.Shape[1] != 12 {
		t.Errorf("not smaller: shape %v", got.Shape)
	}
}

// TestResizeKeepsConstants: whatever the mode, weights add up to one, also where one
// dimension is done in several blocks, and on several threads.
func TestResizeKeepsConstants(t *testing.T) {
	in := tensor.Of([]float32{3, 3, 3, 3, 3, 3}, 1, 2, 3)
	for _, mode := range []string{"linear", "cubic"} {
		for _, coordinates := range []string{"half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric"} {
			for _, exclude := range []int{0, 1} {
				at := attrs{"mode": mode, "coordinate_transformation_mode": coordinates, "exclude_outside": exclude}
				out, err := computeOn(&kernel.On{Threads: 3}, "Resize", 13, at, 1, in, nil, nil, tensor.List[int64](1, 5, 40_000))
				if err != nil {
					t.Fatal(err)
				}
				for i, v := range tensor.Data[float32](out[0]) {
					if math.Abs(float64(v-3)) > 1e-5 {
						t.Fatalf("%v: %v at %d", at, v, i)
					}
				}
			}
		}
	}
}

func TestResizeRefuses(t *testing.T) {
	in, two := counted[float32](2, 2), tensor.List[float32](2, 2)
	sizes := tensor.List[int64]
	refused(t, "or sizes are required", "Resize", 13, nil, 1, in, nil)
	refused(t, "exclude each other", "Resize", 13, nil, 1, in, nil, two, sizes(4, 4))
	refused(t, "input 2: has 1 entries for 2 dimensions", "Resize", 13, nil, 1, in, nil, tensor.List[float32](2))
	refused(t, "asks for NaN times", "Resize", 13, nil, 1, in, nil, tensor.List(2, float32(math.NaN())))
	refused(t, "asks for -1 times", "Resize", 13, nil, 1, in, nil, tensor.List[float32](2, -1))
	refused(t, "asks for 1e+30 times", "Resize", 13, nil, 1, in, nil, tensor.List[float32](2, 1e30))
	refused(t, "asks for -1 elements", "Resize", 13, nil, 1, in, nil, nil, sizes(1, -1))
	refused(t, "asks for 1099511627776 elements", "Resize", 13, nil, 1, in, nil, nil, sizes(1, 1<<40))
	refused(t, "asks for 1 elements of dimension 0", "Resize", 13, nil, 1, counted[float32](0), nil, nil, sizes(1))
	refused(t, "is required by tf_crop", "Resize", 13, attrs{"coordinate_transformation_mode": "tf_crop_and_resize"}, 1, in, nil, two)
	refused(t, "input 1: has 1 entries for 2 dimensions", "Resize", 13, attrs{"coordinate_transformation_mode": "tf_crop_and_resize"}, 1, in, tensor.List[float32](1), two)
	refused(t, "input 1: is int64", "Resize", 13, nil, 1, in, sizes(1), two)
	refused(t, "input 2: is int64", "Resize", 13, nil, 1, in, nil, sizes(1, 1))
	refused(t, "input 2: has shape [1 2], expected a list", "Resize", 13, nil, 1, in, nil, counted[float32](1, 2))
	refused(t, "input 3: is float32", "Resize", 13, nil, 1, in, nil, nil, two)
	refused(t, "is string", "Resize", 13, attrs{"mode": "linear"}, 1, tensor.List("a"), nil, tensor.List[float32](2))
	refused(t, `"antialias" is not possible`, "Resize", 18, attrs{"antialias": 1}, 1, in, nil, two)
	refused(t, "expected one of", "Resize", 13, attrs{"coordinate_transformation_mode": "tf_half_pixel_for_nn"}, 1, in, nil, two)
	refused(t, `"axes": axis 2`, "Resize", 18, attrs{"axes": []int64{2}}, 1, in, nil, tensor.List[float32](2))
	refused(t, "expected at most 2", "Resize", 10, nil, 1, in, two, two)
	refused(t, `"scales" is required`, "Upsample", 7, nil, 1, in)
	refused(t, "expected at most 1", "Upsample", 7, attrs{"scales": []float32{2, 2}}, 1, in, two)
	refused(t, "is shrunk by", "Resize", 18, attrs{"mode": "linear", "antialias": 1}, 1, counted[float32](200_000), nil, nil, sizes(1))
	keep := attrs{"keep_aspect_ratio_policy": "not_smaller"}
	refused(t, "times dimension 1000", "Resize", 18, keep, 1, counted[float32](1, 1000), nil, nil, sizes(math.MaxInt32, 1))
}

func TestGridSample(t *testing.T) {
	in := counted[float32](1, 1, 2, 2)
	grid := tensor.Of([]float32{-1, -1, 0, 0, 1, 1, 3, 0}, 1, 1, 4, 2)
	shape := []int64{1, 1, 1, 4}
	nearTensor(t, mustCompute(t, "GridSample", 16, attrs{"align_corners": 1}, in, grid), shape, []float32{0, 1.5, 3, 0})
	nearTensor(t, mustCompute(t, "GridSample", 16, nil, in, grid), shape, []float32{0, 1.5, 0.75, 0})
	nearTensor(t, mustCompute(t, "GridSample", 20, attrs{"padding_mode": "border"}, in, grid), shape, []float32{0, 1.5, 3, 2})
	nearTensor(t, mustCompute(t, "GridSample", 20, attrs{"padding_mode": "reflection", "mode": "nearest", "align_corners": 1}, in, grid), shape, []float32{0, 0, 3, 0})
	doubles := tensor.Of([]float64{5, 5}, 1, 1, 2)
	sameTensor(t, mustCompute(t, "GridSample", 22, attrs{"mode": "cubic", "padding_mode": "border"}, doubles, tensor.Of([]float32{0}, 1, 1, 1)), []int64{1, 1, 1}, []float64{5})
	nan := float32(math.NaN())
	inf := float32(math.Inf(1))
	for _, mode := range []string{"linear", "nearest", "cubic"} {
		for _, padding := range []string{"zeros", "border", "reflection"} {
			mustCompute(t, "GridSample", 20, attrs{"mode": mode, "padding_mode": padding}, in, tensor.Of([]float32{nan, 0, inf, -inf, 1e30, -1e30, nan, nan}, 1, 1, 4, 2))
		}
	}
	refused(t, "has 3 coordinates for 2 dimensions", "GridSample", 16, nil, 1, in, counted[float32](1, 1, 1, 3))
	refused(t, "has a batch of 2", "GridSample", 16, nil, 1, in, counted[float32](2, 1, 1, 2))
	refused(t, "has shape [1 1 2], the images", "GridSample", 16, nil, 1, in, counted[float32](1, 1, 2))
	refused(t, "expected a batch, channels", "GridSample", 16, nil, 1, counted[float32](1, 1), grid)
	refused(t, "there is nothing to read", "GridSample", 16, nil, 1, counted[float32](1, 1, 0, 2), grid)
	refused(t, "is string", "GridSample", 16, nil, 1, tensor.Of([]string{""}, 1, 1, 1, 1), grid)
	refused(t, "input 1: is int64", "GridSample", 16, nil, 1, in, counted[int64](1, 1, 1, 2))
}

func TestAffineGrid(t *testing.T) {
	theta := tensor.Of([]float32{1, 0, 0.5, 0, 2, 0}, 1, 2, 3)
	size := tensor.List[int64](1, 1, 1, 2)
	nearTensor(t, mustCompute(t, "AffineGrid", 20, nil, theta, size), []int64{1, 1, 2, 2}, []float32{0, 0, 1, 0})
	nearTensor(t, mustCompute(t, "AffineGrid", 20, attrs{"align_corners": 1}, theta, size), []int64{1, 1, 2, 2}, []float32{-0.5, -2, 1.5, -2})
	refused(t, "input 0: has shape [1 2 3], expected [2 2 3]", "AffineGrid", 20, nil, 1, theta, tensor.List[int64](2, 1, 1, 2))
	refused(t, "has 3 entries", "AffineGrid", 20, nil, 1, theta, tensor.List[int64](2, 1, 1))
	refused(t, "asks for size", "AffineGrid", 20, nil, 1, theta, tensor.List[int64](1, 1, 1, -2))
	refused(t, "expected a matrix for each image", "AffineGrid", 20, nil, 1, counted[float32](2, 3), size)
}

func TestRoiAlign(t *testing.T) {
	in := counted[float32](1, 1, 4, 4)
	region := tensor.Of([]float32{0, 0, 4, 4}, 1, 4)
	first := tensor.List[int64](0)
	at := attrs{"output_height": 2, "output_width": 2, "sampling_ratio": 2}
	nearTensor(t, mustCompute(t, "RoiAlign", 16, at, in, region, first), []int64{1, 1, 2, 2}, []float32{2.5, 4.5, 10.5, 12.5})
	nearTensor(t, mustCompute(t, "RoiAlign", 10, at, in, region, first), []int64{1, 1, 2, 2}, []float32{5, 6.75, 12, 13.75})
	for _, v := range []float32{float32(math.NaN()), float32(math.Inf(1)), 1e30} {
		refused(t, "region 0 is too large or not a number", "RoiAlign", 16, nil, 1, in, tensor.Of([]float32{0, 0, v, 4}, 1, 4), first)
	}
	refused(t, "entry 0 is image 1 of 1", "RoiAlign", 16, nil, 1, in, region, tensor.List[int64](1))
	refused(t, "input 1: has shape [1 4], expected [2 4]", "RoiAlign", 16, nil, 1, in, region, tensor.List[int64](0, 0))
	refused(t, "asks for regions of 0 x 1", "RoiAlign", 16, attrs{"output_height": 0}, 1, in, region, first)
	refused(t, "asks for regions of 1 x 1 with -1 samples", "RoiAlign", 16, attrs{"sampling_ratio": -1}, 1, in, region, first)
	refused(t, "expected images of rank 4", "RoiAlign", 16, nil, 1, counted[float32](4, 4), region, first)
	refused(t, "there is nothing to pool", "RoiAlign", 16, nil, 1, counted[float32](1, 1, 0, 4), region, first)
	refused(t, "input 1: is int64", "RoiAlign", 16, nil, 1, in, counted[int64](1, 4), first)
}

// TestResizeOfOpenShapes: dimensions that are known give known ones beside others that
// are not, unless all depend on each other.
func TestResizeOfOpenShapes(t *testing.T) {
	scales := Known(tensor.List[float32](1, 1, 2, 2))
	sizes := Known(tensor.List[int64](7, 3, 9, 9))
	in := Info{Type: tensor.Float32, Ranked: true, Shape: []int64{-1, 3, 5, -1}}
	stretch := resize{mode: "nearest", roi: 1, scales: 2, sizes: 3, policy: "stretch"}
	keep := stretch
	keep.policy = "not_larger"
	for _, c := range []struct {
		o    resize
		in   []*Info
		want []int64
	}{
		{stretch, []*Info{&in, nil, &scales}, []int64{-1, 3, 10, -1}},
		{stretch, []*Info{&in, nil, nil, &sizes}, []int64{-1, 3, 9, -1}},
		{keep, []*Info{&in, nil, nil, &sizes}, []int64{-1, -1, -1, -1}},
		{stretch, []*Info{&in, nil, {Type: tensor.Float32, Ranked: true, Shape: []int64{4}}}, []int64{-1, -1, -1, -1}},
	} {
		got, err := c.o.Infer(c.in)
		if err != nil || !slices.Equal(got[0].Shape, c.want) {
			t.Errorf("%v, want %v (%v)", got, c.want, err)
		}
	}
}

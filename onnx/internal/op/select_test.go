package op

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/tensor"
)

func TestNonZero(t *testing.T) {
	sameTensor(t, mustCompute(t, "NonZero", 13, nil, tensor.Of([]float32{0, 1, 2, 0}, 2, 2)), []int64{2, 2}, []int64{0, 1, 1, 0})
	sameTensor(t, mustCompute(t, "NonZero", 13, nil, tensor.List("", "a")), []int64{1, 1}, []int64{1})
	sameTensor(t, mustCompute(t, "NonZero", 13, nil, tensor.List(false, false)), []int64{1, 0}, []int64{})
	sameTensor(t, mustCompute(t, "NonZero", 9, nil, tensor.Scalar[int8](3)), []int64{0, 1}, []int64{})
	refused(t, "is complex64", "NonZero", 13, nil, 1, tensor.List[complex64](1))
}

func TestCompress(t *testing.T) {
	in := counted[int64](3, 2)
	sameTensor(t, mustCompute(t, "Compress", 11, attrs{"axis": 0}, in, tensor.List(false, true, true)), []int64{2, 2}, []int64{2, 3, 4, 5})
	sameTensor(t, mustCompute(t, "Compress", 11, attrs{"axis": -1}, in, tensor.List(false, true)), []int64{3, 1}, []int64{1, 3, 5})
	sameTensor(t, mustCompute(t, "Compress", 9, nil, in, tensor.List(true, false, true)), []int64{2}, []int64{0, 2})
	refused(t, "entry 2 is outside of dimension 2", "Compress", 11, attrs{"axis": 1}, 1, in, tensor.List(false, true, true))
	refused(t, "axis 2 is outside", "Compress", 11, attrs{"axis": 2}, 1, in, tensor.List(true))
	refused(t, "expected a list", "Compress", 11, nil, 1, in, tensor.Scalar(true))
	refused(t, "input 1: is int64", "Compress", 11, nil, 1, in, in)
}

func TestOneHot(t *testing.T) {
	values := tensor.List("off", "on")
	sameTensor(t, mustCompute(t, "OneHot", 11, nil, tensor.List[int32](1, -1, 7), tensor.Scalar[int64](3), values), []int64{3, 3},
		[]string{"off", "on", "off", "off", "off", "on", "off", "off", "off"})
	sameTensor(t, mustCompute(t, "OneHot", 9, attrs{"axis": 0}, tensor.List[float32](1, 0), tensor.List[float32](2), tensor.List[int64](5, 6)), []int64{2, 2}, []int64{5, 6, 6, 5})
	one := tensor.List[int64](1)
	refused(t, "asks for a depth of 0", "OneHot", 11, nil, 1, one, tensor.Scalar[int64](0), values)
	refused(t, "input 2: has shape [3], expected [2]", "OneHot", 11, nil, 1, one, one, tensor.List("a", "b", "c"))
	refused(t, "expected off and on", "OneHot", 11, nil, 1, one, one, tensor.Scalar("a"))
	refused(t, "input 1: has shape [2], expected one element", "OneHot", 11, nil, 1, one, tensor.List[int64](1, 2), values)
	refused(t, "axis 2 is outside of rank 2", "OneHot", 11, attrs{"axis": 2}, 1, one, one, values)
	refused(t, "input 0: is string", "OneHot", 11, nil, 1, values, one, values)
}

func TestTopK(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	for range 60 {
		shape := randomShape(rng, 1+rng.IntN(3), 12)
		along := rng.IntN(len(shape))
		n, _ := tensor.Count(shape)
		data := make([]float32, n)
		for i := range data {
			data[i] = float32(rng.IntN(5))
		}
		k := rng.Int64N(shape[along] + 1)
		smallest := rng.IntN(2)
		out, err := compute("TopK", 11, attrs{"axis": along, "largest": 1 - smallest}, 2, tensor.Of(data, shape...), tensor.List(k))
		if err != nil {
			t.Fatal(err)
		}
		everyIndex(out[1].Shape, func(i int, index []int64) {
			order := counting(int(shape[along]))
			own := slices.Clone(index)
			at := func(i int64) float32 { own[along] = i; return data[flat(shape, own)] }
			slices.SortStableFunc(order, func(a, b int64) int {
				if smallest == 1 {
					return cmp.Compare(at(a), at(b))
				}
				return cmp.Compare(at(b), at(a))
			})
			want := order[index[along]]
			if got := tensor.Data[int64](out[1])[i]; got != want || tensor.Data[float32](out[0])[i] != at(want) {
				t.Fatalf("%v along %d, %v: %v at %d, want %d", shape, along, index, tensor.Data[float32](out[0])[i], got, want)
			}
		})
	}
	nan := float32(math.NaN())
	out, err := compute("TopK", 9, attrs{"k": 2}, 2, tensor.List(nan, 1, 3))
	if err != nil {
		t.Fatal(err)
	}
	sameTensor(t, out[1], []int64{2}, []int64{2, 1})
	in := counted[uint8](3)
	refused(t, "asks for 4 of 3 elements", "TopK", 11, nil, 2, in, tensor.List[int64](4))
	refused(t, "asks for -1 elements", "TopK", 11, nil, 2, in, tensor.List[int64](-1))
	refused(t, "asks for -1 of 3", "TopK", 9, attrs{"k": -1}, 2, in)
	refused(t, "expected one element", "TopK", 11, nil, 2, in, tensor.List[int64](1, 1))
	refused(t, "input 1: is required", "TopK", 11, nil, 2, in)
	refused(t, `"k" is required`, "TopK", 9, nil, 2, in)
	refused(t, "expected at most 1", "TopK", 9, attrs{"k": 1}, 2, in, in)
	refused(t, "axis 1 is outside", "TopK", 11, attrs{"axis": 1}, 2, in, tensor.List[int64](1))
	refused(t, "is string", "TopK", 11, nil, 2, tensor.List("a"), tensor.List[int64](1))
}

func TestUnique(t *testing.T) {
	check := func(at attrs, in *tensor.Tensor, shape []int64, lists ...[]int64) *tensor.Tensor {
		t.Helper()
		out, err := compute("Unique", 11, at, 4, in)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(out[0].Shape, shape) {
			t.Errorf("shape %v, want %v", out[0].Shape, shape)
		}
		for i, want := range lists {
			sameTensor(t, out[i+1], []int64{int64(len(want))}, want)
		}
		return out[0]
	}
	in := tensor.List[float32](2, 1, 1, 3, 4, 3)
	y := check(nil, in, []int64{4}, []int64{1, 0, 3, 4}, []int64{1, 0, 0, 2, 3, 2}, []int64{2, 1, 2, 1})
	sameTensor(t, y, []int64{4}, []float32{1, 2, 3, 4})
	y = check(attrs{"sorted": 0}, in, []int64{4}, []int64{0, 1, 3, 4}, []int64{0, 1, 1, 2, 3, 2}, []int64{1, 2, 2, 1})
	sameTensor(t, y, []int64{4}, []float32{2, 1, 3, 4})
	y = check(attrs{"axis": 0}, tensor.Of([]int64{1, 0, 0, 1, 0, 0, 2, 3, 4}, 3, 3), []int64{2, 3}, []int64{0, 2}, []int64{0, 0, 1}, []int64{2, 1})
	sameTensor(t, y, []int64{2, 3}, []int64{1, 0, 0, 2, 3, 4})
	check(nil, tensor.List("b", "a", "b"), []int64{2}, []int64{1, 0}, []int64{1, 0, 1}, []int64{1, 2})
	check(nil, tensor.List(true, false, true), []int64{2}, []int64{1, 0})
	nan := float32(math.NaN())
	check(nil, tensor.List(nan, 1, nan), []int64{2}, []int64{1, 0}, []int64{1, 0, 1}, []int64{1, 2})
	check(nil, tensor.List[float32](), []int64{0}, []int64{}, []int64{}, []int64{})
	refused(t, "axis 1 is outside", "Unique", 11, attrs{"axis": 1}, 1, in)
	refused(t, "is complex64", "Unique", 11, nil, 1, tensor.List[complex64](1))
}

func TestNonMaxSuppression(t *testing.T) {
	boxes := tensor.Of([]float32{0, 0, 1, 1, 0, 0.1, 1, 1.1, 1, 1, 0, -0.1, 0, 10, 1, 11}, 1, 4, 4)
	scores := tensor.Of([]float32{0.9, 0.75, 0.6, 0.95}, 1, 1, 4)
	most, overlap := tensor.Scalar[int64](3), tensor.List[float32](0.5)
	sameTensor(t, mustCompute(t, "NonMaxSuppression", 11, nil, boxes, scores, most, overlap), []int64{2, 3}, []int64{0, 0, 3, 0, 0, 0})
	sameTensor(t, mustCompute(t, "NonMaxSuppression", 10, nil, boxes, scores, most, overlap, tensor.Scalar[float32](0.92)), []int64{1, 3}, []int64{0, 0, 3})
	sameTensor(t, mustCompute(t, "NonMaxSuppression", 11, nil, boxes, scores), []int64{0, 3}, []int64{})
	sameTensor(t, mustCompute(t, "NonMaxSuppression", 11, nil, boxes, scores, tensor.Scalar[int64](-5)), []int64{0, 3}, []int64{})
	centre := tensor.Of([]float32{0.5, 0.5, 1, 1, 0.5, 0.6, 1, 1, 5, 5, 1, 1}, 1, 3, 4)
	sameTensor(t, mustCompute(t, "NonMaxSuppression", 11, attrs{"center_point_box": 1}, centre, tensor.Of([]float32{1, 1, 1}, 1, 1, 3), most, overlap), []int64{2, 3}, []int64{0, 0, 0, 0, 0, 2})
	nan := float32(math.NaN())
	mustCompute(t, "NonMaxSuppression", 11, nil, tensor.Of([]float32{nan, 0, nan, 1}, 1, 1, 4), tensor.Of([]float32{nan}, 1, 1, 1), most, overlap)
	refused(t, "input 0: has shape [1 3 4], expected [1 4 4]", "NonMaxSuppression", 11, nil, 1, centre, scores)
	refused(t, "expected boxes of rank 3", "NonMaxSuppression", 11, nil, 1, counted[float32](4, 4), scores)
	refused(t, "expected scores of rank 3", "NonMaxSuppression", 11, nil, 1, boxes, counted[float32](4))
	refused(t, "input 2: has shape [2], expected one element", "NonMaxSuppression", 11, nil, 1, boxes, scores, tensor.List[int64](1, 2))
	refused(t, "input 3: is int64", "NonMaxSuppression", 11, nil, 1, boxes, scores, most, most)
}
